"""Consumers of a record; each a command line with one purpose."""
