"""What a split's manifest holds: in JSON, and of a large split in columns beside it."""
