"""Runs a search space without a study: on known values, at random, or near another trial."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from numbers import Real
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial

Space = Callable[[Any], Any]
"""A define-by-run function of an Optuna trial; returns a dataclass, a mapping, or None for the suggested parameters."""


class RecordedTrial(FixedTrial):
    """A trial that asks a function for each value and records what the space suggested.

    Stands in for Optuna's own trial wherever no study is needed: to replay a configuration and to draw at random.
    """

    def __init__(self, choose: Callable[[str, BaseDistribution], Any], number: int = 0) -> None:
        super().__init__({}, number)
        self._choose = choose
        self._values: dict[str, Any] = {}
        self._ranges: dict[str, BaseDistribution] = {}

    def _chosen(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._values:
            self._values[name] = self._choose(name, distribution)
            self._ranges[name] = distribution
        return self._values[name]

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggests a float, as Optuna's trial does."""
        return self._chosen(name, _float(low, high, log, step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggests an integer, as Optuna's trial does."""
        return self._chosen(name, _int(low, high, log, step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggests one of the choices, as Optuna's trial does."""
        return self._chosen(name, _categorical(tuple(choices), tuple(map(type, choices))))

    @property
    def params(self) -> dict[str, Any]:
        """Values by the names suggested so far."""
        return self._values

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Ranges by the names suggested so far."""
        return self._ranges


def config_of(space: Space, trial: Any) -> dict[str, Any]:
    """The configuration that a space returns for a trial, as a plain dict."""
    returned = space(trial)
    if returned is None:
        return dict(trial.params)
    if is_dataclass(returned) and not isinstance(returned, type):
        return asdict(returned)
    return dict(returned)


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """The value of a distribution that is nearest to a given one.

    Raises:
        ValueError: No value of the distribution stands for it: a choice that is not among the categories, or no number.
    """
    if isinstance(distribution, CategoricalDistribution):
        distribution.to_internal_repr(value)  # raises ValueError for an unknown choice
        return value
    if not _is_number(value):
        raise ValueError(f"{value!r} is no finite number")
    return _nearest_number(distribution, value)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _nearest_number(distribution: BaseDistribution, value: Any) -> float | int:
    low, high, step, _, number = _bounds(distribution)
    value = low if value < low else high if value > high else value
    if step:
        on_grid = min(low + round((value - low) / step) * step, high)
        value = value if math.isclose(on_grid, value, rel_tol=1e-9, abs_tol=1e-12) else on_grid
    return number(value)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of a distribution's, but for rounding."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    try:
        return math.isclose(nearest(distribution, value), value, rel_tol=1e-9, abs_tol=1e-12)
    except ValueError:
        return False


def has_place(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value can be put on the scale of a distribution, inside its range or beyond it."""
    if isinstance(distribution, CategoricalDistribution):
        return True  # none of the choices, at worst
    if not _is_number(value):
        return False
    return not _bounds(distribution)[3] or value > 0


def widened(distribution: BaseDistribution, value: Any) -> BaseDistribution:
    """The distribution if it contains the value, else the smallest like it that does: for what was trained once."""
    if contains(distribution, value):
        return distribution
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution((*distribution.choices, value))
    if not _is_number(value):
        return CategoricalDistribution((value,))
    low, high, _, log, number = _bounds(distribution)
    low, high = min(low, value), max(high, value)
    if number is int and value == int(value):
        return IntDistribution(int(low), int(high), log=log and low >= 1)
    return FloatDistribution(low, high, log=log and low > 0)


def in_words(distribution: BaseDistribution) -> str:
    """The values of a distribution: its ends, or its choices."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    low, high, *_ = _bounds(distribution)
    return f"{low:g} to {high:g}"


def at_share(distribution: BaseDistribution, share: float) -> Any:
    """The value of a distribution below which the given share (0 to 1) of it lies."""
    if type(distribution) is CategoricalDistribution:
        return distribution.choices[min(int(share * len(distribution.choices)), len(distribution.choices) - 1)]
    low, high, step, log, _ = _bounds(distribution)
    half = step / 2  # every grid value owns the stretch around it
    if log:
        value = math.exp(math.log(low - half) + share * (math.log(high + half) - math.log(low - half)))
    else:
        value = low - half + share * (high - low + 2 * half)
    return _nearest_number(distribution, value)


def share_of(distribution: BaseDistribution, value: Any) -> float:
    """The share (0 to 1) of a numeric distribution that lies below a value: the inverse of `at_share`."""
    low, high, step, log, _ = _bounds(distribution)
    half = step / 2
    if log:
        low, high, half, value = math.log(low - half), math.log(high + half), 0.0, math.log(value)
    width = high - low + 2 * half
    return (value - low + half) / width if width > 0 else 0.5


# A proposal runs the space hundreds of times: making distributions and asking them would take most of that time.

Bounds = tuple[float, float, float, bool, type[float] | type[int]]
_KNOWN: dict[int, tuple[BaseDistribution, Bounds]] = {}


def _bounds(distribution: BaseDistribution) -> Bounds:
    """Low, high, step (0 for none), whether the scale is logarithmic, and the type of its values."""
    known = _KNOWN.get(id(distribution))
    if known is not None and known[0] is distribution:
        return known[1]
    numeric: Any = distribution
    number = int if isinstance(distribution, IntDistribution) else float
    bounds = (numeric.low, numeric.high, numeric.step or 0, numeric.log, number)
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[id(distribution)] = distribution, bounds
    return bounds


MOST_KNOWN = 4096


@functools.lru_cache(maxsize=1024)
def _float(low: float, high: float, log: bool, step: float | None) -> FloatDistribution:
    return FloatDistribution(low, high, log=log, step=step)


@functools.lru_cache(maxsize=1024)
def _int(low: int, high: int, log: bool, step: int) -> IntDistribution:
    return IntDistribution(low, high, log=log, step=step)


@functools.lru_cache(maxsize=1024)
def _categorical(choices: tuple[Any, ...], types: tuple[type, ...]) -> CategoricalDistribution:
    return CategoricalDistribution(choices)  # types keep 1, 1.0 and True apart in the cache
