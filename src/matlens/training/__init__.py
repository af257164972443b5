"""Train one model into a run folder, in a process of its own."""
