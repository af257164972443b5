"""Tables of many rows."""
