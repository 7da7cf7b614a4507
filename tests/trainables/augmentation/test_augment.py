"""Each augmentation does what its knob says, on pictures whose answer is known."""

from __future__ import annotations

import pytest
import torch

from trainables.augmentation.augment import Augment
from trainables.config import TrialConfig

OFF = {"flip": 0.0, "crop": 0.0}
STORED, SIZE = 36, 32


def augment(**knobs: float | str) -> Augment:
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
    "knob",
    [
        {"crop": 0.5},
        {"blur": 5.0},
        {"noise": 0.1},
        {"sharpness": 1.0},
        {"contrast": 0.4},
        {"brightness": 0.4},
        {"affine": 1.0},
        {"erasing": 1.0},
        {"cutmix": 1.0},
        {"mixup": 1.0},
    ],
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


@pytest.mark.parametrize(
    "knob",
    [
        {"blur": 5.0},
        {"noise": 0.1},
        {"sharpness": 1.0},
        {"contrast": 0.4},
        {"brightness": 0.4},
        {"affine": 1.0},
        {"erasing": 0.5},
    ],
)
def test_most_knobs_are_due_to_about_half_the_pictures(
    knob: dict[str, float], stored: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, _ = augment()(*stored)
    pictures, _ = augment(**knob)(*stored)
    changed = (pictures != plain).flatten(1).any(1).float().mean()
    assert 0.3 < changed < 0.7


def test_contrast_spreads_light_around_the_mean_of_a_picture_and_leaves_the_mean(
    stored: tuple[torch.Tensor, torch.Tensor],
) -> None:
    plain, _ = augment()(*stored)
    pictures, _ = augment(contrast=0.3)(*stored)
    spread, before = pictures.flatten(1).std(1), plain.flatten(1).std(1)
    assert (spread < 1.31 * before).all()
    assert (spread > 0.69 * before).all()
    assert (spread / before).std() > 0.05
    assert (pictures.flatten(1).mean(1) - plain.flatten(1).mean(1)).abs().max() < 0.02


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


def test_brightness_changes_the_mean_by_at_most_its_share() -> None:
    grey = torch.full((256, 3, STORED, STORED), 100, dtype=torch.uint8)
    pictures, _ = augment(brightness=0.3)(grey, torch.zeros(256, dtype=torch.int64))
    ratio = pictures.flatten(1).mean(1) / (100 / 255)
    assert 0.7 <= ratio.min() < 0.75
    assert 1.25 < ratio.max() <= 1.3 + 1e-6


def test_bright_pictures_stay_within_range() -> None:
    pictures, _ = augment(brightness=0.9)(
        torch.full((32, 3, STORED, STORED), 250, dtype=torch.uint8), torch.zeros(32, dtype=torch.int64)
    )
    assert pictures.max() <= 1


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_affine_moves_the_middle_by_at_most_a_fifth_of_the_side_times_its_strength(strength: float) -> None:
    dot = torch.zeros(256, 3, STORED, STORED, dtype=torch.uint8)
    dot[..., STORED // 2 - 1 : STORED // 2 + 1, STORED // 2 - 1 : STORED // 2 + 1] = 255
    pictures, _ = augment(affine=strength)(dot, torch.zeros(256, dtype=torch.int64))
    mass = pictures[:, 0] / pictures[:, 0].sum((1, 2), keepdim=True)
    place = torch.arange(SIZE) + 0.5 - SIZE / 2
    right, down = (mass.sum(1) * place).sum(1), (mass.sum(2) * place).sum(1)
    furthest = torch.maximum(right.abs(), down.abs()).max()
    assert 0.6 * 0.2 * strength * SIZE < furthest < 0.2 * strength * SIZE + 0.6  # pixels are sampled
    moved = (right**2 + down**2).sqrt() > 0.05
    assert 0.4 < moved.float().mean() < 0.6


def test_affine_brings_in_no_black_corners() -> None:
    white = torch.full((64, 3, STORED, STORED), 255, dtype=torch.uint8)
    pictures, _ = augment(affine=1.0)(white, torch.zeros(64, dtype=torch.int64))
    assert pictures.min() > 0.99


def test_erasing_greys_a_rectangle_of_two_to_thirtyfour_percent() -> None:
    white = torch.full((256, 3, STORED, STORED), 255, dtype=torch.uint8)
    pictures, _ = augment(erasing=1.0)(white, torch.zeros(256, dtype=torch.int64))
    assert set(pictures.unique().tolist()) == {0.5, 1.0}
    erased = pictures[:, 0] == 0.5
    share = erased.float().mean((1, 2))
    assert share.min() >= 0.015
    assert share.max() <= 0.36  # edges fall on whole pixels
    assert 0.12 < share.mean() < 0.2  # the middle between 2% and 33%, less what the border cuts off
    for mask in erased[:20]:
        assert mask.any(0).sum() * mask.any(1).sum() == mask.sum()


def test_mixup_mixes_labels_in_the_share_of_the_light() -> None:
    labels = torch.arange(4)
    pictures = (labels.view(4, 1, 1, 1) * 60).expand(4, 3, STORED, STORED).to(torch.uint8)
    mix = augment(mixup=1.0)
    for _ in range(20):
        mixed, targets = mix(pictures, labels)
        assert torch.allclose(targets.sum(1), torch.ones(4))
        light = targets @ (labels * 60 / 255)
        assert torch.allclose(mixed.mean((1, 2, 3)), light, atol=1e-4)


def test_cutmix_and_mixup_share_the_batches_in_proportion() -> None:
    labels = torch.arange(4)
    pictures = (labels.view(4, 1, 1, 1) * 60).expand(4, 3, STORED, STORED).to(torch.uint8)
    mix, kinds = augment(cutmix=0.6, mixup=0.2), []
    for _ in range(600):
        mixed, targets = mix(pictures, labels)
        if torch.equal(targets, torch.eye(4)):  # nothing mixed, or a share that rounds to nothing
            kinds.append("plain")
        else:
            kinds.append("mixup" if all(len(picture.unique()) == 1 for picture in mixed) else "cutmix")
    shares = {kind: kinds.count(kind) / 600 for kind in ("plain", "cutmix", "mixup")}
    assert shares["plain"] == pytest.approx(0.4, abs=0.08)
    assert shares["cutmix"] == pytest.approx(0.45, abs=0.08)
    assert shares["mixup"] == pytest.approx(0.15, abs=0.06)


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_policies_keep_the_range_and_take_the_place_of_single_photometric_operations(
    policy: str, stored: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, _ = augment()(*stored)
    pictures, _ = augment(policy=policy, policy_magnitude=30.0)(*stored)
    assert pictures.shape == plain.shape
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    changed = (pictures != plain).flatten(1).any(1).float().mean()
    assert changed > 0.7
    again, _ = augment(policy=policy, policy_magnitude=30.0, contrast=0.5, brightness=0.5, sharpness=2.0)(*stored)
    assert torch.equal(pictures, again)


def test_what_is_off_draws_nothing_so_other_draws_stay_the_same(stored: tuple[torch.Tensor, torch.Tensor]) -> None:
    off = augment()
    before = torch.get_rng_state()
    off(*stored)
    assert torch.equal(torch.get_rng_state(), before)
