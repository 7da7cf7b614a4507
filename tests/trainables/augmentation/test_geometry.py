"""Maps of pictures, on pictures whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainables.augmentation.geometry import after, draw_boxes, identity, rotation, sample, to_border, view_of


@pytest.fixture
def pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)


def test_identity_leaves_pictures_as_they_are(pictures: torch.Tensor) -> None:
    torch.testing.assert_close(sample(pictures, identity(3), 16, outside="zeros"), pictures.float(), atol=1e-3, rtol=0)


def test_a_view_shows_its_box_and_mirrors_it(pictures: torch.Tensor) -> None:
    boxes = torch.tensor([[0.25, 0.5, 0.5, 0.5]]).repeat(3, 1)  # columns 4 to 11, rows 8 to 15
    mirrored = torch.tensor([False, True, False])
    shown = sample(pictures, view_of(boxes, mirrored), 8, outside="border")
    wanted = pictures[:, :, 8:, 4:12].float()
    wanted[1] = wanted[1].flip(2)
    torch.testing.assert_close(shown, wanted, atol=1e-3, rtol=0)


def test_a_quarter_turn_is_a_quarter_turn(pictures: torch.Tensor) -> None:
    turned = sample(pictures, rotation(torch.tensor([90.0, -90.0, 180.0])), 16, outside="zeros")
    for picture, original, quarters in zip(turned, pictures.float(), (1, 3, 2), strict=True):
        torch.testing.assert_close(picture, original.rot90(quarters, (1, 2)), atol=1e-2, rtol=0)


def test_one_map_after_another_is_as_one_picture_after_another(pictures: torch.Tensor) -> None:
    smooth = torch.nn.functional.interpolate(pictures[:, :, :4, :4].float(), 64, mode="bicubic")
    boxes = torch.tensor([[0.2, 0.1, 0.7, 0.8]]).repeat(3, 1)
    view, turn = view_of(boxes, torch.tensor([False, True, True])), rotation(torch.tensor([10.0, 5.0, -20.0]))
    both = sample(smooth, after(view, turn), 64, outside="border")
    one_by_one = sample(sample(smooth, view, 64, outside="border"), turn, 64, outside="border")
    assert (both - one_by_one)[..., 12:-12, 12:-12].abs().max() < 3


def test_boxes_lie_within_the_picture_and_have_the_area_and_ratio_that_was_asked_for() -> None:
    torch.manual_seed(0)
    boxes = draw_boxes(2000, (0.1, 0.5), (0.5, 2.0))
    assert boxes.min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= 1 + 1e-6
    area, ratio = boxes[:, 2] * boxes[:, 3], boxes[:, 2] / boxes[:, 3]
    assert 0.1 <= area.min() < 0.11
    assert 0.49 < area.max() <= 0.5 + 1e-6
    assert 0.5 - 1e-5 <= ratio.min() < 0.52
    assert 1.9 < ratio.max() <= 2 + 1e-5
    assert area.mean() == pytest.approx(0.3, abs=0.01)
    assert ratio.log().mean() == pytest.approx(0, abs=0.03)


def test_where_no_try_fits_all_of_the_picture_is_taken() -> None:
    torch.manual_seed(0)
    assert torch.equal(draw_boxes(4, (1.0, 1.0), (3.0, 4.0)), torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(4, 1))


def test_looking_at_the_last_pixels_is_what_border_does(pictures: torch.Tensor) -> None:
    grid = 3 * torch.rand(3, 8, 8, 2) - 1.5
    there, here = pictures.float(), functional.grid_sample
    wanted = here(there, grid, padding_mode="border", align_corners=False)
    found = here(there, to_border(grid, 16), padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
