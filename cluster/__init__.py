"""What every process shares and what starts them: settings, topology, the journal, the policy."""
