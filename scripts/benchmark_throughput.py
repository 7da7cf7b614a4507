"""Moved to `scripts/benchmarks/throughput.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_throughput.py has moved: python scripts/benchmarks/throughput.py")
