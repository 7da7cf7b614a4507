"""Makes sure that `search`, `results` and the other rooms are ours, whatever lies in the folder one works in."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("trainables", "spaces", "results", "search", "scripts")


def import_rooms() -> None:
    """Imports the rooms from where this package is, not from the user's folder, which comes first on the path.

    A script of one's own may be called `search.py`. It is then `__main__`, so ours is free to have that name.

    Raises:
        ImportError: Something else of such a name has been imported before; names the file and the way out.
    """
    warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm in a notebook: nothing here draws by it
    sys.path.insert(0, str(ROOT))
    try:
        for name in ROOMS:
            module = import_module(name)
            if Path(module.__file__ or "").resolve().parent != ROOT / name:
                where = module.__file__ or next(iter(module.__path__), "a folder")
                raise ImportError(
                    f"macrotune has a package called {name!r}, and {where} of the same name was imported before it: "
                    "rename that, or import macrotune first"
                )
    finally:
        sys.path.remove(str(ROOT))
