"""What the commands are called: `python search/run.py` in a checkout, `macrotune search` where that was typed."""

from __future__ import annotations

import os
import re

FILES = {
    "search": "search/run.py",
    "retrain": "scripts/retrain.py",
    "evaluate": "scripts/evaluate.py",
    "predict": "scripts/predict.py",
    "explore": "scripts/explore.py",
    "export": "scripts/export_onnx.py",
    "runs": "scripts/runs.py",
    "report": "scripts/report.py",
    "spaces": "scripts/spaces.py",
    "fetch-weights": "scripts/fetch_weights.py",
    "ui": "search/serve.py",
}
"""Sub-commands of `macrotune`, and the file that each is the same as."""

VARIABLE = "MACROTUNE_CALLED"
"""Set in the environment by the command `macrotune`, so that the commands it starts speak of it as well."""

_WORDS = {file: f"macrotune {name}" for name, file in FILES.items()}
_FILE = re.compile(rf"(?<![\w/.-])(?:python )?({'|'.join(map(re.escape, _WORDS))})(?![\w/])")


def as_called(text: str) -> str:
    """The text with every command in it as this user types it; a path of one of the files stays what it is."""
    return _FILE.sub(lambda found: _WORDS[found[1]], text) if VARIABLE in os.environ else text
