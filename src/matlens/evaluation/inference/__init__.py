"""What follows from a sample of photos of which some belong together: intervals, tests, and what choosing costs."""
