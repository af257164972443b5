"""The web page and the REST interface over the artifacts of runs. No framework is loaded."""
