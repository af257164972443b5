"""Models: what is known of each without a framework (`spec`, `registry`, `zoo`), and a package for each framework."""
