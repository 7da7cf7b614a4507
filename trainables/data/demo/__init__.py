"""The built-in data set, drawn."""
