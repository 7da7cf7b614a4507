"""Measures what networks cost to answer, in a process of its own: `python -m trainables.networks.time_answers`.

The part of `trainables.networks.measure_answers` that needs torch. It prints a list, with the numbers or the problem of
each network.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.networks.formulation import assemble
from trainables.networks.model import autocast, create_backbone, memory_format
from trainables.parts.loading import use_task_parts
from trainables.reason import reason_of

AT_A_TIME = 10
"""Networks that are in memory together and take turns, so that a busy minute of the machine slows all of them alike."""
WARM_UP_PASSES, WARM_UP_SECONDS = 5, 2.0
"""Of each network: whichever comes first, and one pass at least."""
ROUNDS, ENOUGH_SECONDS = 10, 10.0
"""Of each network: one that took so long has no more rounds, so that slow ones are measured in their time, too."""
ROUND_SECONDS = 0.1
"""Of each network in each round."""
FEWEST_PASSES, MOST_PASSES = 3, 50
"""Of each network in each round."""


def main() -> int:
    """Measures what stands on stdin."""
    what = json.load(sys.stdin)
    torch.set_num_threads(1)
    use_task_parts(what["parts"])
    device = torch.device(what["device"])
    torch.empty(1, device=device)  # where there is no such device, this says so
    networks, found = what["networks"], []
    for first in range(0, len(networks), AT_A_TIME):
        found += costs(networks[first : first + AT_A_TIME], what, device)
    print(json.dumps(found))
    return 0


def costs(networks: Sequence[tuple[str, str]], what: Mapping[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """Parameters of each network, and the milliseconds of one picture: median, fastest tenth, slowest tenth.

    Args:
        networks: timm name and formulation of each.
        what: `num_classes`, `attributes`, `image_size` and `precision` of the search.
        device: Where they answer.

    Returns:
        Numbers, or the problem, of each.
    """
    turns: list[_Turns | None] = []
    found: list[dict[str, Any]] = []
    for backbone, formulation in networks:
        try:
            turns.append(_Turns(backbone, formulation, what, device))
            found.append({})
        except Exception as error:  # timm raises what it likes where a size does not suit a network
            turns.append(None)
            found.append({"problem": reason_of(error)})
    for _ in range(ROUNDS):
        for each in filter(None, turns):
            each.take()
    return [numbers if each is None else each.numbers() for each, numbers in zip(turns, found, strict=True)]


class _Turns:
    """A network and the time of its passes."""

    def __init__(self, backbone: str, formulation: str, what: Mapping[str, Any], device: torch.device) -> None:
        """Builds the network, and lets it answer a few times."""
        size, layout = what["image_size"], memory_format(backbone, device, what["precision"])
        create = partial(create_backbone, backbone, image_size=size)
        network = assemble(formulation, what["num_classes"], what["attributes"], create)
        self._network: nn.Module = network.eval().to(device).to(memory_format=layout)
        self._picture = torch.rand(1, 3, size, size, device=device).contiguous(memory_format=layout)
        self._device, self._precision = device, what["precision"]
        self._seconds: list[float] = []
        # One thread's own time does not count what other processes take of the core; a GPU's is only seen from outside.
        self._clock = time.thread_time if device.type == "cpu" else time.perf_counter
        self._taken = 0.0
        begun = time.perf_counter()
        for _ in range(WARM_UP_PASSES):
            self._answer()
            if time.perf_counter() - begun >= WARM_UP_SECONDS:
                break

    def take(self) -> None:
        """Answers for a tenth of a second, and three times at least; not at all once that has taken long enough."""
        if self._taken >= ENOUGH_SECONDS:
            return
        begun = time.perf_counter()
        until = begun + ROUND_SECONDS
        self._answer()  # what the networks before it left in the caches is not its own
        for passes in range(MOST_PASSES):
            if passes >= FEWEST_PASSES and time.perf_counter() >= until:
                break
            before = self._clock()
            self._answer()
            self._seconds.append(self._clock() - before)
        self._taken += time.perf_counter() - begun

    def numbers(self) -> dict[str, Any]:
        """What was found out."""
        low, middle, high = np.quantile(np.asarray(self._seconds) * 1000, (0.1, 0.5, 0.9))
        return {
            "parameters": sum(parameter.numel() for parameter in self._network.parameters()),
            "ms": round(float(middle), 4),
            "ms_low": round(float(low), 4),
            "ms_high": round(float(high), 4),
        }

    def _answer(self) -> None:
        with torch.inference_mode(), autocast(self._device, self._precision):
            self._network(self._picture).float().cpu()  # waits for the device


if __name__ == "__main__":
    sys.exit(main())
