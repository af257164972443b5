"""Pictures of one model's results."""
