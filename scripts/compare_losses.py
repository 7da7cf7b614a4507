"""Trains the same at a fixed seed with an earlier commit's trainables and with these: the same losses, or not.

    python scripts/compare_losses.py --base main

Small networks on drawn people, one thread, a row a configuration, and whether every epoch's numbers agree bit for bit.
It takes about two minutes on one core. A change to `trainables/` shows the same numbers, or says why not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from results.records.run_folder import RunFolder
from search.terminal import exit_code
from trainables.errors import UserError

OFF = {"flip": 0.0, "crop": 0.0}
MIXED = {**OFF, "cutmix": 0.5, "ema": 0.9, "loss": "focal", "sampling": "sqrt"}
CASES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "toy, no augmentation": ("test_efficientnet", OFF),
    "toy, CutMix, EMA, focal loss": ("test_resnet", MIXED),
    "toy, flip and crop": ("test_efficientnet", {}),
    "lite0, no augmentation": ("tf_efficientnet_lite0", OFF),
    "lite0, flip and crop": ("tf_efficientnet_lite0", {}),
}
TRAIN = """
import json, sys
from pathlib import Path
import torch
from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_data
from trainables.data.cache import build_cache
from trainables.data.rows import read_split
from trainables.errors import UserError
try:
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.state import TrainState
except ModuleNotFoundError:  # a commit from before the rooms
    from trainables.loop import fit, steps_per_epoch
    from trainables.state import TrainState

torch.set_num_threads(1)
split, cache_dir, cases = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
rows = read_split(split)
cache = build_cache([row.path for row in rows], 48, Path(cache_dir))
classes = tuple(sorted({row.label for row in rows}))
found = {}
for name, (backbone, knobs) in cases.items():
    task = TaskConfig(cache_path=str(cache.path), split_path=split, checkpoint_dir=cache_dir, classes=classes,
                      image_size=48, epochs=3, batch_size=32, seed=3, device="cpu")
    data = load_data(task, torch.device("cpu"))
    state = TrainState.start(TrialConfig(backbone=backbone, **knobs), task, steps_per_epoch(task, len(data.train)))
    found[name] = [(r.train_loss, r.val_loss, r.train_macro_f1, r.val_macro_f1) for r in fit(state, data)]
print(json.dumps(found))
"""
"""Run with each of the two packages `trainables` on the path."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and compares; exit code 1 where numbers differ, 2 for a mistake."""
    return exit_code(lambda: tyro.cli(compare, prog="compare_losses.py", args=args))


def compare(base: Annotated[str, tyro.conf.arg(metavar="COMMIT")] = "main") -> int:
    """Compare the losses of a fixed seed with those of an earlier commit.

    Args:
        base: The earlier commit, branch or tag.
    """
    with tempfile.TemporaryDirectory() as folder:
        _unpack(base, Path(folder) / "base")
        split = _draw(Path(folder))
        before, now = (_train(root, split, Path(folder) / "cache") for root in (Path(folder) / "base", ROOT))
    print(render(base, before, now))
    return 0 if before == now else 1


def render(base: str, before: Mapping[str, Sequence], now: Mapping[str, Sequence]) -> str:
    """A Markdown table of the last epochs' losses and whether all epochs agree."""
    lines = [f"| 3 epochs, seed 3 | train, val loss at {base} | now | every epoch |", "|---|---|---|---|"]
    for name in before:
        cells = (f"{one[name][-1][0]:.6f}, {one[name][-1][1]:.6f}" for one in (before, now))
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {'the same' if before[name] == now[name] else 'differs'} |"
        )
    return "\n".join(lines)


def _draw(folder: Path) -> Path:
    """A split of drawn people: pictures of twelve to train on and of six to validate on."""
    from trainables.data.demo.draw import make_demo_data
    from trainables.data.manifest import DataConfig, load_manifest

    table = load_manifest(DataConfig(data=make_demo_data(folder / "demo", people=18, eval_people=1, height=64))).table
    people = sorted(table["group"].unique())
    table["split"] = ["train" if people.index(group) < 12 else "val" for group in table["group"]]
    split = RunFolder(folder).split_csv
    table.to_csv(split, columns=["path", "label", "group", "split"], index=False)
    return split


def _unpack(commit: str, folder: Path) -> None:
    folder.mkdir()
    packed = subprocess.run(["git", "archive", commit, "trainables"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        raise UserError(f"--base {commit}: {packed.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)


def _train(root: Path, split: Path, cache_dir: Path) -> dict[str, list]:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN, str(split), str(cache_dir), json.dumps(CASES)]
    done = subprocess.run(command, cwd=split.parent, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the trainables in {root} do not train: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
