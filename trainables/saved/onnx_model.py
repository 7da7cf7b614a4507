"""A saved model as ONNX, for programs without torch: from pixels between 0 and 1 to logits.

Letters: `B` batch, `C` classes, `S` image size, `P` side of a stored picture.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from trainables.networks.model import views
from trainables.saved.model_description import ModelError
from trainables.saved.saved_model import SavedModel
from trainables.saved.together import SMALLEST

INPUT, OUTPUT = "pixels", "logits"
CHECKED_BATCHES = (1, 5)


class PixelsToLogits(nn.Module):
    """The network with its normalization in front, and with what it says to a second view where that counts."""

    def __init__(self, model: SavedModel) -> None:
        super().__init__()
        self.network = model.network
        self.image_size, self.second_view = model.description.image_size, model.description.second_view
        self.register_buffer("mean", torch.tensor(model.description.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(model.description.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` from 0 to 1 to logits `(B, C) float32`; of whole pictures, `(B, 3, P, P)`."""
        normalized = (pixels - self.get_buffer("mean")) / self.get_buffer("std")
        shown = views(normalized, self.image_size, self.second_view)
        if len(shown) == 1:
            return self.network(shown[0])
        both = [self.network(view).softmax(dim=1) for view in shown]
        return torch.stack(both).mean(dim=0).clamp_min(SMALLEST).log()


def input_size(model: SavedModel) -> int:
    """Side of the pictures that the graph takes, in pixels: their middle, or all that is stored of them."""
    described = model.description
    return described.stored_size if described.sees_whole else described.image_size


def export_onnx(model: SavedModel, path: Path, opset: int | None = None) -> None:
    """Writes one file that holds the weights too, for any batch size; the classes are in its metadata as JSON.

    Args:
        model: A model on the CPU.
        path: File to write.
        opset: Version of ONNX's operators; torch's own choice if None.

    Raises:
        ModelError: torch cannot export this network.
    """
    described = model.description
    size = input_size(model)
    wrapped = PixelsToLogits(model).to(memory_format=torch.contiguous_format).eval()
    try:
        program = torch.onnx.export(
            wrapped,
            (torch.rand(2, 3, size, size),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"torch cannot write {described.name} as ONNX ({reason}); try another --opset") from error
    assert program is not None  # None is for exports without dynamo
    program.model.metadata_props.update(
        {
            "classes": json.dumps(described.classes),
            "attributes": json.dumps(dict(described.attributes)),
            "backbone": described.name,
            "input": f"{INPUT}: float32 (batch, 3, {size}, {size}), RGB pixels / 255; normalization is in the graph",
            "preprocessing": json.dumps(described.preprocessing()["steps"][: -3 if described.sees_whole else -2]),
            "output": f"{OUTPUT}: float32 (batch, {len(described.classes)}); softmax makes them probabilities",
        }
    )
    program.save(path, external_data=False)


@torch.inference_mode()
def largest_difference(model: SavedModel, path: Path) -> float:
    """How far onnxruntime's logits are from torch's on random pixels, as a share of the largest logit if above 1.

    Raises:
        ModelError: This onnxruntime cannot run the file.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # a dozen types of its own, for operators that are newer than it
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} cannot run it ({reason}); try another --opset"
        ) from error
    wrapped = PixelsToLogits(model).eval()
    size, generator = input_size(model), torch.Generator().manual_seed(0)
    worst = 0.0
    for batch in CHECKED_BATCHES:
        pixels = torch.rand(batch, 3, size, size, generator=generator)
        ours = wrapped(pixels)
        theirs = torch.from_numpy(session.run([OUTPUT], {INPUT: pixels.numpy()})[0])
        if theirs.shape != ours.shape:
            return float("inf")
        worst = max(worst, ((theirs - ours).abs().max() / max(1.0, ours.abs().max().item())).item())
    return worst
