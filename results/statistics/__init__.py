"""What it means: intervals, comparisons, rankings."""
