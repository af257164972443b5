"""The folder of a run and of a series: names, what was asked for, and what it came from."""
