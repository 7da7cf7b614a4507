"""The one train loop, and what it is made of."""
