"""Moved to `scripts/benchmarks/scale.py`; this file says so for one release."""

import sys

sys.exit("scripts/benchmark_scale.py has moved: python scripts/benchmarks/scale.py")
