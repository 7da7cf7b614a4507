"""How the nodes of a cluster are shared out: each answer can be placed, what cannot is refused with the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from search.machine.placement import Room, slots
from search.study import AskedStudy, SettledStudy
from trainables.errors import UserError

CPU, GPU = {"gpus_per_trial": 0}, {"gpus_per_trial": 1}
SHAPES: list[tuple[list[tuple[int, ...]], dict[str, Any], tuple[int, int, float]]] = [
    # (cores, GPUs, trials its memory has room for) of each node; what was asked for; trials at a time, cores and GPUs
    ([(1,)], {}, (1, 1, 0)),
    ([(2,)], {}, (2, 1, 0)),
    ([(4,), (4,)], {}, (8, 1, 0)),
    ([(64,), (64,)], {}, (128, 1, 0)),
    ([(64, 0, 20), (64, 0, 30)], {}, (50, 1, 0)),  # by memory
    ([(1,), (64, 0, 40)], {}, (41, 1, 0)),
    ([(3,), (5,)], {"cpus_per_trial": 2}, (3, 2, 0)),
    ([(3,), (5,)], {"cpus_per_trial": 4}, (1, 4, 0)),
    ([(8,), (8,)], {"concurrency": 2}, (2, 8, 0)),
    ([(8,), (8,)], {"concurrency": 3}, (3, 4, 0)),
    ([(4,), (16,)], {"concurrency": 5}, (5, 4, 0)),
    ([(64,), (64,)], {"trials": 12}, (12, 1, 0)),
    ([(4,), (1, 1)], {}, (1, 1, 1)),  # a head without a GPU, a node with one
    ([(4,), (1, 1)], CPU, (5, 1, 0)),
    ([(8, 4), (16, 1)], {}, (5, 2, 1)),  # no GPU is left idle
    ([(32, 8)] * 4, {}, (32, 4, 1)),
    ([(128, 8), (16, 8)], {}, (16, 2, 1)),
    ([(1, 4)], {}, (1, 1, 1)),  # a GPU without a core of its own
    ([(1, 4), (8, 1)], {}, (2, 1, 1)),
    ([(64,), (8, 1)], {"gpus_per_trial": 0.5}, (2, 4, 0.5)),
    ([(6, 2), (2, 1)], {"gpus_per_trial": 0.5}, (6, 1, 0.5)),
    ([(8, 1), (8, 1)], {"gpus_per_trial": "auto", "concurrency": 4}, (4, 4, 0.5)),
    ([(8, 1), (8, 1)], {"gpus_per_trial": "auto"}, (2, 8, 1)),
    ([(16, 2)], {"concurrency": 1}, (1, 16, 1)),
    ([(16, 2), (16, 2)], {"concurrency": 4, "cpus_per_trial": 3}, (4, 3, 1)),
    ([(96,)] * 1000, {}, (96_000, 1, 0)),
    ([(96, 8)] * 125, {}, (1000, 12, 1)),
]


def settled(shape: list[tuple[int, ...]], asked: dict[str, Any]) -> tuple[list[Room], SettledStudy]:
    rooms = [Room(*node) for node in shape]
    return rooms, AskedStudy.of(address="auto", **asked).settle(0, 0, rooms=rooms)


@pytest.mark.parametrize(("shape", "asked", "expected"), SHAPES)
def test_every_answer_can_be_placed(
    shape: list[tuple[int, ...]], asked: dict[str, Any], expected: tuple[int, int, float]
) -> None:
    rooms, study = settled(shape, asked)
    assert (study.concurrency, study.cpus_per_trial, study.gpus_per_trial) == expected
    assert fill(rooms, study) >= study.concurrency
    assert slots(rooms, study.cpus_per_trial, study.gpus_per_trial) >= study.concurrency


def fill(rooms: list[Room], study: SettledStudy) -> int:
    """Puts trials on nodes one by one, as long as there is room."""
    placed = 0
    for room in rooms:
        cores, gpus, most = room.num_cpus, [1.0] * room.num_gpus, room.most_trials
        while cores >= study.cpus_per_trial and (most is None or study.gpus_per_trial or most > 0):
            share = study.gpus_per_trial
            if share >= 1:
                if len(gpus) < share:
                    break
                gpus = gpus[int(share) :]
            elif share:
                free = [number for number, left in enumerate(gpus) if left >= share]
                if not free:
                    break
                gpus[free[0]] -= share
            cores -= study.cpus_per_trial
            most = None if most is None else most - 1
            placed += 1
    return placed


@pytest.mark.parametrize(
    ("shape", "asked", "message"),
    [
        ([(4,), (4,)], {"cpus_per_trial": 8}, "8 cores and 0 GPUs fits on no node: 2 nodes have 4 cores and 0 GPUs"),
        ([(4,), (1, 1)], {"cpus_per_trial": 2, **GPU}, "1 node has 4 cores and 0 GPUs; 1 node has 1 core and 1 GPU"),
        ([(4,), (4,)], GPU, "1 core and 1 GPU fits on no node"),
        ([(4,), (4,)], {"concurrency": 9}, "--concurrency 9 .* the nodes have room for 8 at a time"),
        ([(5,), (5,)], {"concurrency": 3, "cpus_per_trial": 4}, "room for 2 at a time"),
        ([], {}, "no node has cores to give"),
    ],
)
def test_what_fits_nowhere_is_refused_with_the_numbers(
    shape: list[tuple[int, ...]], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        settled(shape, asked)


def test_how_many_run_follows_the_nodes_unless_it_was_said() -> None:
    _, study = settled([(4,), (4,)], {})
    assert (study.concurrency_open, study.options["concurrency"]) == (True, "auto")
    _, study = settled([(4,), (4,)], {"concurrency": 2})
    assert (study.concurrency_open, study.options["concurrency"]) == (False, 2)
