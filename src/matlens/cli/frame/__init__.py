"""What all commands share: how they are found, what their help looks like, and what is said to a slip of the finger."""
