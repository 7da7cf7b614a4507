"""The questions of scripts/studies.py, and how one is answered."""
