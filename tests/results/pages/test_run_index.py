"""The page of all runs: what it says, that names are text and not markup, and how large it gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from results.pages.run_index import write_run_index
from tests.runs import a_line, a_run_dir, an_event
from tests.served_page import CHROMIUM, NEEDS_CHROMIUM
from trainables.called import VARIABLE, calls_from_python


def test_it_names_every_run_with_its_state_and_score(tmp_path: Path) -> None:
    a_run_dir(tmp_path / "a", [a_line(0, 1, 0.625)], [an_event(0, "interrupted", after=1)])
    html = write_run_index(tmp_path).read_text()
    assert "0.6250" in html
    assert "interrupted" in html
    assert "--resume a" in html


def test_markup_in_a_run_is_text(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "<b>&", [a_line(0, 1, 0.5)])
    values = json.loads((run_dir / "run.json").read_text())
    values["data"]["source"] = "/x/<script>alert(1)</script>"
    (run_dir / "run.json").write_text(json.dumps(values))
    html = write_run_index(tmp_path).read_text()
    assert "<b>&" not in html
    assert "<script>alert" not in html


def test_without_a_run_it_says_how_to_start_one(tmp_path: Path) -> None:
    assert "python search/run.py" in write_run_index(tmp_path).read_text()


def test_commands_are_those_that_the_user_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert "macrotune search --space efficientnet" in write_run_index(tmp_path).read_text()
    a_run_dir(tmp_path / "a", [a_line(0, 1, 0.625)], [an_event(0, "interrupted", after=1)])
    html = write_run_index(tmp_path).read_text()
    assert f"macrotune search --resume a --storage {tmp_path}" in html and "<code>macrotune runs</code>" in html
    assert "python s" not in html
    with calls_from_python():
        html = write_run_index(tmp_path).read_text().replace("&#39;", "'")
    assert f"search(resume='a', storage='{tmp_path}')" in html


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("width", [400, 1280])
def test_the_filter_hides_runs_in_any_window(tmp_path: Path, width: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    for name in ("first", "second"):
        a_run_dir(tmp_path / name, [a_line(0, 1, 0.625)])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(write_run_index(tmp_path).as_uri())
        page.get_by_label("Filter the runs").fill("second")
        cells = page.locator("td.name")
        assert [cells.nth(place).is_visible() for place in range(2)] == [
            "second" in (cells.nth(place).text_content() or "") for place in range(2)
        ]
