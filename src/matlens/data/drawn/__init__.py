"""Draw photographs of materials for demonstrations and tests."""
