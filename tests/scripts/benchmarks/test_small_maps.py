"""Steps without and with padded small maps, in turns."""

from __future__ import annotations

from scripts.benchmarks.small_maps import step_seconds


def test_every_step_but_the_first_is_timed_in_both_ways() -> None:
    before, now = step_seconds("test_efficientnet", size=32, batch_size=4, steps=2)
    assert len(before) == len(now) == 2
    assert min(*before, *now) > 0
