"""A trial's files on disk: what it goes on from, and the weights of its best epoch.

The names and their meaning are all that a driver needs, so this module imports nothing heavy.
"""

LAST = "last.pt"
"""The whole state after the last saved epoch."""
BEST = "best.pt"
"""The weights of the best epoch alone."""
START = "start.pt"
"""Weights of an earlier training that this one goes on from, without its state."""
PULSE = "pulse.json"
"""How far a running trial is within its epoch, for whoever watches."""
