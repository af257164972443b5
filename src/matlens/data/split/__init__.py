"""Divide photos into train, val and test."""
