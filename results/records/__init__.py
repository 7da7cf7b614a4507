"""What happened: a search, its trials, its best one, and what it cost."""
