"""Networks that answer together are saved, loaded, described and exported as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from tests.saved_models import CLASSES
from trainables.data.batches import Side
from trainables.data.cache import ImageCache
from trainables.saved.model_description import Member, ModelDescription, ModelError, Rule
from trainables.saved.onnx_model import PixelsToLogits, export_onnx, largest_difference
from trainables.saved.predict import side_probabilities
from trainables.saved.saved_model import colours, load_model, save_together
from trainables.second_view import MIRROR, MIRRORED, MIRRORED_WHOLE, NONE, SECOND_VIEWS, WHOLE

BACKBONES = ("test_efficientnet", "test_resnet")
RULE = Rule(tau=0.5, prior=(0.5, 0.3, 0.2))


def networks() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    made = [timm.create_model(name, num_classes=3).eval() for name in BACKBONES]
    made[1].pretrained_cfg = {**made[1].pretrained_cfg, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    for network in made:
        for parameter in network.get_classifier().parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def saved(folder: Path, rule: Rule | None = RULE, *, second_view: str = NONE) -> ModelDescription:
    made = networks()
    members = []
    for name, network, share in zip(BACKBONES, made, (0.75, 0.25), strict=True):
        mean, std = colours(network)
        members.append(Member(backbone=name, share=share, mean=mean, std=std, trial_id=f"of {name}"))
    return save_together(
        folder,
        made,
        members,
        rule,
        classes=CLASSES,
        attributes={},
        image_size=32,
        record={"run": "a"},
        second_view=second_view,
    )


def by_hand(pixels: torch.Tensor, rule: Rule | None) -> torch.Tensor:
    parts = []
    for network, share in zip(networks(), (0.75, 0.25), strict=True):
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in colours(network))
        parts.append(share * network((pixels - mean) / std).softmax(1))
    mixed = sum(parts)
    mixed = mixed if rule is None else mixed / torch.tensor(rule.prior) ** rule.tau
    return mixed / mixed.sum(1, keepdim=True)


@pytest.mark.parametrize("rule", [RULE, None])
def test_they_answer_as_the_mean_of_their_probabilities_with_the_rule(tmp_path: Path, rule: Rule | None) -> None:
    written = saved(tmp_path / "model", rule)
    model = load_model(tmp_path / "model", "cpu")
    assert model.description == written
    assert model.description.name == "2 networks: test_efficientnet, test_resnet"
    pixels = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.network(pixels).softmax(1), by_hand(pixels, rule), atol=1e-5)


def test_the_file_holds_what_plain_timm_asks_for(tmp_path: Path) -> None:
    saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for place, network in enumerate(networks()):
        prefix = f"members.{place}."
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        network.load_state_dict(own)
    described = json.loads((tmp_path / "model.json").read_text())
    assert described["format"] == 2
    assert described["mean"] == [0, 0, 0]
    assert "members." in described["use"]["network"]
    assert "to the power of its tau" in described["use"]["output"]


def shrunk(picture: np.ndarray, size: int) -> np.ndarray:
    """`(3, P, P)` to `(3, size, size)`, each axis by linear interpolation between the middles of pixels."""
    middles = (np.arange(size) + 0.5) * picture.shape[-1] / size - 0.5
    low = np.floor(middles).astype(int)
    part = middles - low

    def along_last(values: np.ndarray) -> np.ndarray:
        last = values.shape[-1] - 1
        return values[..., low.clip(0, last)] * (1 - part) + values[..., (low + 1).clip(0, last)] * part

    return along_last(along_last(picture).swapaxes(-1, -2)).swapaxes(-1, -2)


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_model_of_before_views_had_names_answers_as_it_did(mirrored: bool, tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mirrored": mirrored}))
    assert load_model(tmp_path, "cpu").description.second_view == (MIRROR if mirrored else NONE)


@pytest.mark.parametrize("second_view", SECOND_VIEWS)
def test_a_model_answers_with_the_mean_of_the_middle_and_its_second_view(second_view: str, tmp_path: Path) -> None:
    written = saved(tmp_path, second_view=second_view)
    model = load_model(tmp_path, "cpu")
    assert model.description == written
    assert ("answer" in json.loads((tmp_path / "model.json").read_text())["use"]) is bool(second_view)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 36, 36, 3), dtype=np.uint8)
    names = list("abcd")
    side = Side(
        ImageCache(Path(), pictures, {name: row for row, name in enumerate(names)}, {}, {}),
        names,
        [0] * 4,
        model.device,
    )
    stored = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    middle = stored[..., 2:34, 2:34]
    whole = torch.from_numpy(np.stack([shrunk(picture, 32) for picture in stored.numpy()])).float()
    shown = {MIRROR: middle.flip(-1), WHOLE: whole, MIRRORED_WHOLE: whole.flip(-1)}
    with torch.inference_mode():
        plain = by_hand(middle, RULE)
        other = by_hand(shown[second_view], RULE) if second_view else plain
        mirrored = by_hand(shown[MIRRORED[second_view]], RULE)
        from_pixels = PixelsToLogits(model).eval()(stored if written.sees_whole else middle).softmax(1)
    wanted = (plain + other) / 2
    assert (plain - mirrored).abs().max() > 1e-3, "nor those of a picture and its mirrored view"
    assert not second_view or (plain - other).abs().max() > 1e-3, "the two views must not agree by themselves"
    assert torch.allclose(from_pixels, wanted, atol=1e-5)
    answers = side_probabilities(model, side, 3)
    assert np.allclose(answers, wanted.numpy(), atol=1e-5)
    assert np.allclose(side_probabilities(model, side, 3, flip=True), ((plain + mirrored) / 2).numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("second_view", [NONE, MIRROR, MIRRORED_WHOLE])
def test_onnx_has_the_members_the_rule_and_the_second_view_in_the_graph(second_view: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    saved(tmp_path, second_view=second_view)
    model = load_model(tmp_path, "cpu")
    export_onnx(model, tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-4


def test_probabilities_of_nothing_have_finite_logits(tmp_path: Path) -> None:
    saved(tmp_path)
    model = load_model(tmp_path, "cpu")
    with torch.inference_mode():
        assert np.isfinite(model.network(1e6 * torch.rand(2, 3, 32, 32)).numpy()).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": [{"backbone": "test_resnet"}]}, "members is"),
        ({"members": "all"}, "members is"),
        ({"rule": {"tau": 0.5, "prior": [0.5, 0.5]}}, "a share for each of the 3 classes"),
        ({"rule": {"tau": "much", "prior": [0.5, 0.3, 0.2]}}, "rule is"),
        ({"mirrored": "yes"}, "mirrored is"),
        ({"second_view": "upside down"}, "second_view is"),
        ({"format": 3}, "has the format 3"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key(tmp_path: Path, change: dict[str, object], words: str) -> None:
    saved(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path, "cpu")
