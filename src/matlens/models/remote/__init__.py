"""A classifier in a process of its own, behind the same protocol."""
