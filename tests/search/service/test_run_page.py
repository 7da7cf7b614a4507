"""The page of a run as a browser gets it: its bars, its buttons, and what it says of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from results.records.run_folder import RunFolder, load_run
from results.records.trials import BEGUN, DRIVER
from search.hold import hold
from search.service.commands import Places
from search.service.service import Service
from tests.runs import a_line, a_run_dir, an_event

nicegui = pytest.importorskip("nicegui", reason="the page needs the extra ui")

from search.service import run_page
from search.service.run_page import RunPage


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Of a folder with the run `a`, which was killed while its second trial ran."""
    lines = [a_line(0, 1, 0.5), a_line(1, 1, 0.4)]
    a_run_dir(tmp_path / "runs" / "a", lines, [an_event(0, "finished", after=1), an_event(1, "started")])
    return Service(
        Places(storage=tmp_path / "runs", readme=tmp_path / "README.md", cache_dir=tmp_path / "c", roots=(tmp_path,))
    )


def client() -> Any:
    """What a browser that looks at a page is for the server."""
    return nicegui.Client(nicegui.ui.page("/"), request=None)


def looked_at(service: Service, then: Callable[[RunPage], Any] = lambda page: None) -> RunPage:
    """The page of the run, and what is then done with it."""

    async def look() -> RunPage:
        with client():
            page = RunPage(service, "a")
            await page.refresh()
            if (more := then(page)) is not None:
                await more
            return page

    return asyncio.run(look())


def words_on(page: RunPage) -> list[str]:
    """All labels of the browser that has the page."""
    return [element.text for element in page._words.client.elements.values() if isinstance(element, nicegui.ui.label)]


def buttons_of(page: RunPage) -> set[str]:
    return {name for name, each in vars(page._buttons).items() if isinstance(each, nicegui.ui.button) and each.visible}


def test_a_trial_that_a_kill_ended_has_no_bar_also_while_the_run_is_trained_again(service: Service) -> None:
    run_dir = service.places.storage / "a"
    with hold(run_dir):
        page = looked_at(service)
    assert len(page._running.default_slot.children) == 1
    (run_dir / "retrained").mkdir()
    with hold(run_dir / "retrained", "trained again"):
        page = looked_at(service)
    assert page._state.text == "running here"
    assert not page._running.default_slot.children


def test_a_run_that_cannot_be_read_can_be_deleted(service: Service) -> None:
    run_dir = service.places.storage / "a"
    (run_dir / "run.json").write_text("{")
    page = looked_at(service, lambda page: page._buttons._ask_delete())
    assert page._state.text == "cannot be read" and buttons_of(page) == {"_delete"}
    assert "Delete a?" in words_on(page)
    with hold(run_dir):
        assert buttons_of(looked_at(service)) == set()
    (run_dir / "run.json").unlink()
    assert buttons_of(looked_at(service)) == set()


def test_the_time_that_is_gone_is_that_of_the_budget_it_goes_on_with(service: Service) -> None:
    folder = RunFolder(service.places.storage / "a")
    run = replace(load_run(folder.path), trials_open=True, options={"time_budget": "5m"})
    run.save(folder.run_json)
    shares = []
    for more in ({}, {"time_budget": "20m"}):
        folder.append_event(DRIVER, BEGUN, **more)
        with hold(folder.path):
            view = service.watcher.view("a")
        presence = view.summary.presence
        assert presence is not None
        since = (datetime.now().astimezone() - timedelta(minutes=2)).isoformat()
        row = replace(view.summary, presence=replace(presence, since=since))
        shares.append(run_page._share_of_time(replace(view, summary=row)))
    assert shares == pytest.approx([0.4, 0.1], rel=0.05)


def test_how_far_a_search_was_that_its_time_did_not_end_is_not_said_in_trials(service: Service) -> None:
    assert looked_at(service)._bar.visible
    folder = RunFolder(service.places.storage / "a")
    replace(load_run(folder.path), trials_open=True, options={"time_budget": "5m"}).save(folder.run_json)
    page = looked_at(service)
    assert not page._bar.visible and ", 1 trial," in page._words.text
    with hold(folder.path):
        assert looked_at(service)._bar.visible


def test_the_page_brings_what_sorts_its_tables_from_the_keyboard(service: Service) -> None:
    assert 'matches?.("th.sortable")' in looked_at(service)._words.client.head_html  # test_browser.py presses the keys


@pytest.mark.parametrize("answer", [True, False, None])
def test_what_a_browser_does_not_let_a_page_copy_is_shown(answer: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_browser(code: str) -> bool:
        assert "navigator.clipboard" in code and '\\"lr\\": 0.1' in code
        if answer is None:
            raise TimeoutError
        return answer

    monkeypatch.setattr(nicegui.ui, "run_javascript", in_browser)
    browser = client()

    async def copy() -> None:
        with browser:
            await run_page._copy({"lr": 0.1})

    asyncio.run(copy())
    shown = [each.text for each in browser.elements.values() if isinstance(each, nicegui.ui.label)]
    assert ('{\n  "lr": 0.1\n}' in shown) == (answer is not True)
