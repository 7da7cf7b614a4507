"""What `model.json` says of a trained network: classes, preprocessing and where it comes from. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trainables.config import FORMULATIONS
from trainables.errors import UserError

FORMAT = 1
"""Rises when a reader of today would misread the file."""
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
_AGAIN = "copy the model again, or save it anew"


ADDED = ("formulation", "options")
"""Keys that a file of before they existed lacks."""


class ModelError(UserError):
    """A saved model cannot be used; one line with the file and the way out."""


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
    record: Mapping[str, Any] = field(default_factory=dict)
    """Where the network comes from, as its maker noted: scores, configuration, seeds, split, versions."""

    def to_json(self) -> str:
        """The text of `model.json`.

        Raises:
            UserError: The record holds what strict JSON cannot, such as NaN.
        """
        values = asdict(self)
        record = values.pop("record")
        values |= {"preprocessing": self.preprocessing(), "use": self._use(), "record": record}
        try:
            return json.dumps(values, indent=2, allow_nan=False) + "\n"
        except (ValueError, TypeError) as error:
            raise UserError(f"the record of a model must be strict JSON: {error}") from error

    def preprocessing(self) -> dict[str, Any]:
        """How to get from a picture file to the network's input with Pillow and NumPy, in words and numbers."""
        stored, size = self.stored_size, self.image_size
        offset = (stored - size) // 2
        return {
            "steps": [
                f"open the file with Pillow; before its pixels are read: image.draft('RGB', ({stored}, {stored}))",
                "turn it upright: PIL.ImageOps.exif_transpose(image)",
                "only if its mode begins with I (16 or 32 bit grey): divide by 256 without remainder, as 8 bit grey",
                "image.convert('RGB'), which drops transparency",
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

    def _create(self, num: int | str, **options: str) -> str:
        words = "".join(f", {name}={value!r}" for name, value in {**self.options, **options}.items())
        return f"timm.create_model({self.backbone!r}, num_classes={num}{words})"


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
    if values["format"] != FORMAT:
        raise ModelError(
            f"{path} has the format {values['format']!r}, only {FORMAT} is known here; update macrotune, or save "
            "the model with this version"
        )
    if missing := [name for name in _CHECKS if name not in values and name not in ADDED]:
        raise ModelError(f"{path}: no key {', '.join(missing)}; {_AGAIN}")
    for name, fits in _CHECKS.items():
        if name in values and not fits(values[name]):
            raise ModelError(f"{path}: {name} is {values[name]!r:.100}, which it cannot be; {_AGAIN}")
    num = len(values["classes"])
    if any(len(by_class) != num for by_class in values["attributes"].values()):
        raise ModelError(f"{path}: attributes must have a value for each of the {num} classes; {_AGAIN}")
    if values["stored_size"] < values["image_size"]:
        raise ModelError(f"{path}: stored_size is smaller than image_size; {_AGAIN}")
    if values.get("formulation", "joint") != "joint" and not values["attributes"]:
        raise ModelError(
            f"{path}: formulation is {values['formulation']!r:.100}, but there are no attributes; {_AGAIN}"
        )
    known = {entry.name: values[entry.name] for entry in fields(ModelDescription) if entry.name in values}
    known |= {name: tuple(values[name]) for name in ("classes", "mean", "std")}
    known["attributes"] = {name: tuple(by_class) for name, by_class in values["attributes"].items()}
    return ModelDescription(**known)


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
    "record": lambda value: isinstance(value, dict),
}
