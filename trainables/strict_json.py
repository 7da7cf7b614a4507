"""Strict JSON: the content of a file is checked against the fields of a dataclass, keys and types alike."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from trainables.atomic import write_whole
from trainables.errors import UserError


class RecordError(UserError):
    """A file or value is not what it must be; names the key and the file."""


def _refuse(word: str) -> NoReturn:
    raise UserError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)  # json.loads would build one for every line of a file


def parse(text: bytes) -> Any:
    """Parses strict JSON in UTF-8: the words NaN and Infinity, which no other parser need know, are errors.

    Raises:
        UserError: The text is not JSON, or not UTF-8.
    """
    return _DECODER.decode(text.decode())


def load_object(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        RecordError: It holds anything else; names the file.
        OSError: It cannot be read.
    """
    return parse_object(path.read_bytes(), str(path))


def parse_object(held: bytes, where: str) -> dict[str, Any]:
    """Reads the content of a file that holds one JSON object.

    Args:
        held: The content.
        where: What to call it in an error.

    Raises:
        RecordError: It holds anything else.
    """
    try:
        values = parse(held)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where} is not valid JSON ({error}): restore it, or delete it") from error
    if not isinstance(values, dict):
        raise RecordError(f"{where} must hold one JSON object, not {_kind(values)}: restore it, or delete it")
    return values


def save_object(path: Path, values: Mapping[str, Any]) -> None:
    """Writes one JSON object, whole or not at all.

    Raises:
        RecordError: A value has no place in strict JSON, such as NaN; the file is left as it was.
    """
    try:
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path} was not written: {error}") from error
    # A file name that is not UTF-8 is a text with lone surrogates, which JSON can only hold as escapes.
    write_whole(path, (text + "\n").encode(errors="backslashreplace"))


def check_fields(
    cls: type,
    values: object,
    where: str,
    *,
    without: Collection[str] = (),
    nulls: bool = False,
    older: bool = False,
) -> dict[str, Any]:
    """Checks that JSON values are exactly the fields of a dataclass, no key more or less, each of its type.

    Args:
        cls: The dataclass. Fields that are dataclasses themselves are not looked into.
        values: The parsed JSON.
        where: What to call it in an error, such as the file.
        without: Fields that have no place in the JSON.
        nulls: Whether null may stand for a number that is not finite.
        older: Whether fields with a default may be missing, as in what was written before there were these.

    Returns:
        The same values.

    Raises:
        RecordError: Names the key and `where`.
    """
    if not isinstance(values, dict):
        raise RecordError(f"{where}: must be an object, not {_kind(values)}")
    checks = _checks(cls, frozenset(without), nulls)
    if values.keys() != checks.keys():
        if unknown := sorted(values.keys() - checks.keys()):
            raise RecordError(f"{where}: unknown key {', '.join(map(repr, unknown))}")
        with_default = {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        }
        missing = [name for name in checks if name not in values and not (older and name in with_default)]
        if missing:
            raise RecordError(f"{where}: missing key {', '.join(map(repr, missing))}")
    for name, fits in checks.items():
        if name in values and not fits(values[name]):
            hint = get_type_hints(cls)[name]
            words = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise RecordError(f"{where}: {name} is {values[name]!r:.200}, it must be {words}")
    return values


@functools.cache  # reading the annotations costs more than a line of a run's file may
def _checks(cls: type, without: frozenset[str], nulls: bool) -> dict[str, Callable[[Any], bool]]:
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.name not in without]
    return {name: json_check(hints[name], nulls) for name in names}


def json_check(hint: Any, nulls: bool = False) -> Callable[[Any], bool]:
    """Says whether a JSON value is of the annotated type; its lists stand for tuples, its texts for paths too."""
    if hint is Any:
        return lambda value: True
    if hint is float:
        return lambda value: (type(value) in (float, int) and isfinite(value)) or (nulls and value is None)
    if hint in (str, bool, int, type(None)):  # compared exactly: True is no number
        return lambda value: type(value) is hint
    if hint is Path:
        return lambda value: type(value) is str
    if dataclasses.is_dataclass(hint):
        return lambda value: type(value) is dict
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return lambda value: value in arguments
    parts = [json_check(argument, nulls) for argument in arguments if argument is not ...]
    if origin in (Union, types.UnionType):
        return lambda value: any(fits(value) for fits in parts)
    if origin in (tuple, list):
        return lambda value: type(value) is list and all(map(parts[0], value))
    return lambda value: type(value) is dict and all(map(parts[0], value)) and all(map(parts[1], value.values()))


def _kind(value: object) -> str:
    return {type(None): "null", list: "a list", str: "a text"}.get(type(value), f"a {type(value).__name__}")
