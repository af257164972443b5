"""The commands for work on labels: what is suspicious, what people decide, and what to label next."""
