"""What a trial takes of its machine."""
