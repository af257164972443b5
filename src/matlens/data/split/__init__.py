"""How photos are divided into train, val and test."""
