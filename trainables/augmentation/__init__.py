"""What is done to a batch of pictures before the network sees it."""
