"""A data set is explored from its path to a report, and bad pictures do not stop that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scripts.explore import Options, _out_dir, main
from trainables.data.manifest import DataConfig


@pytest.mark.slow
def test_a_small_set_with_a_bad_picture_is_explored(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "pictures"
    shutil.copytree(pictures, data)
    (data / "p03_2.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    args = ["--data", str(data), "--out", str(out), "--image-size", "32", "--cache-dir", str(tmp_path / "cache")]
    assert main([*args, "--backbone", "test_efficientnet", "--weights", "none"]) == 0
    report = (out / "report.md").read_text()
    assert "p03_2.png" in report
    assert "How far a split by picture would flatter" in report
    assert len(json.loads((out / "exploration.json").read_text())["flattery"]["by_group"]) == 5
    assert {"classes.png", "groups.png", "sizes.png", "embedding.png", "flattery.png"} <= {
        p.name for p in out.iterdir()
    }
    assert (out / "copies.csv").read_text().startswith("first,second,distance,exact,sides,groups,labels\n")
    assert "report.html" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") > 10 and "Augmentations" in page
    assert all(f"<h3>{name} " in page for name in ("circle", "square", "stripes"))
    assert "p03_2.png" in page and 'src="http' not in page


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--image-size", "3"], "--image-size"),
        (["--backbone", "resnet_of_mine"], "timm has no such model"),
    ],
)
def test_a_mistake_is_one_message(
    args: list[str], words: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*args, "--out", str(tmp_path / "out"), "--cache-dir", str(tmp_path)]
    assert main(given if "--data" in args else [*given, "--data", str(pictures)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_reports_of_two_data_sets_of_one_name_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def out_of(data: Path) -> Path:
        return _out_dir(Options(data=DataConfig(data=data))).relative_to(tmp_path / "runs")

    for name in ("a/faces.v1", "a/faces.v2", "b/faces.v1"):
        (tmp_path / name).mkdir(parents=True)
    report = out_of(tmp_path / "a" / "faces.v1")
    assert report == Path("explore-faces.v1")
    (tmp_path / "runs" / report).mkdir(parents=True)
    facts = {"source": str(tmp_path / "a" / "faces.v1"), "files": []}
    (tmp_path / "runs" / report / "exploration.json").write_text(json.dumps(facts))
    assert out_of(tmp_path / "a" / "faces.v1") == Path("explore-faces.v1")
    assert out_of(tmp_path / "a" / "faces.v2") == Path("explore-faces.v2")
    assert out_of(tmp_path / "b" / "faces.v1") == Path("explore-faces.v1-2")
