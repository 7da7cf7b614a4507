"""Heads and separate networks answer for the classes, learn each attribute, and survive on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score
from torch.nn import functional

from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_data
from trainables.networks.formulation import Attributes, assemble, build_criterion, build_network
from trainables.networks.model import Normalizer, create_backbone
from trainables.report import EpochReport
from trainables.saved.final_model import save_trained
from trainables.saved.saved_model import load_model
from trainables.training.loop import fit, steps_per_epoch
from trainables.training.metrics import score
from trainables.training.state import Checkpointer, TrainState

CPU = torch.device("cpu")
PRODUCT = {"mask": ("on", "on", "off", "off", "odd", "odd"), "age": ("old", "young") * 3}
ATTRIBUTES = {"round": ("yes", "no", "no"), "drawn.as": ("shape", "shape", "lines")}
FORMULATIONS = ("heads", "separate")


def config(formulation: str, **knobs: float | str) -> TrialConfig:
    return TrialConfig(backbone="test_efficientnet", dropout=0.0, lr=3e-3, formulation=formulation, **knobs)


@pytest.fixture
def product(task: TaskConfig) -> TaskConfig:
    """A task whose classes are all combinations of three values and two."""
    return replace(task, classes=tuple("abcdef"), attributes=PRODUCT)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_the_logit_of_a_class_is_the_sum_of_its_values_log_probabilities(formulation: str, product: TaskConfig) -> None:
    network = build_network(config(formulation), product, CPU).eval()
    assert isinstance(network, Attributes)
    assert len(network.networks) == (1 if formulation == "heads" else 2)
    pictures = torch.randn(4, 3, 32, 32)
    raw = torch.cat([inner(pictures) for inner in network.networks], dim=1)
    mask, age = raw[:, :3].log_softmax(1), raw[:, 3:].log_softmax(1)
    expected = torch.stack([mask[:, c // 2] + age[:, c % 2] for c in range(6)], dim=1)
    torch.testing.assert_close(network(pictures), expected)
    torch.testing.assert_close(network(pictures).exp().sum(1), torch.ones(4))


def test_the_loss_is_the_weighted_sum_over_attributes_of_soft_targets_too(product: TaskConfig) -> None:
    torch.manual_seed(0)
    raw = torch.randn(5, 5, requires_grad=True)
    mask, age = raw[:, :3].log_softmax(1), raw[:, 3:].log_softmax(1)
    joint = torch.stack([mask[:, c // 2] + age[:, c % 2] for c in range(6)], dim=1)
    targets = torch.rand(5, 6).softmax(1)
    by_mask = targets.view(5, 3, 2)
    expected = 2 * functional.cross_entropy(mask, by_mask.sum(2)) + functional.cross_entropy(age, by_mask.sum(1))
    weighted = build_criterion(config("heads"), replace(product, attribute_weights={"mask": 2.0}), [1] * 6, CPU)
    got = weighted(joint, targets)
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad(loss, raw, retain_graph=True)[0] for loss in (got, expected)]
    torch.testing.assert_close(*gradients)
    plain = build_criterion(config("heads"), product, [1] * 6, CPU)
    labels = torch.arange(5)
    torch.testing.assert_close(plain(joint, labels), functional.cross_entropy(joint, labels))


def test_losses_for_rare_classes_count_the_pictures_of_each_value(product: TaskConfig) -> None:
    counts = [10, 20, 0, 1, 4, 5]
    adjusted = build_criterion(config("heads", loss="logit_adjusted"), product, counts, CPU)
    uniform = torch.zeros(1, 6)
    expected = -torch.tensor(30 / 40).log() - torch.tensor(14 / 40).log()
    torch.testing.assert_close(adjusted(uniform, torch.tensor([0])), expected)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_without_attributes_the_way_out_is_named(formulation: str, task: TaskConfig) -> None:
    with pytest.raises(ValueError, match=f"formulation is {formulation}, .* --attributes"):
        build_network(config(formulation), task, CPU)


def test_all_networks_start_from_the_same_file(product: TaskConfig, tmp_path: Path) -> None:
    torch.manual_seed(5)
    original = timm.create_model("test_efficientnet")
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    task = replace(product, weights={"test_efficientnet": str(tmp_path / "w.safetensors")})
    for inner in build_network(config("separate"), task, CPU).networks:
        assert torch.equal(inner.conv_stem.weight, original.conv_stem.weight)


def test_scores_of_attributes_are_scikit_learns_over_marginal_answers() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(60, 6), torch.randint(6, (60,))
    by_mask = logits.softmax(1).view(60, 3, 2)
    expected = {
        "mask": f1_score(labels // 2, by_mask.sum(2).argmax(1), average="macro"),
        "age": f1_score(labels % 2, by_mask.sum(1).argmax(1), average="macro"),
    }
    got = score(logits, labels, PRODUCT)
    assert got.attribute_macro_f1 == pytest.approx(expected)
    assert len(got.class_f1) == 6
    assert score(logits, labels).attribute_macro_f1 == {}


def start(config: TrialConfig, task: TaskConfig) -> tuple[TrainState, object]:
    data = load_data(task, CPU)
    return TrainState.start(config, task, steps_per_epoch(task, len(data.train))), data


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_they_train_resume_and_are_loaded_again_with_every_knob(
    formulation: str, task: TaskConfig, tmp_path: Path
) -> None:
    task = replace(task, attributes=ATTRIBUTES, attribute_weights={"round": 2.0})
    knobs = {"layer_decay": 0.8, "frozen_share": 0.34, "ema": 0.9, "loss": "focal", "mixup": 0.5, "drop_path": 0.1}
    whole, data = start(config(formulation, **knobs), task)
    checkpointer = Checkpointer(tmp_path)
    expected = []
    for report in fit(whole, data):
        checkpointer.note_best(whole)
        expected.append((report.train_loss, report.val_loss, dict(report.attribute_macro_f1)))
        assert set(report.attribute_macro_f1) == set(ATTRIBUTES)
        assert EpochReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    checkpointer.close()

    first, data = start(config(formulation, **knobs), task)
    next(fit(first, data))
    first.save(tmp_path / "state.pt")
    second, data = start(config(formulation, **knobs), task)
    second.load(tmp_path / "state.pt")
    assert [(r.train_loss, r.val_loss, dict(r.attribute_macro_f1)) for r in fit(second, data)] == expected[1:]

    description = save_trained(tmp_path, config(formulation, **knobs), task, tmp_path / "model", {})
    assert description.formulation == formulation
    model = load_model(tmp_path / "model", "cpu")
    best = build_network(config(formulation), task, CPU).eval()
    best.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))
    pictures = Normalizer(model.network, CPU)(torch.rand(2, 3, 32, 32))
    assert torch.equal(model.network(pictures), best(pictures))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_plain_timm_reads_the_file_and_the_words_say_how(formulation: str, task: TaskConfig, tmp_path: Path) -> None:
    task = replace(task, attributes=ATTRIBUTES)
    network = build_network(config(formulation), task, CPU)
    torch.save(network.state_dict(), tmp_path / "best.pt")
    exact = replace(task, precision="float32")
    assert save_trained(tmp_path, config(formulation), exact, tmp_path / "model", {}).precision == "float32"
    use = json.loads((tmp_path / "model" / "model.json").read_text())["use"]
    assert "round: yes, no; drawn.as: shape, lines" in use["output"]
    assert "log_softmax" in use["combine"]
    file = tmp_path / "model" / "model.safetensors"
    if formulation == "heads":
        plain = [timm.create_model("test_efficientnet", num_classes=4, checkpoint_path=str(file))]
    else:
        tensors, plain = load_file(file), []
        for name in ATTRIBUTES:
            inner = timm.create_model("test_efficientnet", num_classes=2)
            prefix = f"{name}."
            mine = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            inner.load_state_dict(mine)
            plain.append(inner)
    pictures = torch.randn(2, 3, 32, 32)
    answers = torch.cat([inner.eval()(pictures) for inner in plain], dim=1)
    yes_no, drawn = answers[:, :2].log_softmax(1), answers[:, 2:].log_softmax(1)
    expected = torch.stack([yes_no[:, 0] + drawn[:, 0], yes_no[:, 1] + drawn[:, 0], yes_no[:, 1] + drawn[:, 1]], dim=1)
    torch.testing.assert_close(network.eval()(pictures), expected, atol=1e-5, rtol=1e-5)


def test_a_transformer_for_another_size_says_so_on_disk(task: TaskConfig, tmp_path: Path) -> None:
    vit = TrialConfig(backbone="test_vit")
    torch.save(build_network(vit, task, CPU).state_dict(), tmp_path / "best.pt")
    assert save_trained(tmp_path, vit, task, tmp_path / "model", {}).options == {"img_size": 32}
    use = json.loads((tmp_path / "model" / "model.json").read_text())["use"]
    assert "timm.create_model('test_vit', num_classes=3, img_size=32, checkpoint_path" in use["network"]
    assert load_model(tmp_path / "model", "cpu").network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_joint_is_plain_timm() -> None:
    network = assemble("joint", 3, ATTRIBUTES, lambda num: create_backbone("test_resnet", num, 32))
    assert not isinstance(network, Attributes)


@pytest.mark.parametrize(
    "backbone", ["test_efficientnet", "test_convnext", "test_vit", "deit_tiny_distilled_patch16_224"]
)
def test_a_new_classifier_knows_nothing_yet(backbone: str, task: TaskConfig) -> None:
    if "224" in backbone:
        task = replace(task, image_size=224)
    network = build_network(TrialConfig(backbone=backbone), task, CPU).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, 3, task.image_size, task.image_size))
    assert torch.equal(logits, torch.zeros(2, len(task.classes)))


def test_a_classifier_that_lamb_trains_starts_beside_zero(task: TaskConfig) -> None:
    network = build_network(TrialConfig(backbone="test_resnet", optimizer="lamb"), task, CPU)
    head = network.get_classifier()  # type: ignore[operator]  # timm's own method
    assert 0.015 < head.weight.std().item() < 0.025 and not head.bias.any()


def test_a_run_from_before_keeps_its_classifier_and_its_schedule(task: TaskConfig) -> None:
    written = {name: value for name, value in asdict(task).items() if name not in ("schedule", "head")}
    old = TaskConfig.from_json(written)
    assert (old.schedule, old.head) == ("cosine", "timm")
    torch.manual_seed(0)
    head = build_network(config("joint"), old, CPU).get_classifier()
    assert head.weight.std() > 0.1
