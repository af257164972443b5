"""Train one model of a run: in this process where a head on features is all, else in a child process."""
