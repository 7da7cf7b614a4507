"""Settings as they were saved: JSON back to a dataclass, each value of the type that its field has."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trainables.strict_json import json_check

Settings = TypeVar("Settings")


def restore(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    """An instance of a dataclass from its fields as JSON holds them: paths as texts, tuples as lists.

    Args:
        cls: The dataclass.
        values: By the field's name. What is no field of it is left aside; a field that is missing, as in what was
            written before there was this field, has its default. A value of the wrong type is for the class to refuse.
    """
    hints = get_type_hints(cls)  # without what `Annotated` adds for the command line
    names = [field.name for field in dataclasses.fields(cls) if field.name in values]  # type: ignore[arg-type]
    return cls(**{name: restored(hints[name], values[name]) for name in names})


def json_values_fit(hint: Any, value: Any) -> bool:
    """Whether a JSON value is of the annotated type, as `restored` takes it."""
    return json_check(hint)(value)


def restored(hint: Any, value: Any) -> Any:
    """A JSON value as the type that is asked for; as it is where JSON has that type itself."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        # In the order they are written; a type that JSON has itself goes before one that a text or list stands for.
        chosen = sorted((one for one in arguments if json_check(one)(value)), key=_stands_for_another)
        return restored(chosen[0], value) if chosen else value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if origin is tuple and isinstance(value, list):
        return tuple(restored(arguments[0], part) for part in value)
    return value


def _stands_for_another(hint: Any) -> bool:
    return hint is Path or get_origin(hint) is tuple
