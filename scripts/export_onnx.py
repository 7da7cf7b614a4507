"""Writes a saved model as one ONNX file, and compares it with torch where onnxruntime is installed.

    python scripts/export_onnx.py MODEL

The network takes float32 pixels / 255 of shape (batch, 3, size, size), normalizes them itself, and gives logits. The
classes and the preparation of pictures are in the file's metadata. This takes half a minute for efficientnet_b0.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from scripts.terminal import at_home, run_command
from trainables.atomic import replacing
from trainables.called import install_command
from trainables.errors import UserError

NEEDED = ("onnx", "onnxscript")
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a saved model as one ONNX file."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Folder of a saved model, or of a run."""
    out: Path | None = None
    """File to write; by default model.onnx in the model's folder."""
    opset: int | None = None
    """Version of ONNX's operators, 18 or more; by default torch's choice."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and exports; a user's mistake is one message and exit code 2."""
    return run_command(Options, export, args, prog="scripts/export_onnx.py")


def export(options: Options) -> None:
    """Exports to a temporary name, compares, and renames.

    Raises:
        UserError: A package is missing, the model cannot be used, or the file answers otherwise than the model.
    """
    options = at_home(options)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(f"the packages {' and '.join(missing)} are needed for this: {install_command('onnx')}")
    if options.opset is not None:
        from onnx.defs import onnx_opset_version

        if not 18 <= options.opset <= onnx_opset_version():
            raise UserError(
                f"opset is {options.opset}: it must be from 18 to {onnx_opset_version()}, the newest that onnx has here"
            )
    if options.out is not None and options.out.is_dir():
        raise UserError(f"{options.out} is a folder; name a file by --out")

    from results.records.models import model_folders
    from trainables.saved.onnx_model import CHECKED_BATCHES, export_onnx, largest_difference
    from trainables.saved.saved_model import load_model

    model = load_model(model_folders((options.model,))[0], "cpu")
    out = options.out or model.path / "model.onnx"
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, suffix=".onnx") as draft:
        export_onnx(model, draft, options.opset)
        checked = f"not compared with torch: onnxruntime is missing, {install_command('onnx')}"
        if importlib.util.find_spec("onnxruntime") is not None:
            difference = largest_difference(model, draft)
            if not difference <= TOLERANCE:
                raise UserError(f"{out} was not written: its logits differ from torch's by {difference:.1e}")
            batches = " and ".join(map(str, CHECKED_BATCHES))
            checked = f"onnxruntime's logits are torch's to {difference:.1e} for batches of {batches}"
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {checked}")


if __name__ == "__main__":
    sys.exit(main())
