"""Trained networks on disk, and what they answer."""
