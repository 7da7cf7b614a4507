"""Keyword arguments to the options of a command: the flags are the one source of names, types and checks."""

from __future__ import annotations

import difflib
import inspect
import os
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from trainables.errors import UserError
from trainables.settings import json_values_fit, restored

Options = TypeVar("Options")


def options_of(default: Options, keywords: Mapping[str, Any], call: str) -> Options:
    """The options of a command with values for some of its flags.

    Args:
        default: The options without any flag given; groups of flags are dataclasses in it.
        keywords: Flag, with underscores, to its value: as the command line has it, or Python's own.
        call: The function, for a message.

    Raises:
        UserError: There is no such flag, or it is given something of another type; names the nearest, or the type.
    """
    known = flags_of(type(default))
    if unknown := [name for name in keywords if name not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"{call}() has no argument {unknown[0]!r}: {hint}")
    return _with(default, keywords, call)


def flags_of(options: type) -> dict[str, Any]:
    """Every flag of a command's options by name, with its annotated type, in the order of the help."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(options)
    for entry in fields(options):
        hint = hints[entry.name]
        found |= flags_of(hint) if is_dataclass(hint) and isinstance(hint, type) else {entry.name: hint}
    return found


def signature_of(options: type, *first: inspect.Parameter, without: Sequence[str] = ()) -> inspect.Signature:
    """What `help` and completion show: the given parameters, then every flag with its default."""
    defaults = _defaults(options)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint)
        for name, hint in flags_of(options).items()
        if name not in without
    ]
    return inspect.Signature([*first, *flags])


def _defaults(options: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(options)
    for entry in fields(options):
        hint = hints[entry.name]
        found |= _defaults(hint) if is_dataclass(hint) and isinstance(hint, type) else {entry.name: entry.default}
    return found


def _with(default: Options, keywords: Mapping[str, Any], call: str) -> Options:
    hints = typing.get_type_hints(type(default))
    changes: dict[str, Any] = {}
    for entry in fields(default):  # type: ignore[arg-type]  # a dataclass
        value, hint = getattr(default, entry.name), hints[entry.name]
        if is_dataclass(value):
            changes[entry.name] = _with(value, keywords, call)
        elif entry.name in keywords:
            changes[entry.name] = _value(entry.name, keywords[entry.name], hint, call)
    return replace(default, **changes)  # type: ignore[type-var]


def _value(name: str, given: Any, hint: Any, call: str) -> Any:
    """A value as its flag has it.

    Raises:
        UserError: It is of another type.
    """
    value = _plain(name, given)
    if type(value) in (int, float) and not json_values_fit(hint, value) and json_values_fit(hint, ""):
        value = str(value)  # as the command line has it: a time budget of 900
    if type(value) is str and not json_values_fit(hint, value) and json_values_fit(hint, []):
        value = [value]
    if not json_values_fit(hint, value):
        words = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
        raise UserError(f"{call}({name}={given!r:.100}): it must be {words}")
    return restored(hint, value)


def _plain(name: str, given: Any) -> Any:
    """Python's and NumPy's own values as JSON has them; names in a list as one flag has them."""
    if callable(given) and name == "space":
        return _in_its_file(given)
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    if isinstance(given, Mapping):
        return [f"{key}={value}" for key, value in given.items()]
    if isinstance(given, (list, tuple, set, frozenset)):
        words = [_plain("", each) for each in given]
        return ",".join(map(str, words)) if name == "backbones" else words
    if hasattr(given, "item") and getattr(given, "shape", None) == ():
        return given.item()
    return given


def _in_its_file(space: Any) -> str:
    """A function as `path/to/file.py:function`, which is how a space travels and is remembered."""
    try:
        path = Path(inspect.getsourcefile(space) or "")
    except TypeError:
        path = Path()
    name = getattr(space, "__qualname__", repr(space))
    if not path.is_file() or not name.isidentifier():
        raise UserError(
            f"space is {name}, which is in no file that a trial or a later resume could read: write it into one "
            "(%%writefile my_spaces.py in a notebook) and give space='my_spaces.py:NAME'"
        )
    return f"{path}:{name}"
