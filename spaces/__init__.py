"""Search spaces: functions from an Optuna trial to a `TrialConfig`, one file a space, named like `--space`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import optuna

from spaces import all as all_families  # hides the builtin `all` in this module, as importing spaces.all does anyway
from spaces import baseline, convnext, densenet, efficientnet, mobilenet, resnet, toy, vit
from spaces.user_space import absolute_space, check_user_space, is_user_space, load_user_space, user_space_name
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.parts.registry import Parts

__all__ = [
    "SPACES",
    "SearchSpace",
    "Space",
    "absolute_space",
    "fixed_settings",
    "get_space",
    "is_user_space",
    "space_name",
]

SearchSpace = Callable[[optuna.Trial], TrialConfig]

SPACES = {
    "baseline": baseline,
    "toy": toy,
    "efficientnet": efficientnet,
    "resnet": resnet,
    "densenet": densenet,
    "convnext": convnext,
    "vit": vit,
    "mobilenet": mobilenet,
    "all": all_families,
}
"""Space name to its module: `BACKBONES`, `suggest(trial, backbones)`, `starting_points(backbones)`."""

JOINT = ("joint",)


@dataclass(frozen=True)
class Space:
    """A space narrowed to the backbones of one search."""

    name: str
    """Fit to name a file: of a built-in space as asked for, of a user's own `<file>-<function>`."""
    backbones: tuple[str, ...]
    suggest: SearchSpace
    """Picklable: a `functools.partial` of a module-level function, or a `UserSpace`."""
    starting_points: tuple[TrialConfig, ...]
    """Tried first; the first of all is the default configuration."""
    num_configs: int | None
    """Configurations that the space has; None if there are more than one would count."""
    formulations: tuple[str, ...] = JOINT
    """Formulations that it may propose."""
    own: bool = False
    """Whether it comes from a file of the user's, whose backbones only its author can narrow."""
    parts: Parts | None = None
    """The user's own parts in that file; None where it holds none."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that it does not propose here, with the value that each has."""

    def fixing(self, settings: Mapping[str, Any]) -> Space:
        """The same, in which some settings are not proposed but have one value, in the starting points as well."""
        if not settings:
            return self
        points = dict.fromkeys(replace(point, **settings) for point in self.starting_points)
        suggest = partial(_suggest_fixed, self.suggest, dict(settings))
        fixed = {**self.fixed, **settings}
        return replace(self, suggest=suggest, starting_points=tuple(points), fixed=fixed)


class _Fixed:
    """An Optuna trial that answers with one value where it is asked for a fixed setting, and proposes all others."""

    def __init__(self, trial: optuna.Trial, settings: Mapping[str, Any]) -> None:
        self._trial, self._settings = trial, settings

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._trial, name)
        if not name.startswith("suggest_"):
            return asked
        fixed = self._settings
        return lambda name, *args, **kwargs: fixed[name] if name in fixed else asked(name, *args, **kwargs)


def _suggest_fixed(suggest: SearchSpace, settings: Mapping[str, Any], trial: optuna.Trial) -> TrialConfig:
    return replace(suggest(cast("optuna.Trial", _Fixed(trial, settings))), **settings)


def fixed_settings(*, flips: bool = True, pretrained: bool = True) -> dict[str, Any]:
    """What would say nothing in a search, or may not be proposed in it.

    Args:
        flips: Whether pictures may be mirrored.
        pretrained: Whether any network starts from weights; from random ones no stage of one is frozen.
    """
    return ({} if flips else {"flip": 0.0}) | ({} if pretrained else {"frozen_stages": 0})


def get_space(
    name: str,
    backbones: Sequence[str] = (),
    formulations: Sequence[str] = (),
    *,
    flips: bool = True,
    pretrained: bool = True,
) -> Space:
    """The space of this name, narrowed to some of its backbones; none given means all.

    Args:
        name: Of a built-in space, or `path/to/file.py:function`, a define-by-run function of an Optuna trial that
            returns a `TrialConfig`.
        backbones: Those to keep.
        formulations: Those to choose from, where several are suggested as `formulation`. None given means joint, or
            those that a user's own space proposes.
        flips: Whether pictures may be mirrored, as the space proposes.
        pretrained: Whether any of its networks starts from weights.

    Raises:
        UserError: There is no such space or backbone; names the nearest. Or the user's own space breaks a rule; names
            its file, its function, what is wrong and the way out.
    """
    if is_user_space(name):
        space = _user_space(name, backbones, formulations)
    else:
        space = _built_in_space(name, backbones, formulations)
    return space.fixing(fixed_settings(flips=flips, pretrained=pretrained))


def _built_in_space(name: str, backbones: Sequence[str], formulations: Sequence[str]) -> Space:
    if name not in SPACES:
        raise UserError(
            f"there is no space {name!r}{_nearest(name, list(SPACES))} Spaces: {', '.join(SPACES)}, "
            "or path/to/file.py:function for one of your own"
        )
    module, formulations = SPACES[name], tuple(formulations) or JOINT
    for backbone in backbones:
        if backbone not in module.BACKBONES:
            raise UserError(
                f"the space {name} has no backbone {backbone!r}{_nearest(backbone, list(module.BACKBONES))} "
                f"Backbones: {', '.join(module.BACKBONES)}"
            )
    chosen = tuple(backbone for backbone in module.BACKBONES if backbone in backbones or not backbones)
    points = _in_formulations(module.starting_points(chosen), formulations)
    return Space(
        name=name,
        backbones=chosen,
        suggest=_formulated(partial(module.suggest, backbones=chosen), formulations),
        starting_points=points,
        num_configs=len(points) if module is baseline else None,
        formulations=formulations,
    )


def space_name(asked: str) -> str:
    """The name under which a space is recorded, from what `--space` says; loads nothing."""
    return user_space_name(asked) if is_user_space(asked) else asked


def _user_space(asked: str, backbones: Sequence[str], formulations: Sequence[str]) -> Space:
    space = load_user_space(asked)
    found = check_user_space(space)
    if backbones and set(backbones) != set(found.backbones):
        raise UserError(
            f"--backbones narrows the built-in spaces only: {space.where} has {', '.join(found.backbones)}, wanted are "
            f"{', '.join(backbones)}. Choose the backbones in the file, and start a new run; one that goes on needs "
            "those that it began with"
        )
    if found.formulations and formulations:
        raise UserError(f"{space.where} proposes the formulation itself: leave --formulation out")
    formulations = tuple(formulations) or JOINT
    return Space(
        name=user_space_name(asked),
        backbones=found.backbones,
        suggest=space if found.formulations else _formulated(space, formulations),
        starting_points=found.points if found.formulations else _in_formulations(found.points, formulations),
        num_configs=None,
        formulations=found.formulations or formulations,
        own=True,
        parts=None if space.parts.is_empty else space.parts,
    )


def _formulated(suggest: SearchSpace, formulations: Sequence[str]) -> SearchSpace:
    return suggest if tuple(formulations) == JOINT else partial(_suggest_formulated, suggest, tuple(formulations))


def _suggest_formulated(suggest: SearchSpace, formulations: tuple[str, ...], trial: optuna.Trial) -> TrialConfig:
    several = len(formulations) > 1
    chosen = trial.suggest_categorical("formulation", formulations) if several else formulations[0]
    return replace(suggest(trial), formulation=chosen)


def _in_formulations(points: Sequence[TrialConfig], formulations: Sequence[str]) -> tuple[TrialConfig, ...]:
    """The points in the first formulation, the default also in each other one."""
    first, *others = formulations
    default, *rest = [replace(point, formulation=first) for point in points]
    return (default, *(replace(default, formulation=other) for other in others), *rest)


def _nearest(name: str, names: list[str]) -> str:
    close = [each for each in names if _abbreviates(name, each)] or difflib.get_close_matches(
        name, names, 1, cutoff=0.5
    )
    return f": did you mean {close[0]!r}?" if close else "."


def _abbreviates(short: str, name: str) -> bool:
    """Whether the letters of a word stand in a name in their order from its first on, as those of effnet do."""
    letters = iter(name)
    in_order = [letter in letters for letter in short]
    return len(short) > 1 and short[0] == name[0] and False not in in_order
