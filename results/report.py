"""Moved to `scripts/report.py`; this file says so for one release."""

import sys

sys.exit("results/report.py has moved: python scripts/report.py")
