"""What a GPU makes of this project, measured in some minutes: run it once on a machine that has one.

    make gpu-check

First the CUDA tests, then a small search as it is typed, killed, resumed and trained again. Then numbers: an epoch of
each family against the bare arithmetic, precision, memory format and compiling, several trials on one GPU, pictures
that lie on it or not, and a trial that runs out of memory and goes on in parts. Each part has a process of its own, so
one that fails is named in the page and the others are still there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from scripts.benchmarks.gpu_commands import run_commands
from scripts.benchmarks.gpu_report import draw, render
from search.terminal import exit_code
from trainables.config import TaskConfig, TrialConfig
from trainables.data.cache import build_cache
from trainables.data.demo.draw import make_demo_data
from trainables.data.manifest import DataConfig, load_manifest
from trainables.data.split import split_by_group
from trainables.machine.cores import usable_cores
from trainables.machine.hardware import hardware_in_words

FAMILIES = (
    "tf_efficientnet_lite0",
    "mobilenetv3_small_100",
    "resnet18",
    "densenet121",
    "convnext_atto",
    "vit_small_patch16_224",
)
SHARE = 0.5
"""Of the GPU, that a trial of the small search has."""
AT_ONCE = (1, 2, 4)
"""Trials that share the GPU."""
PART_SECONDS = 150
"""After which a part is given up."""
NOT_REACHED = {"failed": "not reached"}
SCARCE_PICTURES = 512
"""Pictures in the batch that runs out of memory."""


def main() -> int:
    """Parses the command line and measures."""
    return tyro.cli(check, prog="gpu_check.py", config=(tyro.conf.FlagCreatePairsOff,))


def check(
    out: Path = ROOT / "results" / "benchmarks" / "gpu",
    image_size: int = 224,
    batch_size: int = 64,
    people: int = 240,
    seconds: float = 2.0,
    families: tuple[str, ...] = FAMILIES,
    tests: bool = True,
) -> int:
    """Check and measure a GPU, and write `<out>.md`, `<out>.json` and `<out>.png`.

    Args:
        out: Name of the files, without an ending.
        image_size: Side of the square picture, in pixels.
        batch_size: Pictures in a training batch.
        people: Of the drawn pictures, seven each.
        seconds: Least length of a measurement.
        families: timm names, each measured by itself; the first stands for all in what comes after.
        tests: Whether to run the CUDA tests first.
    """
    import torch

    if not torch.cuda.is_available():
        print("ERROR: torch sees no CUDA device here: run this where there is a GPU", file=sys.stderr)
        return 2
    started = time.perf_counter()
    found: dict[str, Any] = {
        "when": f"{datetime.now().astimezone():%Y-%m-%d}",
        "machine": hardware_in_words(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "config": {"image_size": image_size, "batch_size": batch_size, "seconds": seconds},
        "num_pictures": people * 7,
        "tests": _tests() if tests else None,
        "families": dict.fromkeys(families, NOT_REACHED),
        "at_once": {str(trials): NOT_REACHED for trials in AT_ONCE},
        "compile": NOT_REACHED,
        "pictures": NOT_REACHED,
        "memory": NOT_REACHED,
        "commands": NOT_REACHED,
    }
    out.parent.mkdir(parents=True, exist_ok=True)

    def note(part: str, numbers: Any, key: str | None = None) -> None:
        """Writes all that is known so far, so that an end in the middle loses nothing."""
        if key is None:
            found[part] = numbers
        else:
            found[part][key] = numbers
        found["minutes"] = (time.perf_counter() - started) / 60
        Path(f"{out}.json").write_text(json.dumps(found, indent=1) + "\n")
        draw(found, Path(f"{out}.png"))
        Path(f"{out}.md").write_text(render(found, Path(f"{out}.png").name))

    with tempfile.TemporaryDirectory() as temporary:
        print("the commands ...", flush=True)
        (Path(temporary) / "commands").mkdir()
        note("commands", run_commands(Path(temporary) / "commands", SHARE))
        task = drawn_task(Path(temporary), image_size, batch_size, people)
        for name in families:
            print(f"{name} ...", flush=True)
            note("families", _apart(family, task, name, seconds), name)
        for name, part in (("compile", compiled), ("pictures", resident), ("memory", scarce)):
            print(f"{name} ...", flush=True)
            note(name, _apart(part, task, families[0], seconds))
        for trials in AT_ONCE:
            print(f"{trials} at a time ...", flush=True)
            note("at_once", together(task, families[0], trials, 2 * seconds), str(trials))
    print(Path(f"{out}.md").read_text())
    passed = found["tests"] is None or found["tests"]["passed"]
    return 0 if passed and "failed" not in found["commands"] else 1


def _tests() -> Mapping[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    print("\n".join(lines[-15:]), flush=True)
    return {"passed": done.returncode == 0, "said": lines[-1] if lines else done.stderr.strip()[-200:]}


def drawn_task(folder: Path, image_size: int, batch_size: int, people: int) -> TaskConfig:
    """A task over drawn people, decoded once."""
    pictures = make_demo_data(folder / "pictures", people=people, eval_people=1)
    manifest = load_manifest(DataConfig(data=pictures))
    split = split_by_group(manifest, seed=0, val_share=0.2, test_share=0.2, by="group")
    split.save(folder / "split.csv")
    cache = build_cache(list(manifest.table["path"]), image_size, folder / "cache")
    return TaskConfig(
        cache_path=str(cache.path),
        split_path=str(folder / "split.csv"),
        checkpoint_dir=str(folder / "checkpoints"),
        classes=manifest.classes,
        image_size=image_size,
        batch_size=batch_size,
        epochs=100_000,
        device="cuda",
        num_threads=usable_cores(),
    )


def _apart(part: Callable[..., Any], *arguments: Any) -> Any:
    """What a part returns, from a process of its own; or why it did not."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(part, *arguments).result(PART_SECONDS)
        except Exception as error:  # whatever it is, it belongs into the page
            for process in list(pool._processes.values()):
                process.kill()
            return {"failed": f"{type(error).__name__}: {error}"[:300]}


def images_per_second(epoch: Callable[[], None], num_images: int, seconds: float) -> float:
    """Of an epoch of so many pictures, after one to warm up."""
    import torch

    epoch()
    torch.cuda.synchronize()
    times, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        epoch()
        torch.cuda.synchronize()
        times += 1
    return times * num_images / (time.perf_counter() - started)


def _training(task: TaskConfig, backbone: str) -> tuple[Callable[[], None], int]:
    import torch

    from scripts.benchmarks.epoch_costs import loop_parts
    from trainables.data.batches import load_data
    from trainables.data.whole_batches import images_per_epoch
    from trainables.networks.model import choose_device

    torch.backends.cudnn.benchmark = True
    data = load_data(task, choose_device(task.device))
    train, _ = loop_parts(TrialConfig(backbone=backbone), task, data)
    return train, images_per_epoch(len(data.train), task.batch_size)


def family(task: TaskConfig, backbone: str, seconds: float) -> dict[str, float | None]:
    """Images a second of an epoch with the default augmentation, of the bare arithmetic, and other ways to compute."""
    import torch

    from scripts.benchmarks.epoch_costs import floor_training
    from trainables.machine.epoch_meter import Watch

    train, num_images = _training(task, backbone)
    torch.cuda.reset_peak_memory_stats()
    with Watch(torch.device("cuda", 0)) as watch:
        found: dict[str, float | None] = {"epoch": images_per_second(train, num_images, seconds)}
    found |= {"memory_bytes": torch.cuda.max_memory_allocated(), "utilization": watch.gpu_utilization}
    floor = floor_training(task, backbone, num_images // task.batch_size)
    found["floor"] = images_per_second(floor, num_images, seconds)
    exact = replace(task, precision="float32")
    found["float32"] = images_per_second(_training(exact, backbone)[0], num_images, seconds)
    use_channels_first()
    found["contiguous"] = images_per_second(_training(task, backbone)[0], num_images, seconds)
    return found


def use_channels_first() -> None:
    """Has weights and pictures lie channel by channel from now on, in this process alone."""
    import torch

    from trainables.networks import formulation
    from trainables.training import loop

    loop.memory_format = formulation.memory_format = lambda *_: torch.contiguous_format  # type: ignore[assignment]


def compiled(task: TaskConfig, backbone: str, seconds: float) -> dict[str, float]:
    """What torch.compile makes of the training step, and the seconds that it takes first."""
    train, num_images = _training(replace(task, compile=True), backbone)
    started = time.perf_counter()
    train()
    first = time.perf_counter() - started
    return {"epoch": images_per_second(train, num_images, seconds), "first_seconds": first}


def resident(task: TaskConfig, backbone: str, seconds: float) -> dict[str, float]:
    """Pictures that lie on the GPU against pictures that are fetched for each batch."""
    from trainables.data import batches

    found = {"resident": images_per_second(*_training(task, backbone), seconds)}
    batches.RESIDENT_SHARE = 0.0
    found["fetched"] = images_per_second(*_training(task, backbone), seconds)
    return found


def scarce(task: TaskConfig, backbone: str, seconds: float) -> dict[str, Any]:
    """A batch that does not fit into its share of the memory, whole and in parts, as a trial tries it."""
    import torch

    from trainables.classifier import MICRO_BATCHES
    from trainables.data.batches import load_data
    from trainables.networks.model import choose_device
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.state import TrainState

    task = replace(task, batch_size=SCARCE_PICTURES, last_epoch=1)
    device, config = choose_device(task.device), TrialConfig(backbone=backbone)
    peaks: dict[str, Any] = {}

    def one_epoch(parts: int) -> float:
        data = load_data(task, device)
        state = TrainState.start(config, task, steps_per_epoch(task, len(data.train)), parts)
        return next(iter(fit(state, data))).peak_memory_bytes

    peaks["whole_bytes"] = one_epoch(1)
    torch.cuda.empty_cache()
    peaks["limit_bytes"] = peaks["whole_bytes"] / 2
    torch.cuda.set_per_process_memory_fraction(
        peaks["limit_bytes"] / torch.cuda.get_device_properties(device).total_memory, device
    )
    try:
        one_epoch(1)
        peaks["ran_out"] = False
    except torch.OutOfMemoryError:
        peaks["ran_out"] = True
    torch.cuda.empty_cache()
    peaks["in_parts"], peaks["parts_bytes"] = MICRO_BATCHES, one_epoch(MICRO_BATCHES)
    return peaks


def together(task: TaskConfig, backbone: str, trials: int, seconds: float) -> Any:
    """Images a second of all of several trials that share the GPU, each kept to its share of the memory."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(trials, context) as pool:
        barrier = manager.Barrier(trials, timeout=PART_SECONDS)
        jobs = [pool.submit(_one_of, task, backbone, trials, seconds, barrier) for _ in range(trials)]
        try:
            return {"images_per_second": sum(job.result(PART_SECONDS) for job in jobs)}
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"[:300]}


def _one_of(task: TaskConfig, backbone: str, trials: int, seconds: float, barrier: Any) -> float:
    from trainables.machine.epoch_meter import limit_gpu_memory

    limit_gpu_memory(1 / trials)
    train, num_images = _training(task, backbone)
    train()  # all that is loaded the first time
    barrier.wait()
    return images_per_second(train, num_images, seconds)


if __name__ == "__main__":
    sys.exit(exit_code(main))
