"""Run a trained trunk and head without the framework that made them."""
