"""The jobs that a child process can be asked to do, and the process that does them."""
