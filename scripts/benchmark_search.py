"""Moved to `scripts/benchmarks/regret.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_search.py has moved: python scripts/benchmarks/regret.py")
