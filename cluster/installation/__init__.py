"""An installation on its machine: folders, files, secrets, ports, programs and running processes."""
