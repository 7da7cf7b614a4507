from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.saved_models import CLASSES, save_network
from trainables.networks.model import Normalizer
from trainables.saved.saved_model import load_model

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.slow
def test_one_file_gives_the_networks_logits_for_any_batch_and_knows_its_classes(tmp_path: Path) -> None:
    from trainables.saved.onnx_model import export_onnx, largest_difference

    model = load_model(save_network(tmp_path / "model", attributes={"round": ("yes", "no", "no")}), "cpu")
    export_onnx(model, tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        expected = model.network(Normalizer(model.network, model.device)(pixels)).numpy()
    np.testing.assert_allclose(session.run(["logits"], {"pixels": pixels.numpy()})[0], expected, atol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(facts["classes"])) == CLASSES
    assert json.loads(facts["attributes"]) == {"round": ["yes", "no", "no"]}
    assert "crop((2, 2, 34, 34))" in facts["preprocessing"]
    other = load_model(save_network(tmp_path / "other", seed=1), "cpu")
    assert largest_difference(other, tmp_path / "model.onnx") > 1e-2
