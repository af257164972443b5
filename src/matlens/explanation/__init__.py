"""Show where in a photo a model found its answer."""
