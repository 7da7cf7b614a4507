"""A user's own parts: found by their names, run once a process, tried before a search, refused with the way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search.machine.cluster import SHIPPED
from trainables.config import TaskConfig, TrialConfig
from trainables.networks.model import num_parameters, size_options
from trainables.networks.network_costs import compute_facts
from trainables.parts.check import check
from trainables.parts.loading import run_source, use, use_task_parts
from trainables.parts.registry import part, sha256_of
from trainables.saved.saved_model import load_model, save_model
from trainables.scores import score_confusion
from trainables.training.loss import build_loss

ROOT = Path(__file__).resolve().parents[3]
HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional\nfrom macrotune import parts\n"
GOOD = (
    HEAD
    + """
@parts.network
def thin():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

@parts.loss
def doubled(logits, targets, loss_knob, class_counts):
    return loss_knob * functional.cross_entropy(logits, targets)

@parts.augmentation
def darker(pictures, augmentation_knob=0.5):
    return pictures * augmentation_knob

@parts.metric
def least_recall(truth, answers):
    return min((answers[truth == one] == one).mean() for one in set(truth.tolist()))

@parts.decision
def only_first(probabilities, prior):
    return torch.zeros_like(probabilities).index_fill(1, torch.tensor([0]), 1.0)
"""
)
CONFIG = TrialConfig(backbone="thin", loss="own:doubled", loss_knob=2.0, augmentation="own:darker", cutmix=0.5)


@pytest.fixture(autouse=True)
def nothing_in_use() -> Iterator[None]:
    """Leaves no file in use behind."""
    yield
    use(None)


def task_of(source: str, **other: object) -> TaskConfig:
    given = {"file": "my.py", "sha256": sha256_of(source), "source": source}
    values = {"cache_path": "", "split_path": "", "checkpoint_dir": "", "classes": ("a", "b", "c"), "image_size": 32}
    return TaskConfig(**{**values, "batch_size": 2, "device": "cpu", "parts": given, **other})  # type: ignore[arg-type]


def test_a_file_of_parts_is_run_once_and_each_part_does_what_it_is_for() -> None:
    task = task_of(GOOD, metric="own:least_recall")
    check([CONFIG], task)
    assert run_source(GOOD, "my.py") is run_source(GOOD, "my.py")
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    loss = build_loss(CONFIG, [1, 1, 2], torch.device("cpu"))
    plain = build_loss(replace(CONFIG, loss="cross_entropy"), [1, 1, 2], torch.device("cpu"))
    assert loss(logits, labels).item() == pytest.approx(2 * plain(logits, labels).item())
    assert score_confusion("own:least_recall", [[2, 0, 0], [0, 1, 1], [0, 0, 3]]) == 0.5


def test_the_known_metrics_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

    rng = np.random.default_rng(0)
    truth, answers = rng.choice(4, 200, p=[0.6, 0.2, 0.15, 0.05]), rng.integers(4, size=200)
    confusion = confusion_matrix(truth, answers)
    assert score_confusion("accuracy", confusion) == pytest.approx(accuracy_score(truth, answers))
    assert score_confusion("balanced_accuracy", confusion) == pytest.approx(balanced_accuracy_score(truth, answers))
    assert score_confusion("weighted_f1", confusion) == pytest.approx(f1_score(truth, answers, average="weighted"))
    assert score_confusion("macro_f1", confusion) == pytest.approx(f1_score(truth, answers, average="macro"))


def test_a_saved_model_holds_its_parts_and_refuses_changed_ones(tmp_path: Path) -> None:
    from trainables.networks.formulation import build_network

    use_task_parts(task_of(GOOD).parts)
    task = task_of(GOOD)
    network = build_network(CONFIG, task, torch.device("cpu")).eval()
    pictures = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        before = network(pictures)
    save_model(
        tmp_path,
        network,
        backbone="thin",
        classes=task.classes,
        attributes={},
        image_size=32,
        record={},
        metric="own:least_recall",
    )
    use(None)
    model = load_model(tmp_path, "cpu")
    assert model.description.metric == "own:least_recall"
    with torch.no_grad():
        assert torch.equal(model.network(pictures), before)
    assert before.argmax(1).tolist() == [0] * 5
    (tmp_path / "parts.py").write_text(GOOD + "\n# another\n")
    with pytest.raises(ValueError, match=r"parts.py has changed since the model was saved .*bring it back as it was"):
        load_model(tmp_path, "cpu")
    (tmp_path / "parts.py").unlink()
    with pytest.raises(ValueError, match=r"parts.py cannot be read .*the parts that the network is made with"):
        load_model(tmp_path, "cpu")


AS_ON_ANOTHER_NODE = """
import json, sys
*shipped, task = sys.argv[1:]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path[:0] = shipped
import torch
from trainables.config import TaskConfig, TrialConfig
from trainables.networks.formulation import build_network
from trainables.parts.loading import use_task_parts
task = TaskConfig.from_json(json.loads(task))
use_task_parts(task.parts)
network = build_network(TrialConfig(backbone="thin"), task, torch.device("cpu"))
print(tuple(network(torch.rand(2, 3, 32, 32)).shape), "results" in sys.modules)
"""


def test_a_node_that_sees_neither_file_nor_checkout_has_the_parts(tmp_path: Path) -> None:
    for name in SHIPPED:  # each in a folder of its own, as Ray unpacks them
        shutil.copytree(ROOT / name, tmp_path / f"at-{name}" / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = GOOD + "\nfrom spaces.suggest import suggest_loss\nfrom trainables.config import TrialConfig\n"
    shipped = [str(tmp_path / f"at-{name}") for name in SHIPPED]
    done = subprocess.run(
        [sys.executable, "-c", AS_ON_ANOTHER_NODE, *shipped, json.dumps(asdict(task_of(source)))],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(2, 3) False\n", done.stderr


LOSS = HEAD + "@parts.loss\ndef mine(logits, targets):\n    "
PICTURES = HEAD + "@parts.augmentation\ndef mine(pictures):\n    "
NETWORK = HEAD + "@parts.network\ndef mine():\n    "
DECISION = HEAD + "@parts.decision\ndef mine(probabilities, prior):\n    "
METRIC = HEAD + "@parts.metric\ndef mine(truth, answers):\n    "
USES = {
    LOSS: {"loss": "own:mine"},
    PICTURES: {"augmentation": "own:mine"},
    NETWORK: {"backbone": "mine"},
    DECISION: {},
    METRIC: {},
}
BAD = [
    (
        LOSS,
        "return functional.cross_entropy(logits, targets, reduction='none')",
        r"loss 'mine' returns a tensor \(2,\)",
    ),
    (LOSS, "return logits.sum() / 0 * 0", "loss 'mine' gives nan on two pictures .*division by 0"),
    (LOSS, "return functional.cross_entropy(logits, targets).detach()", "does not depend on the logits"),
    (LOSS, "return logits.nothing", "loss 'mine' fails: AttributeError in line 7: .*Fix the function"),
    (PICTURES, "return pictures[:, :, 1:]", r"augmentation 'mine' returns pictures of the shape \(2, 3, 31, 32\)"),
    (
        PICTURES,
        "return pictures.to('meta')",
        "of a GPU to the meta|of the device meta",
    ),
    (PICTURES, "return pictures.cpu()", "takes pictures of a GPU to the cpu: it must leave them on their device"),
    (PICTURES, "return None", "augmentation 'mine' returns NoneType: it must return the pictures"),
    (NETWORK, "return nn.Conv2d(3, 8, 3)", r"network 'mine' makes \(2, 8, 30, 30\) of 2 pictures: .*pooled features"),
    (NETWORK, "return 5", "network 'mine' returns int: it must return a torch.nn.Module"),
    (
        DECISION,
        "return probabilities[:, :2]",
        r"'mine' returns \(2, 2\): it must return a score of each",
    ),
    (DECISION, "return probabilities * float('nan')", "decision 'mine' gives scores that are no numbers"),
    (METRIC, "return 7", "metric 'mine' gives 7 for .*it must be a number from 0 to 1"),
    (
        METRIC,
        "return (truth[truth != 0] == 1).mean() if (truth != 0).any() else 1 / 0",
        "'mine' fails: ZeroDivisionError",
    ),
]


@pytest.mark.parametrize(("head", "body", "message"), BAD, ids=[message[:30] for *_, message in BAD])
def test_what_a_part_does_wrong_is_told_with_file_and_function(head: str, body: str, message: str) -> None:
    config = TrialConfig(**{"backbone": "test_resnet", **USES[head]})  # type: ignore[arg-type]
    task = task_of(head + body, metric="own:mine" if head == METRIC else "macro_f1")
    with pytest.raises(ValueError, match=message) as found:
        check([config], task)
    print(found.value)
    assert "my.py" in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import my_neighbour", r"my.py does not run: ModuleNotFoundError in line 1: .*Workers see this file alone"),
        ("def f(:", "my.py does not run: SyntaxError in line 1"),
        (
            2 * (LOSS + "return 0\n").replace(HEAD, "from macrotune import parts\n"),
            "two parts of one name, the loss 'mine'",
        ),
        (
            DECISION + "return 0\n@parts.decision\ndef other(a, b):\n    return a",
            "two decision rules, 'mine' and 'other'",
        ),
        (NETWORK.replace("mine", "resnet18") + "return nn.Flatten()", "timm has a network 'resnet18' of its own"),
        (
            HEAD + "import timm\n@timm.models.register_model\ndef vgg13(**_):\n    return nn.Flatten()",
            "there are two networks 'vgg13', timm's or one of yours: give it another name",
        ),
        (LOSS.replace("targets", "targets, los_knob") + "return 0", "'los_knob', .*did you mean 'loss_knob'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as found:
        check([TrialConfig(backbone="test_resnet", loss="own:mine")], task_of(source))
    print(found.value)


def test_a_network_without_the_knob_that_is_asked_for_is_named() -> None:
    source = NETWORK + "return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())"
    with pytest.raises(ValueError, match=r"my.py: the network 'mine' has no drop path: let the function take"):
        check([TrialConfig(backbone="mine", drop_path=0.1)], task_of(source))
    fixed = "import timm\n@timm.models.register_model\ndef two_only(num_classes=9, **_):\n    return Two()\n"
    two = "class Two(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    two += "        self.fc = nn.Linear(3, 2)\n"
    two += "    def get_classifier(self):\n        return self.fc\n"
    two += "    def forward(self, x):\n        return self.fc(x.mean((2, 3)))\n"
    with pytest.raises(ValueError, match=r"'two_only' makes \(1, 2\) of a picture and 3 classes: it must be \(1, 3\)"):
        check([TrialConfig(backbone="two_only")], task_of(HEAD + fixed + two))


def test_a_network_that_only_runs_on_pictures_that_lie_channel_by_channel_is_refused() -> None:
    flat = "class Flat(nn.Module):\n    def forward(self, x):\n        return x.view(len(x), -1)\n\n\n"
    source = NETWORK.replace("@parts", f"{flat}@parts") + "return Flat()"
    with pytest.raises(
        ValueError, match=r"network 'mine' fails: RuntimeError in line \d+: view size is not compatible"
    ):
        check([TrialConfig(backbone="mine")], task_of(source))
    check([TrialConfig(backbone="mine")], task_of(source.replace("view", "reshape")))


def test_a_name_that_there_is_not_gets_the_nearest() -> None:
    use_task_parts(task_of(GOOD).parts)
    with pytest.raises(ValueError, match=r"my.py has no loss 'double': did you mean 'doubled'"):
        part("loss", "own:double")
    with pytest.raises(ValueError, match=r"it must be one of cross_entropy, .*or own:NAME for one of your own"):
        TrialConfig(backbone="thin", loss="doubled")


def test_a_network_that_reads_a_number_out_of_a_tensor_is_made_in_earnest() -> None:
    source = NETWORK.replace("def mine():", "def mine(drop_path=0.0):") + (
        "rates = [rate.item() for rate in torch.linspace(0, drop_path, 3)]\n"
        "    assert len(rates) == 3\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    use_task_parts(task_of(source).parts)
    assert num_parameters("mine") == 8 * 3 * 9 + 8 + 8 * 2 + 2
    assert compute_facts("mine", 32)["parameters"] == num_parameters("mine")
    check([TrialConfig(backbone="mine", drop_path=0.1)], task_of(source))


def test_a_network_of_one_size_is_told_which() -> None:
    source = NETWORK.replace("def mine():", "def mine(image_size):") + (
        "return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, 4))\n"
    )
    task = task_of(source)
    check([TrialConfig(backbone="mine")], task)
    use_task_parts(task.parts)
    assert size_options("mine", 48) == {"image_size": 48}
    assert compute_facts("mine", 48)["parameters"] == (3 * 48**2 + 1) * 4 + 5 * 2
    assert num_parameters("mine") > 0
