"""What a run is asked to do, declared once."""
