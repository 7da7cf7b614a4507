"""Moved to `scripts/benchmarks/honesty.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_honesty.py has moved: python scripts/benchmarks/honesty.py")
