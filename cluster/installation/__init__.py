"""What an installation has on its machine: folders, files, secrets, ports, programs and what is running."""
