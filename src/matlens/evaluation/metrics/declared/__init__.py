"""The metrics that matlens brings, a module for each kind; a module that is added here is found by itself."""
