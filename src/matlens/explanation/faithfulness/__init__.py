"""Measure whether heat maps are faithful: take out of photos what is hot, and watch the probability."""
