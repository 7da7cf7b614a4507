"""A user's own parts by kind and name, and how they are called. No torch here."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from trainables.config import OWN
from trainables.errors import UserError
from trainables.reason import reason_of

KINDS = ("network", "loss", "augmentation", "metric", "decision")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Parts:
    """What a file holds."""

    file: str
    """Its name, for messages."""
    source: str
    module: ModuleType
    found: dict[str, dict[str, Callable[..., Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    """Functions by kind and name."""
    timm_networks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """Functions that the file registered with timm itself, by name."""

    @property
    def sha256(self) -> str:
        """Of the source."""
        return sha256_of(self.source)

    @property
    def is_empty(self) -> bool:
        """Whether the file holds no part."""
        return not self.timm_networks and not any(self.found.values())

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of its networks, as backbones."""
        return (*self.found["network"], *self.timm_networks)

    def to_task(self) -> dict[str, str]:
        """As `TaskConfig.parts` has it."""
        return {"file": self.file, "sha256": self.sha256, "source": self.source}


def sha256_of(source: str) -> str:
    """The hash by which a file of parts is known."""
    return hashlib.sha256(source.encode()).hexdigest()


_loading: Parts | None = None
"""The file that is being run."""
_in_use: Parts | None = None
"""The file whose parts are looked up."""


def offer(kind: str, function: Function) -> Function:
    """Notes a part of the file that is being run.

    Raises:
        UserError: The file has another part of this kind and name, or of a decision rule a second one.
    """
    if _loading is None:
        return function
    name, there = function.__name__, _loading.found[kind]
    if name in there:
        raise UserError(f"{_loading.file} has two parts of one name, the {kind} {name!r}: give one another name")
    if kind == "decision" and there:
        raise UserError(f"{_loading.file} has two decision rules, {next(iter(there))!r} and {name!r}: keep one")
    there[name] = function
    return function


def set_loading(parts: Parts | None) -> Parts | None:
    """Says which file is being run; gives back what was said before."""
    global _loading
    before, _loading = _loading, parts
    return before


def set_in_use(parts: Parts | None) -> None:
    """Says whose parts are looked up from now on."""
    global _in_use
    _in_use = parts


def line_of(error: BaseException, file: str) -> int | None:
    """The last line of a file that an error passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def in_use() -> Parts | None:
    """The file whose parts are looked up; None for none."""
    return _in_use


def is_own_network(backbone: str) -> bool:
    """Whether a backbone is a network of the file in use."""
    return _in_use is not None and backbone in _in_use.networks


def is_wrapped(backbone: str) -> bool:
    """Whether a backbone is a network of the file in use that gets its classifier from here (`@parts.network`)."""
    return _in_use is not None and backbone in _in_use.found["network"]


def backbone_identity(backbone: str) -> str:
    """The name of a backbone, of a user's own with the hash of its file: for what is remembered of networks."""
    return f"{backbone} {_in_use.sha256[:16]}" if _in_use is not None and is_own_network(backbone) else backbone


def is_own(name: str) -> bool:
    """Whether a configuration names one of the user's own parts."""
    return name.startswith(OWN)


def part(kind: str, name: str) -> Callable[..., Any]:
    """The user's own part that a configuration names, `own:NAME`.

    Raises:
        UserError: There is none; names the nearest and the file.
    """
    wanted = name.removeprefix(OWN)
    if _in_use is None:
        raise UserError(f"the {kind} {name!r} is one of your own, but there is no file of parts: name it by --parts")
    there = _in_use.found[kind]
    if wanted in there:
        return there[wanted]
    by_name = getattr(_in_use.module, wanted, None) if kind == "metric" else None
    if callable(by_name):
        return by_name
    close = difflib.get_close_matches(wanted, there, n=1, cutoff=0.5)
    guess = f": did you mean {close[0]!r}?" if close else "."
    listed = ", ".join(there) or "none"
    raise UserError(
        f"{_in_use.file} has no {kind} {wanted!r}{guess} There: {listed}. Put @parts.{kind} above the function"
    )


def decision_of(parts: Parts | None) -> str | None:
    """Name of the decision rule of a file, if it has one."""
    return next(iter(parts.found["decision"]), None) if parts is not None else None


def knobs_for(function: Callable[..., Any], positional: int, known: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The keyword arguments that a part takes, of those it may take.

    Args:
        function: The part.
        positional: How many arguments it is given by position.
        known: What it may take by name.
        kind: Its kind, for messages.

    Raises:
        UserError: It takes something else that has no default; names it.
    """
    parameters = list(inspect.signature(function).parameters.values())
    by_position = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if len(by_position) < positional and not any(each.kind == each.VAR_POSITIONAL for each in parameters):
        wanted = {"loss": "logits and targets", "metric": "the true classes and the answers"}
        wanted |= {"augmentation": "the pictures", "decision": "the probabilities and the prior"}
        raise UserError(f"{where(kind, function.__name__)} takes too few arguments: it is given {wanted[kind]}")
    taken = {}
    for each in [*by_position[positional:], *(each for each in parameters if each.kind == each.KEYWORD_ONLY)]:
        if each.name in known:
            taken[each.name] = known[each.name]
        elif each.default is each.empty:
            close = difflib.get_close_matches(each.name, known, n=1)
            guess = f": did you mean {close[0]!r}?" if close else "."
            raise UserError(
                f"{where(kind, function.__name__)} takes {each.name!r}, which it cannot be given{guess} Give it a "
                f"default, or take some of {', '.join(known)}"
            )
    return taken


def where(kind: str, name: str) -> str:
    """File, kind and name of a part, for messages."""
    file = "the file of parts" if _in_use is None else _in_use.file
    return f"{file}: the {kind} {name.removeprefix(OWN)!r}"


@contextmanager
def told_apart(kind: str, name: str) -> Iterator[None]:
    """While inside, what goes wrong is the part's doing: becomes a `UserError` that names file, function and line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # a trial goes on in parts of a batch
            raise
        line = None if _in_use is None else line_of(error, _in_use.file)
        at = f" in line {line}" if line else ""
        raise UserError(
            f"{where(kind, name)} fails: {type(error).__name__}{at}: {reason_of(error)}. Fix the function"
        ) from error
