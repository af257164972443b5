"""Heads that are no row of dense layers, and what they see of a trunk besides its last layer."""
