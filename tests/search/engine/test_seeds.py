"""A seed for each trial."""

from __future__ import annotations

from search.engine.searcher import StudySearcher, build_searcher
from search.engine.seeds import OwnSeeds, seed_of
from spaces import get_space


def build() -> StudySearcher:
    return build_searcher(get_space("toy").suggest, metric="score", mode="max", max_epochs=3, seed=0)


def test_each_trial_has_a_seed_of_its_own_and_the_first_that_of_the_search() -> None:
    seeds = [seed_of(f"{number:05d}", 7) for number in range(50)]
    assert seeds[0] == 7
    assert len({*seeds, *range(7, 30)}) == 50 + 22  # none of those that a re-training counts up to
    assert seeds == [seed_of(f"{number:05d}", 7) for number in range(50)]
    assert seeds[1] != seed_of("00001", 8)


def test_the_proposals_are_those_of_the_searcher() -> None:
    proposer, plain = OwnSeeds(build(), 3), build()
    for name in ("00000", "00001"):
        proposed = proposer.suggest(name)
        assert proposed.pop("task") == {"seed": seed_of(name, 3)}
        assert proposed == plain.suggest(name)
        for each in (proposer, plain):
            each.on_trial_complete(name, {"training_iteration": 1, "score": 0.5}, False, None)
