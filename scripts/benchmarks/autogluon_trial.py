"""AutoGluon MultiModal at its defaults, an arm of `per_hour.py`; a Python that has `autogluon.multimodal` runs it.

    PYTHON scripts/benchmarks/autogluon_trial.py --split runs/NAME/split.csv --weights FILE --seconds 300 --out FILE

It has the network, its weights, the size of the pictures and the sides of the split from its caller, as it would take
another network and other pixels else; epochs, rate, schedule, augmentation and averaging are its own. It imports
nothing of the project: its libraries are those of another environment.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Trains within the time and writes what the best network scores on the test side, and how long it took."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", type=Path, required=True, help="CSV with the columns path,label,split")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="timm name")
    parser.add_argument("--weights", type=Path, required=True, help="its weights, a safetensors file")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, required=True, help="of the whole process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    sides = read_sides(options.split)
    with tempfile.TemporaryDirectory() as folder:
        found = train(options, sides, Path(folder), started)
    options.out.write_text(json.dumps({**found, "seconds": time.monotonic() - started}), encoding="utf-8")


def read_sides(split: Path) -> dict[str, Any]:
    """A table of the columns image and label for each side."""
    import pandas as pd

    rows: dict[str, list[dict[str, str]]] = {"train": [], "val": [], "test": []}
    with split.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["split"]].append({"image": row["path"], "label": row["label"]})
    return {side: pd.DataFrame(found) for side, found in rows.items()}


def train(options: argparse.Namespace, sides: dict[str, Any], folder: Path, started: float) -> dict[str, Any]:
    """Trains by AutoGluon and scores the test side."""
    from autogluon.multimodal import MultiModalPredictor
    from sklearn.metrics import f1_score

    network = save_network(options.backbone, options.weights, folder / "network")
    predictor = MultiModalPredictor(
        label="label",
        problem_type="multiclass",
        eval_metric="f1_macro",
        path=str(folder / "predictor"),
        verbosity=1,
    )
    predictor.fit(
        sides["train"],
        tuning_data=sides["val"],
        time_limit=max(1.0, options.seconds - (time.monotonic() - started)),
        seed=options.seed,
        hyperparameters={
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": str(network),
            "model.timm_image.image_size": options.image_size,
        },
    )
    trained = time.monotonic() - started
    answers = predictor.predict(sides["test"][["image"]])
    return {"f1": float(f1_score(sides["test"]["label"], answers, average="macro")), "training_seconds": trained}


def save_network(backbone: str, weights: Path, folder: Path) -> Path:
    """A folder that AutoGluon takes for a pretrained network, as no model hub need be there."""
    import timm
    import torch

    model: Any = timm.create_model(
        backbone, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": str(weights)}
    )
    folder.mkdir()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    known = {name: value for name, value in model.default_cfg.items() if isinstance(value, (str, int, float, tuple))}
    config = {**known, "architecture": backbone, "num_features": model.num_features}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
