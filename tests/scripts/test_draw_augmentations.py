"""The sheet of augmentations holds every one of them, and says what it cannot draw."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from scripts.draw_augmentations import augmentations, main
from spaces.sampling import RecordedTrial, at_share
from spaces.suggest import suggest_augmentation, suggest_mixing


def test_every_augmentation_that_is_searched_has_a_row_of_its_own() -> None:
    trial = RecordedTrial(lambda name, spread: "none" if name == "policy" else at_share(spread, 1.0))
    searched = suggest_augmentation(trial) | suggest_mixing(trial)
    (_, off), *rows = augmentations()
    drawn = [{name for name, value in asdict(config).items() if value != getattr(off, name)} for _, config in rows]
    assert sorted(map(min, drawn)) == sorted([*searched, "policy"])
    assert all(name == {"policy", "policy_magnitude"} or len(name) == 1 for name in drawn)


def test_four_pictures_become_one_sheet(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted(pictures.glob("*.png"))[:4]]
    out = tmp_path / "new" / "sheet.png"
    assert main([*files, "--image-size", "32", "--out", str(out)]) == 0
    num_rows = len(list(augmentations()))
    assert f"{out}: {num_rows} rows" in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.height == 2 + num_rows * 34
        top = [sheet.convert("RGB").crop((120, 2 + 34 * row, 152, 34 + 34 * row)).tobytes() for row in range(num_rows)]
    assert len(set(top)) >= num_rows - 1  # no two rows show the same, but that blur is not seen at this size


def test_what_cannot_be_drawn_is_one_message(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted(pictures.glob("*.png"))[:4]]
    assert main(files[:3]) == 2
    assert "3 pictures: give 4, or none" in capsys.readouterr().err
    (tmp_path / "broken.png").write_text("hello")
    assert main([*files[:3], str(tmp_path / "broken.png"), "--out", str(tmp_path / "sheet.png")]) == 2
    assert "broken.png: not a picture" in capsys.readouterr().err
    assert main([*files, "--image-size", "8", "--out", str(tmp_path / "sheet.png")]) == 2
    assert "--image-size is 8: it must be between 16 and 1024" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()
