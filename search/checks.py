"""What is checked before a run has a folder: the formulations, the weights, the device, the disk."""

from __future__ import annotations

import importlib.util
import netrc
import os
import shutil
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import numpy as np

from search.flags import PlaceFlags
from search.study import SettledStudy
from search.track_flags import TrackFlags
from spaces import Space
from spaces.sampling import RecordedTrial, at_share
from trainables.called import install_command
from trainables.config import TrialConfig
from trainables.data.manifest import Manifest
from trainables.errors import UserError
from trainables.machine.home import can_write
from trainables.networks.known_costs import ModelFacts, backbone_parameters
from trainables.networks.weights import ResolvedWeights, WeightsError, resolve_weights
from trainables.reason import reason_of
from trainables.sizes import size_in_words

LEAST_BUDGET_SECONDS = 10
"""Before the first step of a search, on two cores: Ray, and the imports of its workers."""
ANSWER_SECONDS = 5.0
"""How long a server may take to be reached."""
WANDB_HOST = "api.wandb.ai"
"""Where `wandb login` logs in."""
LOG_BYTES = 200_000
"""Logs, curves and study of a trial of 27 epochs and 18 classes, generously."""


def refuse_short_budget(time_budget_seconds: float) -> None:
    """Raises a `UserError` for a time budget in which no search can come to its first step."""
    if time_budget_seconds < LEAST_BUDGET_SECONDS:
        raise UserError(
            f"--time-budget of {time_budget_seconds:g} s: to start the workers alone takes about "
            f"{LEAST_BUDGET_SECONDS} s, so nothing can come of it; give some minutes, as in 5m"
        )


def refuse_unwritable(places: PlaceFlags) -> None:
    """Raises a `UserError` for places of the run, the table and its records that cannot be written; names the flags."""
    wanted = {"--storage": places.runs_dir, "--readme": places.records_dir}
    shut = {flag: path for flag, path in wanted.items() if not can_write(path)}
    if shut:
        raise UserError(
            f"{' and '.join(map(str, shut.values()))} cannot be written: give places of your own by "
            + " and ".join(f"{flag} {_EXAMPLES[flag]}" for flag in shut)
        )


_EXAMPLES = {"--storage": "~/macrotune/runs", "--readme": "~/macrotune/README.md"}


def refuse_absent_trackers(flags: TrackFlags) -> None:
    """Makes sure, before any picture is read, that what was asked for can be had.

    Raises:
        UserError: A library is not installed, or nobody is logged in.
    """
    for why in absent_trackers(flags).values():
        raise UserError(f"{why}, or leave the flag out")


def absent_trackers(flags: TrackFlags) -> dict[str, str]:
    """What was asked for and cannot be had, by the name of its flag: why not, and the way out."""
    absent = {}
    for name, asked in (("wandb", flags.wandb), ("mlflow", flags.mlflow)):
        if asked is not None and importlib.util.find_spec(name) is None:
            absent[name] = f"--{name} needs the library: {install_command(name)}"
    if "mlflow" not in absent and (silence := _silence(flags.mlflow or "")):
        absent["mlflow"] = f"--mlflow {flags.mlflow}: nobody answers there ({silence}): start the server"
    if flags.wandb is not None and "wandb" not in absent and not _logged_in():
        absent["wandb"] = (
            "--wandb: nobody is logged in at Weights & Biases: run wandb login, set WANDB_API_KEY, or set "
            "WANDB_MODE=offline to keep everything on this machine"
        )
    return absent


def _silence(address: str) -> str:
    """Why nobody can be reached at the address of a web server; empty if somebody can, or it is none."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or (
        parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")
    ):
        return ""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        return reason_of(error)
    return ""


def _logged_in() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled") or os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def refuse_formulations(space: Space, manifest: Manifest, weighted: Collection[str] = ()) -> None:
    """Checks that classes have attributes where the space makes a head or a network of each.

    Args:
        space: With its formulations.
        manifest: With its attributes.
        weighted: Attributes whose losses are given weights.

    Raises:
        UserError: They have none, or not the ones that are weighted.
    """
    wanted = [formulation for formulation in space.formulations if formulation != "joint"]
    if wanted and not manifest.attributes:
        raise UserError(
            f"the formulation {' or '.join(wanted)} needs classes made of attributes, and these have none: name the "
            "CSV's columns that make them, as in --attributes mask gender age, or take --formulation joint"
        )
    if weighted and not wanted:
        raise UserError("--attribute-weights is for --formulation heads, separate or search: joint has one loss")
    if unknown := sorted(set(weighted) - manifest.attributes.keys()):
        raise UserError(
            f"--attribute-weights names {', '.join(unknown)}: the attributes are {', '.join(manifest.attributes)}"
        )


def refuse_taken_name(name: str | None, runs_dir: Path) -> None:
    """Raises a `UserError` if there is a run of the name that was asked for."""
    if name and (runs_dir / name).exists():
        raise UserError(
            f"there is a run {name!r} in {runs_dir}: give another --name, or go on with it by --resume {name}"
        )


def weights_of_space(space: Space, study: SettledStudy) -> ResolvedWeights:
    """The weights of the space's backbones; a built-in space goes on without backbones that have none.

    Raises:
        UserError: A user's own space proposes a backbone that timm does not know, or drop path for one without.
        WeightsError: The weights that were asked for cannot be had.
    """
    if space.own:
        for backbone, drop_path in _networks(space):
            try:
                backbone_parameters(backbone, drop_path=drop_path, cache_dir=study.cache_path)
            except ValueError as error:
                raise UserError(f"{study.space} proposes the backbone {backbone!r}: {error}") from error
    weights = resolve_weights(space.backbones, study.weights, study.cache_path)
    if space.own and weights.backbones != space.backbones:
        missing = ", ".join(backbone for backbone in space.backbones if backbone not in weights.backbones)
        raise WeightsError(
            f"no pretrained weights for {missing}, which {study.space} proposes: give a folder that has them by "
            "--weights, take them out of the file, or start at random by --weights none"
        )
    return weights


def proposals(space: Space) -> list[TrialConfig]:
    """The starting points and a hundred samples of a user's own space; nothing of a built-in one."""
    if not space.own:
        return []
    rng = np.random.default_rng(0)
    trials: list[Any] = [RecordedTrial(lambda _, spread: at_share(spread, rng.random())) for _ in range(100)]
    found = list(space.starting_points)
    for trial in trials:
        with suppress(Exception):  # of a space that fails now and then: what it fails on is left out (engine.draws)
            found.append(space.suggest(trial))
    return found


def _networks(space: Space) -> list[tuple[str, bool]]:
    """Each backbone, and whether it was proposed with drop path, in a hundred samples and the starting points."""
    proposed = dict.fromkeys((config.backbone, config.drop_path > 0) for config in proposals(space))
    return [*((backbone, False) for backbone in space.backbones), *proposed]


def check_device(study: SettledStudy) -> None:
    """Raises a `ValueError` if trials shall have GPUs of this machine that torch cannot use, or no compiler is here."""
    if not study.one_machine:
        return  # where trials run is not here
    if study.gpus_per_trial:
        from trainables.machine.epoch_meter import gpus_work  # torch, which is not needed without a GPU

        if not gpus_work():
            raise UserError(
                "there is a GPU, but torch cannot use it: install a CUDA build of torch, or give --gpus-per-trial 0"
            )
    if study.compile:
        from trainables.training.compiling import refuse_without_compiler

        refuse_without_compiler("cuda" if study.gpus_per_trial else "cpu")


def check_disk(
    study: SettledStudy, facts: Collection[ModelFacts], num_networks: int = 1, *, trains_on: bool = False
) -> None:
    """Compares what the run will hold at most with what is free.

    A running trial has its state (weights, their average and two moments of the optimizer), the same once more while
    it is being replaced, and its best weights; an ended one at most its best weights, and once more in the model that
    the search leaves. While the model is trained on, what trials have left stays.

    Args:
        study: Settled.
        facts: Of the backbones that are trained.
        num_networks: Networks of a trial: one, or one an attribute.
        trains_on: Whether the model may be trained on at the end.

    Raises:
        UserError: It will not fit; says how much is needed and the ways out.
    """
    most = max(each.parameters for each in facts)
    weights_bytes = 4 * num_networks * most
    units = 9 * study.concurrency + 2 * study.keep + trains_on * (5 * study.concurrency + 2 * study.keep)
    needed = weights_bytes * units + LOG_BYTES * study.trials
    folder = next(path for path in (study.runs_dir, *study.runs_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the run may need {size_in_words(needed)} in {study.runs_dir}, where {size_in_words(free)} are free: make "
            "room, give another --storage, a lower --concurrency or --keep, or smaller --backbones"
        )
