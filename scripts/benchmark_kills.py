"""Moved to `scripts/benchmarks/kills.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_kills.py has moved: python scripts/benchmarks/kills.py")
