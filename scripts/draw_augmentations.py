"""Draws what each augmentation does to four pictures, at the strongest that a space proposes, on one sheet.

    python scripts/draw_augmentations.py                                # of the built-in data, in seconds
    python scripts/draw_augmentations.py a.jpg b.jpg c.jpg d.jpg --out sheet.png

One row an augmentation, below the pictures as the network sees them without any. Most are applied to a share of the
pictures; here each picture is drawn until it is among them.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from scripts.terminal import MARKERS, run_command
from trainables.errors import UserError

if TYPE_CHECKING:
    import PIL.Image
    import torch

    from trainables.config import TrialConfig

NUM_PICTURES = 4
DRAWS = 100
"""An augmentation of half of the pictures misses one so often once in 1e30 sheets."""
LEAST_CHANGE = 0.004
"""Mean difference, of 0 to 1, from which a picture counts as changed: a grey level of 256."""
COLOURS = 256
"""Of the sheet: a sixth of the file, and seen from a few grey levels on."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw what each augmentation does to four pictures, on one sheet."""

    pictures: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help_behavior_hint="(default: of the built-in data)")
    ] = ()
    """Four pictures."""
    out: Path = Path("augmentations.png")
    """The sheet, a PNG; one that is there is replaced."""
    image_size: int = 96
    """Side of the square picture the network sees, in pixels, 16 to 1024."""


@dataclass(frozen=True)
class Row:
    """One augmentation on all pictures."""

    title: str
    pictures: torch.Tensor
    """`(4, 3, S, S) float32` from 0 to 1."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and draws; a user's mistake is one message and exit code 2."""
    markers = (*MARKERS, tyro.conf.PositionalMetavarFromFieldName)
    return run_command(Options, draw, args, prog="draw_augmentations.py", markers=markers)


def draw(options: Options) -> int:
    """The pipeline: pictures, augmentations, sheet."""
    from trainables.atomic import write_whole

    if len(options.pictures) not in (0, NUM_PICTURES):
        raise UserError(f"{len(options.pictures)} pictures: give {NUM_PICTURES}, or none for the built-in data")
    if not 16 <= options.image_size <= 1024:
        raise UserError(f"--image-size is {options.image_size}: it must be between 16 and 1024")
    sheet = draw_sheet(options.pictures, options.image_size)
    write_whole(options.out, sheet.png)
    print(f"{options.out}: {sheet.rows} rows, {sheet.width} x {sheet.height}")
    return 0


@dataclass(frozen=True)
class Sheet:
    """All augmentations on four pictures."""

    png: bytes
    rows: int
    width: int
    height: int


def draw_sheet(paths: Sequence[Path], image_size: int, memory_bytes: int | None = None) -> Sheet:
    """Draws the sheet.

    Args:
        paths: Four pictures; empty for some of the built-in data.
        image_size: Side of the square picture the network sees, in pixels.
        memory_bytes: What decoding one may take; by default `memory_bound()`.

    Raises:
        UserError: A file is no picture that can be read.
    """
    stored = read_pictures(paths, image_size, memory_bytes)
    rows = [augmented(title, config, stored, image_size) for title, config in augmentations()]
    sheet = compose(rows, image_size)
    content = io.BytesIO()
    sheet.quantize(COLOURS).save(content, "PNG", optimize=True)
    return Sheet(content.getvalue(), len(rows), sheet.width, sheet.height)


def read_pictures(paths: Sequence[Path], image_size: int, memory_bytes: int | None = None) -> torch.Tensor:
    """Pictures as a search stores them, `(4, 3, P, P) uint8`; the arguments are those of `draw_sheet`.

    Raises:
        UserError: A file is no picture that can be read.
    """
    import numpy as np
    import torch

    from trainables.data.cache import find_unreadable, stored_size
    from trainables.data.decoding import decode
    from trainables.data.demo.draw import make_demo_data

    with tempfile.TemporaryDirectory() as folder:
        if not paths:
            demo = make_demo_data(Path(folder) / "demo", people=6, eval_people=1, workers=1)
            people = sorted(path for path in (demo / "train" / "images").iterdir() if path.is_dir())
            kinds = ("mask1", "normal", "incorrect_mask", "mask2")
            paths = [next(person.glob(f"{name}.*")) for person, name in zip(people, kinds, strict=False)]
        names = [str(path.expanduser().absolute()) for path in paths]
        if bad := find_unreadable(names, memory_bytes):
            raise UserError("; ".join(f"{name}: {reason}" for name, reason in bad.items()))
        pictures = np.stack([decode(name, stored_size(image_size), memory_bytes) for name in names])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def augmentations() -> Iterator[tuple[str, TrialConfig]]:
    """Each augmentation alone, with a title: its knob and the largest value that is searched."""
    from spaces.sampling import RecordedTrial, at_share
    from spaces.suggest import suggest_augmentation, suggest_mixing
    from trainables.config import POLICIES, TrialConfig

    off = TrialConfig(backbone="resnet18", flip=0.0, crop=0.0)
    yield "as it is", off
    largest: dict[str, Any] = {}
    for policy in POLICIES:
        trial: Any = RecordedTrial(lambda name, spread: policy if name == "policy" else at_share(spread, 1.0))  # noqa: B023
        largest |= suggest_augmentation(trial) | suggest_mixing(trial)
    magnitude = largest.pop("policy_magnitude")
    largest.pop("policy")
    for name, value in largest.items():
        yield f"{name} {value:g}", replace(off, **{name: value})
    for policy in POLICIES[1:]:
        strength = f"\nmagnitude {magnitude:g}" if policy == "rand" else ""
        yield f"policy {policy}{strength}", replace(off, policy=policy, policy_magnitude=magnitude)


def augmented(title: str, config: TrialConfig, stored: torch.Tensor, image_size: int) -> Row:
    """All pictures with an augmentation, each drawn until it is changed; of mixed ones the labels are said."""
    import numpy as np
    import torch

    from trainables.augmentation.augment import Augment
    from trainables.networks.model import centre_crop

    torch.manual_seed(0)
    np.random.seed(0)
    augment = Augment(config, image_size, len(stored))
    plain = centre_crop(stored, image_size).float().div(255)
    result = plain.clone()
    left = set(range(len(stored))) if title != "as it is" else set()
    shares = []
    for _ in range(DRAWS):
        pictures, labels = augment(stored, torch.arange(len(stored)))
        changes = (pictures - plain).abs().mean(dim=(1, 2, 3))
        for place in [place for place in left if changes[place] > LEAST_CHANGE]:
            result[place] = pictures[place]
            left.remove(place)
            if labels.ndim == 2:
                shares.append(1 - float(labels[place, place]))
        if not left:
            break
    if left:
        title += f"\nnot seen at {image_size} px"
    if shares:
        title += f"\nlabels: {sum(shares) / len(shares):.0%}\nof another"
    return Row(title, result.clamp(0, 1))


def compose(rows: Sequence[Row], image_size: int) -> PIL.Image.Image:
    """The sheet: a title and the pictures in each row."""
    from PIL import Image, ImageDraw, ImageFont

    gap, margin = max(2, image_size // 24), round(1.25 * max(96, image_size))
    pitch = image_size + gap
    sheet = Image.new("RGB", (margin + pitch * NUM_PICTURES, gap + pitch * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(12, image_size // 7))
    for number, row in enumerate(rows):
        top = gap + pitch * number
        pen.multiline_text((gap, top + image_size / 2), row.title, fill="black", font=font, anchor="lm")
        for place, picture in enumerate(row.pictures):
            pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(pixels), (margin + pitch * place, top))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
