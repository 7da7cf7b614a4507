"""A trained network on disk, as plain timm can load it: weights in `model.safetensors`, the rest in `model.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import nn

from trainables.atomic import replacing
from trainables.config import Precision
from trainables.data.cache import stored_size
from trainables.networks.decided import Decided
from trainables.networks.formulation import Attributes, assemble, with_decision
from trainables.networks.model import memory_format, size_options, usable_device
from trainables.parts.loading import run_source, using
from trainables.parts.registry import Parts, in_use
from trainables.saved.model_description import (
    DESCRIPTION,
    PARTS,
    TOGETHER,
    WEIGHTS,
    Member,
    ModelDescription,
    ModelError,
    Rule,
    read_description,
)
from trainables.saved.model_description import refuse_other_classes as refuse_other_classes
from trainables.saved.together import Together
from trainables.second_view import NONE

_AGAIN = "copy the model again, or save it anew"


@dataclass(frozen=True)
class SavedModel:
    """A loaded network, ready to answer."""

    description: ModelDescription
    network: nn.Module
    """In eval mode on `device`, from a picture to logits; its `pretrained_cfg` has the description's mean and std, for
    `Normalizer`. That a model answers to a second view is up to who asks it."""
    device: torch.device
    path: Path
    """The folder it was loaded from."""


def save_model(
    folder: Path,
    model: nn.Module,
    *,
    backbone: str,
    classes: Sequence[str],
    attributes: Mapping[str, Sequence[str]],
    image_size: int,
    record: Mapping[str, Any],
    formulation: str = "joint",
    metric: str = "macro_f1",
    precision: Precision = "auto",
    second_view: str = NONE,
) -> ModelDescription:
    """Writes a network into `folder`, which is made; each file appears whole or not at all, the weights first.

    A kill between the two leaves no model, or, where another one was, one that `load_model` refuses. Equal weights
    make equal files, so the hash of the file stands for the network.

    Raises:
        UserError: The record holds what strict JSON cannot, such as NaN; nothing is written.
        OSError: The folder cannot be written.
    """
    mean, std = colours(model)
    description = ModelDescription(
        backbone=backbone,
        formulation=formulation,
        options=size_options(backbone, image_size),
        classes=tuple(classes),
        attributes={name: tuple(by_class) for name, by_class in attributes.items()},
        image_size=image_size,
        stored_size=stored_size(image_size),
        mean=mean,
        std=std,
        weights_sha256="",
        second_view=second_view,
        metric=metric,
        precision=precision,
        record=dict(record),
    )
    return _write(folder, model, description)


def save_together(
    folder: Path,
    networks: Sequence[nn.Module],
    members: Sequence[Member],
    rule: Rule | None,
    *,
    classes: Sequence[str],
    attributes: Mapping[str, Sequence[str]],
    image_size: int,
    record: Mapping[str, Any],
    metric: str = "macro_f1",
    precision: Precision = "auto",
    second_view: str = NONE,
) -> ModelDescription:
    """Writes networks that answer together, or one with a decision rule, as one model; as `save_model` otherwise.

    Args:
        folder: Where it goes.
        networks: Each answers with logits of the classes.
        members: What there is to say of each, in the same order.
        rule: What their mean is divided by.
        classes: Names of the classes, in order.
        attributes: As in `ModelDescription`.
        image_size: Side in pixels, of all.
        record: What the description says of how it was made.
        metric: What they were searched for.
        precision: What they compute in.
        second_view: What they answer to beside the middle of a picture.
    """
    description = ModelDescription(
        format=TOGETHER,
        backbone=members[0].backbone,
        classes=tuple(classes),
        attributes={name: tuple(by_class) for name, by_class in attributes.items()},
        image_size=image_size,
        stored_size=stored_size(image_size),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        weights_sha256="",
        members=tuple(members),
        rule=rule,
        second_view=second_view,
        metric=metric,
        precision=precision,
        record=dict(record),
    )
    return _write(folder, Together(networks, members, rule), description)


def _write(folder: Path, network: nn.Module, description: ModelDescription) -> ModelDescription:
    tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in _tensors(network).items()}
    metadata = {"holds": _words(description)}  # one entry: safetensors writes more in any order
    weights = safetensors.torch.save(tensors, metadata=metadata)
    source = _parts_of()
    description = replace(
        description,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        parts_sha256=hashlib.sha256(source).hexdigest() if source else "",
    )
    text = description.to_json()
    folder.mkdir(parents=True, exist_ok=True)
    if not source:
        (folder / PARTS).unlink(missing_ok=True)
    for name, content in ((PARTS, source), (WEIGHTS, weights), (DESCRIPTION, text.encode())):
        if not content:
            continue
        with replacing(folder / name, durable=True) as temporary:
            temporary.write_bytes(content)
    return description


def _parts_of() -> bytes:
    """The file of the user's own parts that is in use; empty for none."""
    parts = in_use()
    return b"" if parts is None else parts.source.encode()


def load_parts(description: ModelDescription, folder: Path) -> Parts | None:
    """Runs the user's own parts that lie beside a model which was saved with some.

    Raises:
        ModelError: They are gone, or others than it was saved with.
    """
    if not description.parts_sha256:
        return None
    path = folder / PARTS
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): it holds the parts that the network is made with; {_AGAIN}"
        ) from error
    if hashlib.sha256(source).hexdigest() != description.parts_sha256:
        raise ModelError(
            f"{path} has changed since the model was saved (other SHA-256): bring it back as it was, or {_AGAIN}"
        )
    return run_source(source.decode(), str(path))


def load_model(path: Path, device: str = "auto") -> SavedModel:
    """Loads what `save_model` wrote; of its files only the user's own parts, where there are any, are executed.

    Args:
        path: The folder, or one of its two files.
        device: auto, cpu, cuda or another torch device.

    Raises:
        ModelError: There is no model, it is damaged or does not fit this version of timm, or there is no such device.
    """
    folder, target = _folder(path), usable_device(device)
    description = read_description(folder / DESCRIPTION)
    if description.stored_size != stored_size(description.image_size):
        raise ModelError(
            f"{folder / DESCRIPTION}: pictures of {description.image_size} px were cut out of "
            f"{description.stored_size} px, here it would be {stored_size(description.image_size)} px; use the version "
            "of macrotune that saved it"
        )
    content, weights = _read_weights(folder / WEIGHTS)
    with using(load_parts(description, folder)):
        network = _build(description, folder)
    if unlike := _difference(_tensors(network), weights):
        raise ModelError(
            f"{folder / WEIGHTS} holds {_holds(content)}, but {DESCRIPTION} says {_words(description)}: {unlike}; "
            "put the two files of one model side by side"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != description.weights_sha256:
        raise ModelError(
            f"{folder / WEIGHTS} is not the file that {DESCRIPTION} was written for (other SHA-256); {_AGAIN}"
        )
    for name, value in _tensors(network).items():
        value.copy_(weights[name])
    layout = memory_format(description.backbone, target, description.precision)
    return SavedModel(description, network.eval().to(target).to(memory_format=layout), target, folder)


def _folder(path: Path) -> Path:
    wanted = f"name a folder with {WEIGHTS} and {DESCRIPTION}"
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder; {wanted}")
    folder = path
    if not path.is_dir():
        if path.name not in (WEIGHTS, DESCRIPTION):
            raise ModelError(f"{path} is not a saved model; {wanted}")
        folder = path.parent
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} is not a saved model, it has no {name}; {wanted}")
    return folder


def _read_weights(path: Path) -> tuple[bytes, dict[str, torch.Tensor]]:
    """A file's bytes and the tensors in them."""
    try:
        content = path.read_bytes()
        return content, safetensors.torch.load(content)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); correct its permissions") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or cut short ({error}); {_AGAIN}") from error


def _build(description: ModelDescription, folder: Path) -> nn.Module:
    if not description.members:
        return _build_one(description, description, folder)
    networks = [_build_one(member, description, folder) for member in description.members]
    return Together(networks, description.members, description.rule)


def _build_one(one: ModelDescription | Member, whole: ModelDescription, folder: Path) -> nn.Module:
    unknown = (
        f"{folder / DESCRIPTION}: timm {timm.__version__} does not know the backbone {one.backbone!r}; install the "
        "version that it was trained with"
    )
    if not timm.is_model(one.backbone):  # create_model would take a name such as hf-hub:... for leave to download
        raise ModelError(unknown)
    options: dict[str, Any] = dict(one.options)
    overlay = {"mean": one.mean, "std": one.std}
    try:
        with torch.random.fork_rng(devices=[]):
            network = assemble(
                one.formulation,
                len(whole.classes),
                whole.attributes,
                lambda num: timm.create_model(one.backbone, num_classes=num, pretrained_cfg_overlay=overlay, **options),
            )
            return with_decision(network, len(whole.classes))
    except RuntimeError as error:  # a tag that is not known
        raise ModelError(f"{unknown} ({error})") from error


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors under the names that they have in a file: plain timm's."""
    if isinstance(network, Together):
        return {
            f"members.{place}.{name}": value
            for place, member in enumerate(network.members)
            for name, value in _tensors(member).items()
        }
    if isinstance(network, Decided):
        return {**_tensors(network.network), "prior": network.prior}
    own = network.state_dict()
    if isinstance(network, Attributes):
        return {name: own[inner] for name, inner in network.saved_names().items()}
    return own


def _words(described: ModelDescription) -> str:
    formulation = f" as {described.formulation}" if described.formulation != "joint" else ""
    return f"{described.name} with {len(described.classes)} classes{formulation}"


def _holds(content: bytes) -> str:
    """What the weights are of, by the note that `save_model` puts into the file."""
    length = int.from_bytes(content[:8], "little")
    note = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return note.get("holds", "the weights of another network")


def colours(network: nn.Module) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and std that a network was pretrained with; a half where it says none."""
    settings = getattr(network, "pretrained_cfg", None) or {}
    return _channels(settings.get("mean")), _channels(settings.get("std"))


def _channels(values: Sequence[float] | None) -> tuple[float, float, float]:
    """A number for each of red, green and blue; a half where a network says none."""
    red, green, blue = (0.5, 0.5, 0.5) if values is None else map(float, values)
    return red, green, blue


def _difference(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str:
    """The tensor by which two networks are told apart; empty where all names and shapes agree."""
    if lacking := [name for name in wanted if name not in found]:
        return f"it lacks {lacking[0]} and {len(lacking) - 1} more tensors"
    if added := [name for name in found if name not in wanted]:
        return f"it has {added[0]} and {len(added) - 1} more tensors besides"
    for name in reversed(list(wanted)):  # the classifier comes last
        if wanted[name].shape != found[name].shape:
            return f"{name} has the shape {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
    return ""
