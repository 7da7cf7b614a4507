"""Measures what networks cost to answer, as far as the cache does not know: asked for without torch.

The time is that of a batch of one, as a model answers, in its precision: on one thread of a CPU, or on a GPU, from a
picture that is on the device to logits that are back. On a CPU it is the thread's own time, in which other processes do
not count. It is measured in a process of its own, and a measurement that was steady is kept in the cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeGuard

from trainables.config import Precision
from trainables.errors import UserError
from trainables.machine.hardware import hardware_in_words, unusual_precision, visible_gpus
from trainables.networks.answering_costs import AnsweringCost, AnsweringCosts
from trainables.networks.known_costs import keep_fact, library_versions, recall_fact
from trainables.parts.registry import backbone_identity, in_use

ROOT = Path(__file__).resolve().parents[2]
VERSION = 1
"""Part of the cache's keys: raise it when what is measured changes."""
START_SECONDS, NETWORK_SECONDS = 120, 60
"""After which the measuring process is given up: for its imports, and for each network."""
CALM = 1.5
"""A measurement whose slow tenth is at most so many times its median is steady, and is kept."""


def measure_answering(
    networks: Sequence[tuple[str, str]],
    *,
    num_classes: int,
    attributes: Mapping[str, Sequence[str]],
    image_size: int,
    device: str,
    cache_dir: Path,
    precision: Precision = "auto",
) -> tuple[AnsweringCosts, dict[str, str]]:
    """Measures networks, as far as the cache does not know them.

    Args:
        networks: timm name and formulation of each.
        num_classes: Classes of the search.
        attributes: Each attribute's value for each class, where the classes have some.
        image_size: Side of the picture, in pixels.
        device: cpu, cuda or mps.
        cache_dir: Folder of the cache.
        precision: What they compute in.

    Returns:
        Their costs, and by backbone why one cannot be measured.

    Raises:
        UserError: Nothing can be measured on the device; says why.
    """
    sizes = [len(set(by_class)) for by_class in attributes.values()]
    where = where_in_words(device)

    def key(network: tuple[str, str]) -> str:
        size = f"{num_classes} {sizes}" if network[1] != "joint" else str(num_classes)
        what = f"{backbone_identity(network[0])} {network[1]} {image_size} {size}"
        return f"answer {VERSION} {unusual_precision(device, precision)}{what} {where} {library_versions()}"

    recalled = {network: recall_fact(cache_dir, key(network)) for network in networks}
    known = {network: fact for network, fact in recalled.items() if _is_cost(fact)}
    missing = [network for network in networks if network not in known]
    problems: dict[str, str] = {}
    if missing:
        what = {
            "networks": missing,
            "num_classes": num_classes,
            "attributes": {name: list(by_class) for name, by_class in attributes.items()},
            "image_size": image_size,
            "device": device,
            "precision": precision,
            "parts": parts.to_task() if (parts := in_use()) is not None else {},
        }
        for network, found in zip(missing, _measure(what), strict=True):
            if "problem" in found:
                problems[network[0]] = found["problem"]
                continue
            known[network] = found
            if found["ms_high"] <= CALM * found["ms"]:
                keep_fact(cache_dir, key(network), found)
    costs = tuple(AnsweringCost(*network, **known[network]) for network in networks if network in known)
    return AnsweringCosts(where, costs), problems


def where_in_words(device: str) -> str:
    """What answers on a device, as in `1 thread of 2 cores of Intel(R) Xeon(R) Processor`."""
    if device == "cuda":
        return next(iter(visible_gpus()), "GPU")
    return f"1 thread of {hardware_in_words().rpartition(', ')[0]}" if device == "cpu" else f"the {device} device"


_NUMBERS = tuple(field.name for field in fields(AnsweringCost) if field.name not in ("backbone", "formulation"))


def _is_cost(known: object) -> TypeGuard[dict[str, Any]]:
    """Whether a fact of the cache is what `_measure` gives for a network."""
    return (
        isinstance(known, dict)
        and set(known) == set(_NUMBERS)
        and all(type(number) in (int, float) and number > 0 for number in known.values())
    )


def _measure(what: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `trainables.networks.time_answers` finds out about networks, in their order: numbers, or a problem each.

    Raises:
        UserError: It cannot, or not in time.
    """
    command = [sys.executable, "-m", "trainables.networks.time_answers"]
    timeout = START_SECONDS + NETWORK_SECONDS * len(what["networks"])
    try:
        done = subprocess.run(
            command, cwd=ROOT, input=json.dumps(what), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"the time of one picture could not be measured within {timeout} s: is the machine busy? If not, give a "
            "smaller --image-size, or --backbones without the slowest"
        ) from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UserError(
            f"the time of one picture cannot be measured on {what['device']}: "
            f"{said[-1] if said else f'the process ended with {done.returncode}'}"
        )
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
