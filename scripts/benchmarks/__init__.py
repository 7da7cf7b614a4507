"""What the numbers of the documents were measured with."""
