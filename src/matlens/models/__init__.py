"""The four networks: a framework-free catalogue, and a room for each framework behind one protocol."""
