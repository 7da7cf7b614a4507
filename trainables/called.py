"""What the commands are called: `python search/run.py` in a checkout, `macrotune search` where that was typed.

Where they were called from Python, it is the call.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


PYTHON = "python"
"""Value of the variable while a command was called as a function."""
_FUNCTIONS = {"search/run.py": "search", "scripts/retrain.py": "retrain"}
_FLAGS = r"(?P<flags>(?: --[a-z-]+(?: (?!-)(?:'[^']*'|[^\s;'&]*[^\s,;:'&.]))?)+)"
_CALL = re.compile(rf"(?<![\w/.-])(?:python )?(?P<file>{'|'.join(map(re.escape, _FUNCTIONS))}){_FLAGS}")
_ANSWER = re.compile(r"(?<![\w/.-])(?:python )?scripts/predict\.py ('[^']*'|\S+) --data DIR")


def as_called(text: str) -> str:
    """The text with every command in it as this user types it; a path of one of the files stays what it is."""
    if VARIABLE not in os.environ:
        return text
    if os.environ[VARIABLE] == PYTHON:
        text = _ANSWER.sub(lambda found: f"load({shlex.split(found[1])[0]!r}).predict('DIR')", text)
        text = _CALL.sub(lambda found: f"{_FUNCTIONS[found['file']]}({_keywords(shlex.split(found['flags']))})", text)
    return _FILE.sub(lambda found: _WORDS[found[1]], text)


def command_as_called(command: str) -> str:
    """A text that is a command and nothing else, as this user types it; its flags may have several values each."""
    words = shlex.split(command.removeprefix("python "))
    if os.environ.get(VARIABLE) == PYTHON and words and words[0] in _FUNCTIONS:
        return f"{_FUNCTIONS[words[0]]}({_keywords(words[1:])})"
    return as_called(command)


def install_command(extra: str) -> str:
    """What to type to install an extra: by its name in a checkout, elsewhere by those of its libraries."""
    needed = []
    if VARIABLE in os.environ:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            wanted = re.compile(rf"""\bextra == ['"]{re.escape(extra)}['"]""")
            needed = [
                each.split(";")[0].strip()
                for each in importlib.metadata.requires("macrotune") or ()
                if wanted.search(each)
            ]
    return f"pip install {shlex.join(needed)}" if needed else f'pip install -e ".[{extra}]"'


@contextmanager
def calls_from_python() -> Iterator[None]:
    """While inside, messages speak of functions and not of commands."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = PYTHON
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _keywords(flags: Sequence[str]) -> str:
    """Flags of a command line as keyword arguments; a flag without a value is True, one with several has a list."""
    given: list[tuple[str, list[str]]] = []
    for word in flags:
        if word.startswith("--"):
            given.append((word[2:].replace("-", "_"), []))
        else:
            given[-1][1].append(_literal(word))
    return ", ".join(f"{name}={_value(values)}" for name, values in given)


def _value(literals: Sequence[str]) -> str:
    if len(literals) > 1:
        return f"[{', '.join(literals)}]"
    return literals[0] if literals else "True"


def _literal(word: str) -> str:
    """A number as it is, and anything else as a text, such as 00003."""
    for number in (int, float):
        with contextlib.suppress(ValueError):
            if word[:1].isdigit() and str(number(word)) == word:
                return word
    return repr(word)
