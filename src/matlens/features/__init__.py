"""Run a trained trunk and head without the framework that trained them, and cache what frozen trunks compute."""
