"""Wires the rest together: proposes, schedules, watches."""
