"""The jobs of the command line: run, series, demo, rerun, measure, predict."""
