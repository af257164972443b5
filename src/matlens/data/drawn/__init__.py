"""Drawn photographs of materials, for demonstrations and tests."""
