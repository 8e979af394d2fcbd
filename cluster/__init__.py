"""The code that all processes share and that starts them: settings, topology, the journal, the policy."""
