"""What is proposed is the best that the process can find, not just the best of a sample."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from search.engine import sampler
from search.engine.sampler import Seen, propose
from spaces.sampling import RecordedTrial, at_share
from trainables.errors import UserError


def square(trial: Any) -> None:
    """Two numbers; `height` is highest inside."""
    trial.suggest_float("x", 0.0, 1.0)
    trial.suggest_float("y", 1e-4, 1.0, log=True)


def height(params: dict[str, Any]) -> float:
    return -((params["x"] - 0.37) ** 2) - (np.log10(params["y"]) + 1.7) ** 2 / 16


def rare(trial: Any) -> None:
    """A choice under which there is a number that the others do not have."""
    if trial.suggest_categorical("kind", list("abcdefgh")) != "a":
        trial.suggest_float("number", 0.0, 1.0)
        trial.suggest_float(f"of_{trial.params['kind']}", 0.0, 1.0)
    trial.suggest_float("x", 0.0, 1.0)


def drawn(space: Any, count: int, rng: np.random.Generator) -> list[RecordedTrial]:
    trials = [RecordedTrial(lambda _, distribution: at_share(distribution, rng.random())) for _ in range(count)]
    for trial in trials:
        space(trial)
    return trials


def test_it_climbs_from_the_best_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [
        Seen(one.params, one.distributions, height(one.params)) for one in drawn(square, 20, np.random.default_rng(0))
    ]

    def distances() -> list[float]:
        proposed = [propose(square, seen, np.random.default_rng(seed)).params for seed in range(20)]
        return [float(np.hypot(one["x"] - 0.37, (np.log10(one["y"]) + 1.7) / 4)) for one in proposed]

    monkeypatch.setattr(sampler, "RANDOM_CANDIDATES", 30)
    monkeypatch.setattr(sampler, "CHILDREN", 2)
    climbed = distances()
    monkeypatch.setattr(sampler, "FINE_STEPS", ())
    assert np.std(climbed) < 0.7 * np.std(distances()), "proposals for the same trials agree on the peak"


def test_a_parameter_that_nobody_had_yet_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "RANDOM_CANDIDATES", 1)
    monkeypatch.setattr(sampler, "CHILDREN", 1)
    plain = [one for one in drawn(rare, 200, np.random.default_rng(1)) if one.params["kind"] == "a"][:12]
    seen = [Seen(one.params, one.distributions, one.params["x"]) for one in plain]
    kinds = {propose(rare, seen, np.random.default_rng(seed)).params["kind"] for seed in range(40)}
    assert "a" in kinds and len(kinds) > 1


def test_what_a_space_fails_on_is_left_out_and_a_space_that_always_fails_is_refused() -> None:
    def patchy(trial: Any) -> None:
        x = trial.suggest_float("x", 0.0, 1.0)
        if 0.4 < x < 0.6:
            raise KeyError(x)

    seen: list[Seen] = []
    with pytest.warns(UserWarning, match=r"the space fails on .*KeyError.* these are left out"):
        for number in range(12):
            trial = propose(patchy, seen, np.random.default_rng(number))
            seen.append(Seen(trial.params, trial.distributions, -abs(trial.params["x"] - 0.5)))
    assert not any(0.4 < one.params["x"] < 0.6 for one in seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it has been said
        propose(patchy, seen, np.random.default_rng(99))

    def broken(trial: Any) -> None:
        raise KeyError("gone")

    with pytest.warns(UserWarning), pytest.raises(UserError, match="fails on 64 samples one after another: KeyError"):
        propose(broken, [], np.random.default_rng(0))


def uneven(trial: Any) -> None:
    """Four configurations, of which one is drawn every second time."""
    for number in range(3):
        if trial.suggest_categorical(f"choice{number}", [0, 1]):
            return


@pytest.mark.parametrize("price", [None, lambda candidates: np.zeros(len(candidates))])
def test_the_first_trials_are_none_that_is_known_while_there_are_others(price: Any) -> None:
    for seed in range(5):
        seen: list[Seen] = []
        for number in range(6):
            trial = propose(uneven, seen, np.random.default_rng([seed, number]), price)
            seen.append(Seen(trial.params, trial.distributions, None if number % 2 else 0.5))
        assert len({str(one.params) for one in seen[:4]}) == 4
        assert all(any(one.params == known.params for known in seen[:4]) for one in seen[4:]), "then they come again"
