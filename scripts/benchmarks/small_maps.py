"""How much faster networks are trained on a CPU by our convolutions over small maps, as ratios in one run.

    python scripts/benchmarks/small_maps.py --image-sizes 64 96

Each network takes bare steps of forward, backward and update on random pictures, with torch's and with ours in turns,
so that what else happens on the machine falls on both alike. Printed as a table, as docs/speed.md has it.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch

from trainables.machine.allocator import keep_freed_memory
from trainables.machine.hardware import hardware_in_words
from trainables.networks.model import memory_format
from trainables.networks.network_costs import build, training_step
from trainables.networks.small_maps import suit_small_maps

BACKBONES = (
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "tf_efficientnetv2_b0",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small",
    "convnext_atto",
    "resnet18",
)
"""The last has none of them: its ratio is the noise of the machine."""
CPU = torch.device("cpu")


def step_seconds(backbone: str, size: int, batch_size: int, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of training steps with torch's convolutions and with ours, in turns; without the first, a warm-up."""
    layout = memory_format(backbone, CPU)
    plain = build(backbone, size).to(memory_format=layout).train()
    ours = copy.deepcopy(plain)
    suit_small_maps(ours)
    before, now = (training_step(model, size, batch_size, CPU, layout) for model in (plain, ours))
    seconds = [(_timed(before), _timed(now)) for _ in range(steps + 1)][1:]
    return [old for old, _ in seconds], [new for _, new in seconds]


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main(arguments: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description="Training steps on a CPU: convolutions over small maps, torch's and ours."
    )
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--image-sizes", nargs="+", type=int, default=[64, 96])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=25)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    print(f"{hardware_in_words()}, {asked.threads} threads, batches of {asked.batch_size}, n = {asked.steps} steps\n")
    print("| network | px | before, images/s | now, images/s | times as fast |\n|---|--:|--:|--:|--:|")
    for size in asked.image_sizes:
        for backbone in asked.backbones:
            before, now = step_seconds(backbone, size, asked.batch_size, asked.steps)
            low, middle, high = np.percentile(np.array(before) / np.array(now), (25, 50, 75))
            speeds = (f"{asked.batch_size / np.median(seconds):.0f}" for seconds in (before, now))
            print(f"| {backbone} | {size} | {' | '.join(speeds)} | {middle:.2f} [{low:.2f}, {high:.2f}] |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
