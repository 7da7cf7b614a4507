"""The plain trial script that PyTorch's and Ray's documentation suggest: what the throughput benchmark has to beat.

    python scripts/benchmarks/plain_trial.py --split runs/NAME/split.csv

A `Dataset` opens a file a picture, torchvision's transforms work on Pillow pictures, a `DataLoader` feeds the network,
and Ray Tune runs `OptunaSearch` and `ASHAScheduler` at their defaults, a process a trial, a checkpoint an epoch
(docs.ray.io "How to use Tune with PyTorch", pytorch.org "Transfer Learning Tutorial"). Nothing here is meant to be
fast. It prints the best trial and the epochs it trained, and takes minutes where a search of ours takes one. With
`--score` it also writes what its best checkpoint scores on the side that nothing was trained or chosen on.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as the tutorials have them."""


def main() -> int:
    """Parses the command line and tunes."""
    tyro.cli(tune_trials, prog="plain_trial.py", config=(tyro.conf.FlagCreatePairsOff,))
    return 0


def tune_trials(
    split: Path,
    backbone: str = "mobilenetv3_small_050",
    image_size: int = 64,
    batch_size: int = 32,
    epochs: int = 3,
    trials: int = 4,
    concurrency: int = 2,
    workers: int = 0,
    grace_period: Annotated[int, tyro.conf.arg(help_behavior_hint="(default: 1, as in Ray)")] = 1,
    storage: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: ~/ray_results)")] = "",
    weights: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: random ones)")] = "",
    time_budget: float | None = None,
    score: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: nowhere)")] = "",
) -> None:
    """Tune as the documentation suggests.

    Args:
        split: CSV with the columns path,label,split; paths are absolute, the sides used are train and val.
        backbone: timm name.
        image_size: Side of the square picture, in pixels.
        batch_size: Pictures in a training batch.
        epochs: Epochs of a trial that ASHA does not stop.
        trials: Configurations to try.
        concurrency: Trials at the same time, one core each.
        workers: DataLoader processes of each of a trial's two loaders.
        grace_period: Epochs before ASHA may stop a trial.
        storage: Where Ray keeps results and checkpoints.
        weights: File of pretrained weights for the backbone.
        time_budget: Seconds of tuning; as many trials as fit are tried then. (default: all trials)
        score: JSON file for what the best checkpoint scores on the test side.
    """
    import pandas as pd
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    settings = {
        "split": str(split.resolve()),
        "backbone": backbone,
        "image_size": image_size,
        "batch_size": batch_size,
        "epochs": epochs,
        "workers": workers,
        "weights": weights,
    }
    space = {
        "lr": tune.loguniform(1e-4, 1e-2),
        "weight_decay": tune.loguniform(1e-4, 1e-1),
        "label_smoothing": tune.uniform(0.0, 0.2),
        "dropout": tune.uniform(0.0, 0.5),
    }
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init("local", num_cpus=concurrency, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_parameters(train_trial, settings=settings),  # one core a trial is the default
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="val_f1",
            mode="max",
            num_samples=trials if time_budget is None else -1,
            time_budget_s=time_budget,
            max_concurrent_trials=concurrency,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=grace_period),
        ),
        run_config=tune.RunConfig(storage_path=storage or None, verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise results.errors[0]
    epochs_trained = int(results.get_dataframe().get("training_iteration", pd.Series(dtype=int)).sum())
    if not epochs_trained:
        print("no trial came to the end of an epoch")
        if score:
            Path(score).write_text(json.dumps({"f1": 0.0, "epochs": 0}), encoding="utf-8")
        return
    best = results.get_best_result()
    assert best.metrics is not None
    print(f"best macro-F1 {best.metrics['val_f1']:.4f} with {best.config}")
    print(f"epochs trained: {epochs_trained}")
    ray.shutdown()
    if score:
        best = results.get_best_result(scope="all")
        assert best.best_checkpoints and best.config is not None
        checkpoint = max(best.best_checkpoints, key=lambda each: each[1]["val_f1"])[0]
        found = {"f1": score_checkpoint(checkpoint.path, best.config, settings), "epochs": epochs_trained}
        Path(score).write_text(json.dumps(found), encoding="utf-8")


def train_trial(config: dict[str, Any], settings: dict[str, Any]) -> None:
    """One trial, as the tutorials write it."""
    import torch
    from ray import tune
    from sklearn.metrics import f1_score
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import transforms

    size = settings["image_size"]
    train_transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.8, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    options: dict[str, Any] = {"batch_size": settings["batch_size"], "num_workers": settings["workers"]}
    train_set: Any = Pictures(settings["split"], "train", train_transform)
    val_set: Any = Pictures(settings["split"], "val", evaluation_transform(size))
    train_loader: DataLoader = DataLoader(train_set, shuffle=True, drop_last=True, **options)
    val_loader: DataLoader = DataLoader(val_set, **options)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_network(settings, len(train_set.classes), config["dropout"]).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"])
    for _ in range(settings["epochs"]):
        model.train()
        train_loss = 0.0
        for pictures, labels in train_loader:
            pictures, labels = pictures.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(pictures), labels)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        schedule.step()
        model.eval()
        truths, answers = answer(model, val_loader, device)
        with tempfile.TemporaryDirectory() as folder:
            torch.save((model.state_dict(), optimizer.state_dict()), Path(folder) / "checkpoint.pt")
            tune.report(
                {"val_f1": f1_score(truths, answers, average="macro"), "train_loss": train_loss / len(train_loader)},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def build_network(settings: dict[str, Any], num_classes: int, dropout: float) -> Any:
    """The network, pretrained where there is a file of weights."""
    import timm

    file = settings["weights"]
    overlay = {"file": file} if file else None
    return timm.create_model(
        settings["backbone"],
        pretrained=bool(file),
        pretrained_cfg_overlay=overlay,
        num_classes=num_classes,
        drop_rate=dropout,
    )


def evaluation_transform(size: int) -> Any:
    """Resize, middle, normalize: as the tutorials write it."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(round(size * 8 / 7)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def answer(model: Any, loader: Any, device: Any) -> tuple[list[int], list[int]]:
    """Truths and answers of a network in evaluation mode."""
    import torch

    truths, answers = [], []
    with torch.no_grad():
        for pictures, labels in loader:
            answers += model(pictures.to(device)).argmax(1).tolist()
            truths += labels.tolist()
    return truths, answers


def score_checkpoint(folder: str, config: dict[str, Any], settings: dict[str, Any]) -> float:
    """Macro-F1 of a checkpoint on the test side."""
    import torch
    from sklearn.metrics import f1_score
    from torch.utils.data import DataLoader

    test_set: Any = Pictures(settings["split"], "test", evaluation_transform(settings["image_size"]))
    model = build_network({**settings, "weights": ""}, len(test_set.classes), config["dropout"])
    model.load_state_dict(torch.load(Path(folder) / "checkpoint.pt", weights_only=True)[0])
    truths, answers = answer(model.eval(), DataLoader(test_set, batch_size=settings["batch_size"]), "cpu")
    return float(f1_score(truths, answers, average="macro"))


class Pictures:
    """A map-style dataset of one side of a split: opens a file whenever a picture is asked for."""

    def __init__(self, split: str, side: str, transform: Any) -> None:
        with Path(split).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.classes = sorted({row["label"] for row in rows})
        self._rows = [(row["path"], self.classes.index(row["label"])) for row in rows if row["split"] == side]
        self._transform = transform

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """The transformed picture and the index of its class."""
        from PIL import Image

        path, label = self._rows[index]
        with Image.open(path) as picture:
            return self._transform(picture.convert("RGB")), label


if __name__ == "__main__":
    sys.exit(main())
