"""Measure how a model bears photos that are worse than those it knows, or that show texture or context alone."""
