"""Weights: found, checked against the backbone, and loudly missed."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from trainables.networks.weights import (
    PACKAGES,
    WeightsError,
    check_weights,
    check_weights_once,
    files_of_here,
    refuse_changed_files,
    resolve_weights,
)

LITE = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a closed network, and with an empty hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with weights of two tiny networks, one of them under the other's name as well."""
    made = tmp_path / "weights"
    made.mkdir()
    for name in ("test_resnet", "test_efficientnet"):
        torch.manual_seed(3)
        save_file(timm.create_model(name).state_dict(), made / f"{name}.safetensors")
    save_file(timm.create_model("test_resnet").state_dict(), made / "test_vit.safetensors")
    return made


def test_auto_takes_a_package_and_leaves_out_what_cannot_be_had_loudly(tmp_path: Path) -> None:
    found = resolve_weights(["efficientnet_b0", LITE], "auto", tmp_path)
    assert found.backbones == (LITE,)
    assert found.sources[LITE].startswith(f"package {PACKAGES[LITE]} ")
    assert "efficientnet_b0: left out of the search" in found.note
    check_weights(LITE, found.files[LITE])


def test_a_run_of_another_machine_starts_from_the_same_weights_where_they_are_to_be_had(tmp_path: Path) -> None:
    found = resolve_weights([LITE], "auto", tmp_path)
    there = {LITE: "/home/other/lite0.safetensors"}
    assert files_of_here(there, found.sources, "auto", tmp_path) == found.files
    assert files_of_here(found.files, {}, "none", tmp_path) == found.files
    assert files_of_here(there, found.sources, str(tmp_path / "gone"), tmp_path) == there
    others = {LITE: "hub timm/lite0 sha256:0123456789ab"}
    assert files_of_here(there, others, "auto", tmp_path) == there
    with pytest.raises(
        WeightsError, match=rf"lite0\.safetensors, .* start {LITE}, is gone.*this very path.*0123456789ab"
    ):
        refuse_changed_files(there, others)


def test_packaged_weights_are_used_as_they_are(tmp_path: Path) -> None:
    file = resolve_weights([LITE], "auto", tmp_path).files[LITE]
    model = timm.create_model(LITE, pretrained=True, pretrained_cfg_overlay={"file": file}).eval()
    with torch.inference_mode():  # a flat grey picture: random weights would be as sure of nothing, and not the same
        first = model(torch.zeros(1, 3, 224, 224))
        second = timm.create_model(LITE, pretrained=True, pretrained_cfg_overlay={"file": file}).eval()(
            torch.zeros(1, 3, 224, 224)
        )
    assert torch.equal(first, second)


def test_auto_falls_back_to_random_as_loudly_when_no_weights_are_left(tmp_path: Path) -> None:
    found = resolve_weights(["efficientnet_b0", "resnet18"], "auto", tmp_path)
    assert found.backbones == ("efficientnet_b0", "resnet18")
    assert found.files == {}
    assert "ALL TRIALS START AT RANDOM" in found.note


def test_none_is_random_without_a_warning(tmp_path: Path) -> None:
    found = resolve_weights([LITE], "none", tmp_path)
    assert found.files == {}
    assert found.note == ""


def test_a_folder_is_read_by_name(folder: Path, tmp_path: Path) -> None:
    found = resolve_weights(["test_resnet", "test_vit2"], str(folder), tmp_path)
    assert found.files == {"test_resnet": str(folder / "test_resnet.safetensors")}
    assert "test_vit2" in found.note
    check_weights("test_resnet", found.files["test_resnet"])


@pytest.mark.parametrize(
    ("backbone", "file"), [("test_vit", "test_vit"), ("test_efficientnet", "test_resnet"), ("test_resnet", "test_vit")]
)
def test_weights_of_another_backbone_are_an_error_that_names_both(folder: Path, backbone: str, file: str) -> None:
    if backbone == "test_resnet":
        check_weights(backbone, str(folder / f"{file}.safetensors"))  # the same tensors under another name
        return
    with pytest.raises(WeightsError, match=rf"{file}\.safetensors does not hold the weights of {backbone}"):
        check_weights(backbone, str(folder / f"{file}.safetensors"))


def test_an_error_says_what_the_file_holds(folder: Path) -> None:
    file = str(folder / "test_vit.safetensors")  # in truth a test_resnet
    with pytest.raises(WeightsError, match=r"the weights of test_vit: its tensors are those of test_resnet"):
        check_weights("test_vit", file, ["test_efficientnet", "test_resnet"])
    with pytest.raises(WeightsError, match=r"the weights of test_vit: it has no cls_token 1x1x64 and lacks"):
        check_weights("test_vit", file)
    with pytest.raises(WeightsError, match=r"the weights of resnet18: its bn1\.weight is 32, that of resnet18 is 64"):
        check_weights("resnet18", file)


def test_an_error_says_what_a_network_of_ours_is(folder: Path) -> None:
    state = {f"shape.{name}": value for name, value in timm.create_model("test_vit").state_dict().items()}
    save_file(state, folder / "test_vit.safetensors", metadata={"holds": "test_vit with 4 classes as separate"})
    with pytest.raises(WeightsError, match=r"weights of test_vit: it holds test_vit with 4 classes as separate$"):
        check_weights("test_vit", str(folder / "test_vit.safetensors"), ["test_resnet"])


def test_weights_for_another_number_of_classes_fit(tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet", num_classes=7).state_dict(), tmp_path / "test_resnet.safetensors")
    check_weights("test_resnet", str(tmp_path / "test_resnet.safetensors"))


def test_a_truncated_file_is_an_error(folder: Path) -> None:
    path = folder / "test_resnet.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="does not hold the weights"):
        check_weights("test_resnet", str(path))


def test_a_folder_that_is_none_or_holds_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        resolve_weights([LITE], str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(WeightsError, match=f"holds no file for {LITE}"):
        resolve_weights([LITE], str(tmp_path), tmp_path)


def test_a_file_that_fitted_is_not_tried_again_and_a_changed_one_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, built = folder / "test_resnet.safetensors", []
    build = timm.create_model

    def note(name: str, **settings: object) -> torch.nn.Module:
        built.append(name)
        return build(name, **settings)

    monkeypatch.setattr(timm, "create_model", note)  # a file is tried against the network that timm builds
    for _ in range(2):
        check_weights_once("test_resnet", str(file), [], tmp_path)
    assert built == ["test_resnet"] * 2  # from two seeds, and only by the first check
    with pytest.raises(WeightsError, match="does not hold the weights of test_vit2"):
        check_weights_once("test_vit2", str(file), [], tmp_path)
    file.write_bytes(b"no weights any more")
    for _ in range(2):  # what did not fit is tried again
        with pytest.raises(WeightsError, match="does not hold the weights of test_resnet"):
            check_weights_once("test_resnet", str(file), [], tmp_path)
