"""The command `macrotune`: one sub-command for each of the project's commands, which are the same code."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from macrotune.rooms import import_rooms
from trainables.called import FILES, VARIABLE

MISTAKE = 2
PURPOSES = {
    "search": "find the best network and settings for your pictures",
    "retrain": "train the winner again and score it on people never seen",
    "evaluate": "see a model's scores and its mistakes",
    "predict": "classify new pictures with a model",
    "explore": "look at pictures before a search",
    "export": "write a model as ONNX",
    "runs": "list, compare and delete runs",
    "report": "write the page about a run",
    "spaces": "show the search spaces",
    "fetch-weights": "fetch pretrained weights for a machine without network",
    "ui": "serve the page about all runs",
}
"""What each sub-command does."""


def main(args: Sequence[str] | None = None) -> int:
    """Hands the rest of the command line to a sub-command.

    Returns:
        Its exit code; 2 if there is no such sub-command.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"macrotune {_version()}")
        return 0
    name, *rest = words
    if name not in PURPOSES:
        near = difflib.get_close_matches(name, PURPOSES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PURPOSES)}"
        print(f"error: macrotune has no command {name!r}: {hint}", file=sys.stderr)
        return MISTAKE
    os.environ[VARIABLE] = "1"
    import_rooms()
    module = importlib.import_module(FILES[name].removesuffix(".py").replace("/", "."))
    return int(module.main(rest) or 0)


def _help() -> str:
    width = max(map(len, PURPOSES))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in PURPOSES.items()]
    return "\n".join(
        [
            "usage: macrotune COMMAND ...",
            "",
            "Hyper-parameter search for image classifiers, scored by macro-F1.",
            "",
            *lines,
            "",
            "macrotune COMMAND --help explains one. Runs go to runs/ in the folder you",
            "stand in, the table of results to its README.md.",
        ]
    )


def _version() -> str:
    try:
        return importlib.metadata.version("macrotune")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout that is not installed"
