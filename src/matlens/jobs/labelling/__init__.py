"""Work on labels: what to look at, decisions that people make, what they change, and what to label next."""
