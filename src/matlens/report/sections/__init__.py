"""What each section of the page shows, gathered from a run's files."""
