"""A Ray cluster: connect to it, look at its nodes, do jobs there. Ray is imported where a cluster is asked for."""
