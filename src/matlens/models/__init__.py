"""Models: what is known of each without a framework (`spec`, `registry`, `zoo`), and one room for each framework."""
