"""What a trial reads and writes on a node that does not see the driver's disk: sent there, and sent back."""
