"""What any program needs of its machine: files, caches, consoles, child processes, signals, devices."""
