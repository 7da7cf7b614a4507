"""`python -m macrotune`: the same as the command `macrotune`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # Python put the current folder there, whose modules may bear the names of ours

from macrotune.command import main

if __name__ == "__main__":
    sys.exit(main())
