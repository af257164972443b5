"""The child process, and the jobs that it can be asked to do."""
