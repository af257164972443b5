"""How a model bears photos that are worse than those it was trained on, or show texture or context alone."""
