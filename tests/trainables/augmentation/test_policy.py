"""The operations of the policies, on pictures whose answer is known and against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as vision

from trainables.augmentation import policy
from trainables.augmentation.policy import OPERATIONS, RAND, WIDE, Policy

SIDE = 16


@pytest.fixture
def pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(20, 200, (4, 3, SIDE, SIDE)).float() / 255


def apply(name: str, pictures: torch.Tensor, signed: float, ranges: policy.Ranges = RAND) -> torch.Tensor:
    values = torch.full((len(pictures),), signed)
    return getattr(policy, f"_{name}")(pictures, values.abs(), values, ranges).clamp(0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "shear_x",
        "shear_y",
        "shift_x",
        "shift_y",
        "rotate",
        "brightness",
        "colour",
        "contrast",
        "sharpness",
        "posterize",
    ],
)
@pytest.mark.parametrize("ranges", [RAND, WIDE], ids=["rand", "wide"])
def test_strength_zero_is_identity_and_strength_one_is_not(
    name: str, ranges: policy.Ranges, pictures: torch.Tensor
) -> None:
    torch.testing.assert_close(apply(name, pictures, 0.0, ranges), pictures, atol=1e-5, rtol=0)
    assert (apply(name, pictures, 1.0, ranges) - pictures).abs().max() > 0.05


@pytest.mark.parametrize("signed", [-0.7, 0.4])
def test_light_is_changed_as_torchvision_changes_it(signed: float, pictures: torch.Tensor) -> None:
    factor = 1 + RAND.change * signed
    for name, theirs in (
        ("brightness", vision.adjust_brightness),
        ("colour", vision.adjust_saturation),
        ("contrast", vision.adjust_contrast),
        ("sharpness", vision.adjust_sharpness),
    ):
        torch.testing.assert_close(apply(name, pictures, signed), theirs(pictures, factor), atol=2e-3, rtol=0, msg=name)


def test_histograms_are_changed_as_torchvision_changes_them(pictures: torch.Tensor) -> None:
    bytes_ = (pictures * 255).round().to(torch.uint8)
    torch.testing.assert_close(apply("autocontrast", pictures, 1.0), vision.autocontrast(pictures), atol=1e-5, rtol=0)
    got = (apply("equalize", pictures, 1.0) * 255).round()
    assert (got - vision.equalize(bytes_).float()).abs().max() <= 1
    got = (apply("posterize", pictures, 1.0) * 255).round().to(torch.uint8)
    assert torch.equal(got, vision.posterize(bytes_, 4))
    half = torch.full((4,), 0.5)
    torch.testing.assert_close(policy._solarize(pictures, half, half, RAND), vision.solarize(pictures, 0.5))


def test_flat_pictures_survive_every_operation() -> None:
    for level in (0.0, 0.5, 1.0):
        flat = torch.full((2, 3, SIDE, SIDE), level)
        for operation in OPERATIONS[1:]:
            ones = torch.ones(2)
            assert operation(flat, ones, -ones, WIDE).isfinite().all()


def test_geometry_moves_by_the_share_it_says() -> None:
    line = torch.zeros(1, 3, 331, 331)
    line[..., 200] = 1
    moved = apply("shift_x", line, 0.5)
    assert moved[0, 0, 0].argmax() == 200 - 75
    turned = apply("rotate", torch.ones(1, 3, 64, 64), 1.0)
    assert turned[0, 0, 32, 32] == 1
    assert turned[0, 0, 0, 0] == 0


def test_every_picture_has_an_operation_of_its_own_and_some_stay_as_they_are() -> None:
    torch.manual_seed(0)
    same = (torch.rand(1, 3, SIDE, SIDE) * 0.8 + 0.1).expand(280, 3, SIDE, SIDE)
    result = Policy("trivial", 9.0)(same)
    assert len({tuple(picture.flatten()[:200].tolist()) for picture in result}) > 150
    unchanged = (result == same).flatten(1).all(1).float().mean()
    assert 1 / 14 - 0.04 < unchanged < 1 / 14 + 0.1  # weak posterizing and solarizing change nothing either
    torch.manual_seed(0)
    torch.rand(1, 3, SIDE, SIDE)
    assert torch.equal(Policy("trivial", 9.0)(same), result)


def test_a_higher_magnitude_changes_more() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(200, 3, SIDE, SIDE)
    changes = []
    for magnitude in (1.0, 9.0, 30.0):
        torch.manual_seed(1)
        changes.append(float((Policy("rand", magnitude)(pictures) - pictures).abs().mean()))
    assert changes == sorted(changes)
