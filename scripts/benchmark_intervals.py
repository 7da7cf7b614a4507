"""Moved to `scripts/benchmarks/intervals.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_intervals.py has moved: python scripts/benchmarks/intervals.py")
