"""Moved to `scripts/benchmarks/plain_trial.py`; this file says so for one release."""

import sys

sys.exit("scripts/plain_trial.py has moved: python scripts/benchmarks/plain_trial.py")
