"""What is proposed is the best that the process can find, not just the best of a sample."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from search.engine import sampler
from search.engine.draws import Seen, near_the_best
from search.engine.sampler import propose
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


def differing(one: Any, other: Any) -> int:
    return sum(other.params.get(name) != value for name, value in one.params.items())


def many(trial: Any) -> None:
    for number in range(24):
        trial.suggest_float(f"of_{number}", 0.0, 1.0)


@pytest.mark.parametrize("price", [None, lambda trials: np.zeros(len(trials))])
def test_near_a_good_configuration_few_settings_change_at_first_and_more_later(price: Any) -> None:
    trials = drawn(many, 200, np.random.default_rng(0))

    def changed(count: int) -> float:
        seen = [Seen(one.params, one.distributions, -float(number)) for number, one in enumerate(trials[:count])]
        draws = [propose(many, seen, np.random.default_rng(seed), price, near=True) for seed in range(40)]
        return float(np.mean([differing(one, trials[0]) for one in draws]))

    assert changed(1) == changed(sampler.STARTUP_TRIALS - 1) == pytest.approx(sampler.FEW, abs=0.8)
    running = [Seen(one.params, one.distributions, None) for one in trials[:3]]
    alone = propose(many, running, np.random.default_rng(0), price, near=True)
    assert 0 < differing(alone, trials[0]) < 12, "with nothing known yet, it is like the first"
    assert differing(propose(many, running, np.random.default_rng(0), price), trials[0]) == 24


def test_what_failed_is_no_good_configuration_to_stay_near() -> None:
    trials = drawn(many, 3, np.random.default_rng(0))
    failed = [Seen(one.params, one.distributions, 0.0, has_failed=True) for one in trials]
    assert differing(propose(many, failed, np.random.default_rng(0), near=True), trials[0]) == 24
    seen = [*failed[:1], Seen(trials[1].params, trials[1].distributions, 0.0), *failed[2:]]
    assert differing(propose(many, seen, np.random.default_rng(0), near=True), trials[1]) < 12


def test_what_the_process_prefers_is_near_one_of_the_best_at_first() -> None:
    good = drawn(many, 1, np.random.default_rng(1))[0]
    one_off = [
        RecordedTrial(lambda name, _, at=at: 0.5 if name == f"of_{at}" else good.params[name]) for at in range(9)
    ]
    for one in one_off:
        many(one)
    seen = [Seen(one.params, one.distributions, float(number % 4)) for number, one in enumerate([good, *one_off])]
    near, far = (
        [propose(many, seen, np.random.default_rng(seed), near=near).params for seed in range(8)]
        for near in (True, False)
    )

    def changed(params: dict[str, Any]) -> int:
        return min(sum(value != one.params[name] for name, value in params.items()) for one in one_off)

    assert max(map(changed, near)) < 12 < max(map(changed, far))


def test_what_is_drawn_beside_a_good_configuration_is_any_in_the_end() -> None:
    trials = drawn(many, 200, np.random.default_rng(0))
    for mean, at_least in ((2.0, 1), (8.0, 6), (24.0, 23)):
        seen = [Seen(one.params, one.distributions, -float(number)) for number, one in enumerate(trials[:8])]
        draw = near_the_best(many, seen, mean)
        assert np.mean([differing(draw(np.random.default_rng(seed)), trials[0]) for seed in range(40)]) > at_least


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
