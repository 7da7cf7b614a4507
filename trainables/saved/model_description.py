"""What `model.json` says of a trained network: classes, preprocessing and where it comes from. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from trainables.config import FORMULATIONS, METRICS, Precision, is_own_name
from trainables.errors import UserError
from trainables.second_view import MIRRORED, MIRRORED_WHOLE, NONE, SECOND_VIEWS, WHOLE, with_second_view

FORMAT = 1
"""Of one network that answers as it is; rises when a reader of today would misread the file."""
TOGETHER = 2
"""Format of several networks that answer together, or of one with a decision rule."""
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
MADE_WITH_IT = ("model.onnx", "evaluation", "evaluation-[0-9]*")
"""What commands put beside a model, as patterns of names; it stays right as long as the model answers the same."""
_AGAIN = "copy the model again, or save it anew"


PARTS = "parts.py"
"""The copy of the user's own parts that lies beside a model which needs them."""
ADDED = ("formulation", "options", "members", "rule", "mirrored", "second_view", "parts_sha256", "metric", "precision")
"""Keys that a file of before they existed lacks."""


class ModelError(UserError):
    """A saved model cannot be used; one line with the file and the way out."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of several networks that answer together."""

    backbone: str
    """timm model name."""
    share: float
    """What its probabilities count, above 0; all members' add up to 1."""
    formulation: str = "joint"
    """As in `ModelDescription`."""
    options: Mapping[str, int] = field(default_factory=dict)
    """As in `ModelDescription`."""
    mean: tuple[float, float, float]
    """Of its own normalization, which is part of the network."""
    std: tuple[float, float, float]
    trial_id: str = ""
    """The trial that it was trained in."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How probabilities become answers: divided by the prior to the power tau."""

    tau: float
    """0 to 1."""
    prior: tuple[float, ...]
    """Share of each class in the pictures that were trained on."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """All that is needed beside the weights to use a network: `model.json`."""

    format: int = FORMAT
    backbone: str
    """timm model name."""
    formulation: str = "joint"
    """joint (an output a class), heads (an output a value of each attribute) or separate (a network an attribute)."""
    options: Mapping[str, int] = field(default_factory=dict)
    """What else timm's `create_model` is to be told, such as `img_size`."""
    classes: tuple[str, ...]
    """Names of the classes; the position is the class index."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attribute name to its value for each class, in class order; empty if the classes are no products."""
    image_size: int
    """Side of the square picture that the network sees, in pixels."""
    stored_size: int
    """Side that the centre square of a picture is resized to before the centre crop of `image_size`, in pixels."""
    mean: tuple[float, float, float]
    """Red, green and blue, on a scale from 0 to 1."""
    std: tuple[float, float, float]
    weights_sha256: str
    """Of `model.safetensors`, in hex."""
    members: tuple[Member, ...] = ()
    """Networks that answer together, each with its own normalization; then mean is 0, std is 1, and `backbone` that of
    the first."""
    rule: Rule | None = None
    """The decision rule, where there is one; it is part of the network."""
    second_view: str = NONE
    """What else the answer is to, as in `trainables.second_view`: the mean of the probabilities for it and for the
    middle of the picture."""
    parts_sha256: str = ""
    """Of `parts.py`, in hex, the user's own parts that the network is made with; empty where there are none."""
    metric: str = "macro_f1"
    """What it was searched for, as in `TaskConfig`."""
    precision: Precision = "auto"
    """What it computes in, as it was asked for in `TaskConfig`: auto is that of the device that it answers on. The ONNX
    file is in float32."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Where the network comes from, as its maker noted: scores, configuration, seeds, split, versions."""

    def to_json(self) -> str:
        """The text of `model.json`.

        Raises:
            UserError: The record holds what strict JSON cannot, such as NaN.
        """
        values = asdict(self)
        record = values.pop("record")
        if not self.parts_sha256:
            values.pop("parts_sha256")
        if not self.second_view:
            values.pop("second_view")
        if self.metric == "macro_f1":
            values.pop("metric")
        if self.precision == "auto":
            values.pop("precision")
        values |= {"preprocessing": self.preprocessing(), "use": self._use() | self._answer(), "record": record}
        try:
            return json.dumps(values, indent=2, allow_nan=False) + "\n"
        except (ValueError, TypeError) as error:
            raise UserError(f"the record of a model must be strict JSON: {error}") from error

    @property
    def name(self) -> str:
        """The network in words."""
        if len(self.members) < 2:
            return self.backbone
        return f"{len(self.members)} networks: {', '.join(member.backbone for member in self.members)}"

    @property
    def what_answers(self) -> tuple[object, ...]:
        """What its answers to the pictures of one run follow from."""
        return self.weights_sha256, self.members, self.rule, self.second_view, self.parts_sha256

    def preprocessing(self) -> dict[str, Any]:
        """How to get from a picture file to the network's input with Pillow and NumPy, in words and numbers."""
        stored, size = self.stored_size, self.image_size
        offset = (stored - size) // 2
        return {
            "steps": [
                f"open the file with Pillow; before its pixels are read: image.draft('RGB', ({stored}, {stored}))",
                "turn it upright: PIL.ImageOps.exif_transpose(image)",
                "only with more than 8 bits a channel: make it 8, white being the largest number of as many bits as "
                "the picture uses (8, 10, 12, 14 or 16)",
                "only with transparency: PIL.Image.alpha_composite it over white",
                "only with a colour profile: PIL.ImageCms.profileToProfile to sRGB, perceptual",
                "image.convert('RGB'); what else is decided for odd pictures is in macrotune's docs/decoding.md",
                f"with short = min(width, height): image.resize(({stored}, {stored}), PIL.Image.Resampling.BICUBIC, "
                "box=((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)), "
                "the box not rounded",
                f"image.crop(({offset}, {offset}, {offset + size}, {offset + size}))",
                "divide the pixels by 255, subtract mean and divide by std, channel by channel",
                f"channels first: float32 of shape (batch, 3, {size}, {size})",
            ],
            "draft": stored,
            "square": "centre",
            "resize": stored,
            "resample": "bicubic",
            "crop_box": [offset, offset, offset + size, offset + size],
            "scale": 255,
            "mean": list(self.mean),
            "std": list(self.std),
            "channels": "RGB",
            "layout": "NCHW",
        }

    def _use(self) -> dict[str, str]:
        if self.parts_sha256:
            return {
                "network": f"macrotune's: trainables.saved.saved_model.load_model runs {PARTS}, the user's own parts",
                "output": f"logits of shape (batch, {len(self.classes)}) in the order of classes",
            }
        if self.members:
            return self._use_together()
        values = {attribute: list(dict.fromkeys(by_class)) for attribute, by_class in self.attributes.items()}
        order = "; ".join(f"{attribute}: {', '.join(names)}" for attribute, names in values.items())
        combine = (
            "log_softmax over the values of each attribute; the logit of a class is the sum of its values', which "
            "attributes lists in the order of classes; softmax over the classes makes them probabilities"
        )
        if self.formulation == "separate":
            return {
                "network": f"for each attribute {self._create('number of its values')}.eval() with the tensors of "
                f"{WEIGHTS} whose names begin with the attribute and a point, without these",
                "output": f"each network's logits of shape (batch, values of its attribute): {order}",
                "combine": combine,
            }
        if self.formulation == "heads":
            num = sum(map(len, values.values()))
            return {
                "network": f"{self._create(num, checkpoint_path=WEIGHTS)}.eval()",
                "output": f"logits of shape (batch, {num}), the values of one attribute after the other: {order}",
                "combine": combine,
            }
        num = len(self.classes)
        return {
            "network": f"{self._create(num, checkpoint_path=WEIGHTS)}.eval()",
            "output": f"logits of shape (batch, {num}) in the order of classes; softmax makes them probabilities",
        }

    def _answer(self) -> dict[str, str]:
        if not self.second_view:
            return {}
        reverse = ", the columns in reverse order" if self.second_view in MIRRORED.values() else ""
        other = "its mirror image"
        if self.sees_whole:
            other = (
                "another: the pixels from above without the crop, divided by 255 and resized to "
                f"{self.image_size} x {self.image_size} by torch.nn.functional.interpolate(..., mode='bilinear'), then "
                "normalized as well"
            )
        return {"answer": f"the mean of the probabilities for the input and for {other}{reverse}"}

    @property
    def sees_whole(self) -> bool:
        """Whether it answers to the whole stored picture, too, and not to its middle alone."""
        return self.second_view in (WHOLE, MIRRORED_WHOLE)

    def _use_together(self) -> dict[str, str]:
        rule = "" if self.rule is None else ", divided by the rule's prior to the power of its tau, then by their sum"
        return {
            "network": "for each of members, from 0: timm.create_model(backbone, num_classes="
            f"{len(self.classes)}, **options).eval() with the tensors of {WEIGHTS} whose names begin with members., "
            "its number and a point, without these (heads and separate: as in the model of one such network)",
            "input": "the pixels from above, less the member's own mean, divided by its own std",
            "output": f"the members' probabilities (softmax of their logits), added up by their shares{rule}; the "
            "class of the largest is the answer",
        }

    def _create(self, num: int | str, **options: str) -> str:
        words = "".join(f", {name}={value!r}" for name, value in {**self.options, **options}.items())
        return f"timm.create_model({self.backbone!r}, num_classes={num}{words})"


def model_in(folder: Path) -> ModelDescription | None:
    """What describes the model in a folder; None where there is none that can be read."""
    try:
        return read_description(folder / DESCRIPTION)
    except (ModelError, OSError):
        return None


def made_with_model(folder: Path) -> list[Path]:
    """What commands have put beside the model in a folder."""
    return [path for pattern in MADE_WITH_IT for path in folder.glob(pattern)]


def read_description(path: Path) -> ModelDescription:
    """Reads a `model.json`.

    Raises:
        ModelError: The file is not there, broken, or of a format that is not known here.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is broken ({error}); {_AGAIN}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); name the folder of a saved model") from error
    if not isinstance(values, dict) or "format" not in values:
        raise ModelError(f"{path} describes no model (no key 'format'); name the folder of a saved model")
    if values["format"] not in (FORMAT, TOGETHER):
        raise ModelError(
            f"{path} has the format {values['format']!r}, only {FORMAT} and {TOGETHER} are known here; update "
            "macrotune, or save the model with this version"
        )
    if missing := [name for name in _CHECKS if name not in values and name not in ADDED]:
        raise ModelError(f"{path}: no key {', '.join(missing)}; {_AGAIN}")
    for name, fits in _CHECKS.items():
        if name in values and not fits(values[name]):
            raise ModelError(f"{path}: {name} is {values[name]!r:.100}, which it cannot be; {_AGAIN}")
    num = len(values["classes"])
    if any(len(by_class) != num for by_class in values["attributes"].values()):
        raise ModelError(f"{path}: attributes must have a value for each of the {num} classes; {_AGAIN}")
    if (values.get("rule") or {}).get("prior") and len(values["rule"]["prior"]) != num:
        raise ModelError(f"{path}: the prior of the rule must have a share for each of the {num} classes; {_AGAIN}")
    if values["stored_size"] < values["image_size"]:
        raise ModelError(f"{path}: stored_size is smaller than image_size; {_AGAIN}")
    if values.get("formulation", "joint") != "joint" and not values["attributes"]:
        raise ModelError(
            f"{path}: formulation is {values['formulation']!r:.100}, but there are no attributes; {_AGAIN}"
        )
    values = with_second_view(values)
    known = {entry.name: values[entry.name] for entry in fields(ModelDescription) if entry.name in values}
    known |= {name: tuple(values[name]) for name in ("classes", "mean", "std")}
    known["members"] = tuple(_member(each) for each in values.get("members", ()))
    rule = values.get("rule")
    known["rule"] = None if rule is None else Rule(tau=rule["tau"], prior=tuple(rule["prior"]))
    known["attributes"] = {name: tuple(by_class) for name, by_class in values["attributes"].items()}
    return ModelDescription(**known)


def _member(values: Mapping[str, Any]) -> Member:
    return Member(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def refuse_other_classes(model_classes: Sequence[str], data_classes: Iterable[str]) -> tuple[str, ...]:
    """Makes sure that a model can answer what the data ask; the order of the classes does not matter.

    Returns:
        The model's classes that the data lack, which is no mistake, but is to be said.

    Raises:
        ModelError: The data have a class that the model does not know; names all such.
    """
    asked = set(data_classes)
    if unknown := sorted(asked - set(model_classes)):
        names = ", ".join(map(repr, unknown[:10])) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        known = ", ".join(map(repr, model_classes[:20])) + (", ..." if len(model_classes) > 20 else "")
        raise ModelError(
            f"the model does not know the class{'es' * (len(unknown) > 1)} {names} of the data, only {known}; "
            "give data with these classes, or a model that was trained on the data's"
        )
    return tuple(name for name in model_classes if name not in asked)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(number) in (int, float) and math.isfinite(number) for number in value)
    )


def _are_members(value: object) -> bool:
    """Whether each has what a network needs."""
    if not isinstance(value, list):
        return False
    names = {entry.name for entry in fields(Member)}
    return all(
        isinstance(each, dict)
        and each.keys() <= names
        and _is_text(each.get("backbone"))
        and each.get("formulation", "joint") in FORMULATIONS
        and isinstance(each.get("options", {}), dict)
        and all(map(_is_size, each.get("options", {}).values()))
        and _is_colour(each.get("mean"))
        and _is_colour(each.get("std"))
        and min(each["std"]) > 0
        and _is_share(each.get("share"))
        for each in value
    )


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 < value <= 1  # type: ignore[operator]  # a number by then


def _is_rule(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and value.keys() == {"tau", "prior"}
        and _is_share(value["tau"])
        and isinstance(value["prior"], list)
        and all(map(_is_share, value["prior"]))
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "backbone": _is_text,
    "classes": lambda value: _is_names(value) and len(value) > 1 and len(set(value)) == len(value),
    "formulation": lambda value: value in FORMULATIONS,
    "options": lambda value: isinstance(value, dict) and all(map(_is_size, value.values())),
    "attributes": lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
    "image_size": _is_size,
    "stored_size": _is_size,
    "mean": _is_colour,
    "std": lambda value: _is_colour(value) and min(value) > 0,
    "weights_sha256": _is_text,
    "members": _are_members,
    "rule": _is_rule,
    "mirrored": lambda value: isinstance(value, bool),
    "second_view": lambda value: value in SECOND_VIEWS,
    "parts_sha256": lambda value: isinstance(value, str),
    "metric": lambda value: value in METRICS or is_own_name(value),
    "precision": lambda value: value in get_args(Precision),
    "record": lambda value: isinstance(value, dict),
}
