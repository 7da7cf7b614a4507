"""Each augmentation does what its knob says, on pictures whose answer is known."""

from __future__ import annotations

import pytest
import torch

from trainables.augment import Augment
from trainables.config import TrialConfig

OFF = {"flip": 0.0, "crop": 0.0}
STORED, SIZE = 36, 32


def augment(**knobs: float) -> Augment:
    torch.manual_seed(0)
    return Augment(TrialConfig(backbone="resnet18", **{**OFF, **knobs}), SIZE, 4)


@pytest.fixture
def stored() -> tuple[torch.Tensor, torch.Tensor]:
    """64 pictures of noise around mid-grey, 4 classes."""
    torch.manual_seed(1)
    return torch.randint(60, 196, (64, 3, STORED, STORED), dtype=torch.uint8), torch.arange(64) % 4


def test_everything_off_is_the_centre_crop(stored: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = augment()(*stored)
    assert torch.equal(pictures, stored[0][:, :, 2:34, 2:34].float() / 255)
    assert torch.equal(labels, stored[1])


@pytest.mark.parametrize(
    "knob", [{"crop": 0.5}, {"blur": 5.0}, {"noise": 0.1}, {"sharpness": 1.0}, {"contrast": 0.4}, {"cutmix": 1.0}]
)
def test_a_knob_changes_pictures_but_not_their_range_or_shape(
    knob: dict[str, float], stored: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, _ = augment()(*stored)
    pictures, _ = augment(**knob)(*stored)
    assert pictures.shape == (64, 3, SIZE, SIZE)
    assert pictures.dtype == torch.float32
    changed = (pictures != plain).flatten(1).any(1).float().mean()
    assert changed > 0.25
    assert pictures.min() > -0.6
    assert pictures.max() < 1.6
    assert abs(pictures.mean() - plain.mean()) < 0.02


@pytest.mark.parametrize("knob", [{"blur": 5.0}, {"noise": 0.1}, {"sharpness": 1.0}, {"contrast": 0.4}])
def test_photometric_knobs_are_due_to_about_half_the_pictures(
    knob: dict[str, float], stored: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, _ = augment()(*stored)
    pictures, _ = augment(**knob)(*stored)
    changed = (pictures != plain).flatten(1).any(1).float().mean()
    assert 0.3 < changed < 0.7


def test_a_flip_mirrors_the_picture(stored: tuple[torch.Tensor, torch.Tensor]) -> None:
    plain, _ = augment()(*stored)
    flipped, _ = augment(flip=1.0)(*stored)
    assert torch.equal(flipped, plain.flip(-1))


def test_blur_takes_contrast_between_neighbours_and_sharpness_adds_it(
    stored: tuple[torch.Tensor, torch.Tensor],
) -> None:
    def roughness(**knobs: float) -> float:
        pictures, _ = augment(**knobs)(*stored)
        return float((pictures[..., 1:] - pictures[..., :-1]).abs().mean())

    assert roughness(blur=5.0) < 0.95 * roughness() < roughness() < roughness(sharpness=1.0)


def test_cutmix_mixes_labels_in_the_share_of_pixels() -> None:
    labels = torch.arange(4)
    pictures = (labels.view(4, 1, 1, 1) * 60).expand(4, 3, STORED, STORED).to(torch.uint8)
    mixed, targets = augment(cutmix=1.0)(pictures, labels)
    assert targets.shape == (4, 4)
    assert torch.allclose(targets.sum(1), torch.ones(4))
    for picture, target in zip(mixed, targets, strict=True):
        for label in range(4):
            pixels = (picture[0] * 255 / 60).round() == label
            assert target[label] == pytest.approx(float(pixels.float().mean()), abs=0.01)
