"""The page in a real browser: what it shows of ready-made runs, whom it stops, and how much it sends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from results.records.confusion import save_confusion
from results.records.run_folder import RunFolder
from tests.conftest import ROOT
from tests.runs import HOLDING, a_line, a_run_dir, an_event
from tests.served_page import CHROMIUM, NEEDS_CHROMIUM, start
from trainables.config import TrialConfig

pytest.importorskip("nicegui", reason="the page needs the extra ui")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    NEEDS_CHROMIUM,
]
MARKUP = "<img src=x onerror=document.title='broken-in'>"


@dataclass(frozen=True)
class Served:
    """A page that is served."""

    address: str
    storage: Path


def a_searched_run(folder: Path, trials: int, epochs: int = 3) -> Path:
    lines = [
        a_line(trial, epoch, 0.5 * trial / trials + 0.01 * epoch, after=epoch)
        for trial in range(trials)
        for epoch in range(1, epochs + 1)
    ]
    run_dir = a_run_dir(folder, lines, [an_event(trial, "stopped", after=9) for trial in range(trials)])
    values = json.loads((run_dir / "run.json").read_text())
    values |= {"points": [asdict(TrialConfig(backbone="net0"))], "trials_asked": trials, "name": folder.name}
    values["data"] |= {"source": f"/x/{MARKUP}", "imbalance": 1.0}
    (run_dir / "run.json").write_text(json.dumps(values))
    save_confusion(RunFolder(run_dir).confusion_csv(f"{trials - 1:05}"), [[3, 1], [1, 2]], [MARKUP, "y"])
    return run_dir


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    storage = tmp_path_factory.mktemp("served") / "runs"
    a_searched_run(storage / "first", 8)
    a_searched_run(storage / "second", 5)
    a_searched_run(storage / "thousand", 1000, epochs=9)
    a_searched_run(storage / "<b>markup", 3)
    (a_searched_run(storage / "torn", 3) / "run.json").write_text("{")
    process, address = start(storage)
    yield Served(address, storage)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_every_page_fits_its_window_and_shows_names_as_text(
    served: Served, browser: Any, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path, words in (
        ("", "4 runs"),
        ("run/first", "Best: trial 00007"),
        ("run/first/trial/00007", "Confusion in its best epoch"),
        ("compare?first=first&second=second", "Settings in which the best trials differ"),
        ("new", "Check first"),
        ("commands", "None yet"),
        ("run/torn", "run.json"),
        ("run/none", "there is no run"),
        (f"run/{quote(MARKUP)}", "there is no run"),
        ("run/first/trial/none", "no such trial"),
    ):
        page.goto(served.address + path)
        words = "5 runs" if not path else words
        page.get_by_text(words).first.wait_for(timeout=20_000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.title() != "broken-in", path
    assert not errors
    page.close()


def test_a_run_of_a_thousand_trials_is_there_at_once_and_its_refreshes_are_small(served: Served, browser: Any) -> None:
    page = browser.new_page()
    sizes: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sizes.append(len(frame))))
    page.goto(served.address)  # so that what is the same for all pages is in the browser's cache
    page.get_by_text("5 runs").wait_for()
    began = time.perf_counter()
    page.goto(served.address + "run/thousand")
    page.get_by_text("of 1000 trials").first.wait_for(timeout=20_000)
    took = time.perf_counter() - began
    page.get_by_text("00999").first.wait_for(timeout=20_000)
    sizes.clear()
    page.wait_for_timeout(2500)  # a refresh
    assert sum(sizes) < 100_000
    run_dir = served.storage / "thousand"
    with (run_dir / "trials.jsonl").open("a") as file:
        file.write(json.dumps(a_line(5, 10, 0.99, after=60)) + "\n")
    sizes.clear()
    page.get_by_text("0.9900").first.wait_for(timeout=20_000)
    assert sum(sizes) < 100_000
    assert took < 5.0, "2 s on a machine that does nothing else"
    page.close()


def test_a_search_that_a_shell_started_is_stopped_once_by_two_browsers(served: Served, browser: Any) -> None:
    run_dir = served.storage / "first"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(run_dir), "3"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        pages = [browser.new_page(), browser.new_page()]
        for page in pages:
            page.goto(served.address + "run/first")
            page.get_by_text("running here").wait_for(timeout=20_000)
        for page in pages:
            page.get_by_role("button", name="Stop", exact=True).click()
        pages[1].get_by_text("asked to stop already").wait_for(timeout=10_000)
        assert holder.communicate(timeout=30)[0] == "1\n"
        pages[0].get_by_text("stopped").first.wait_for(timeout=10_000)
        for page in pages:
            page.close()


def test_a_run_of_another_version_and_one_that_is_deleted_meanwhile_are_words(served: Served, browser: Any) -> None:
    run_dir = a_searched_run(served.storage / "doomed", 3)
    page = browser.new_page()
    page.goto(served.address + "run/doomed")
    page.get_by_text("Best: trial 00002").wait_for(timeout=60_000)
    values = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**values, "of_next_year": 1}))
    page.get_by_text("of_next_year").first.wait_for(timeout=60_000)
    shutil.rmtree(run_dir)
    page.get_by_text("there is no run 'doomed'").first.wait_for(timeout=60_000)
    page.close()


@pytest.mark.parametrize(("path", "words"), [("none", "does not exist"), ("/etc/passwd", "does not lie below")])
def test_pictures_that_are_not_there_or_not_to_be_read_are_words(
    served: Served, browser: Any, path: str, words: str
) -> None:
    page = browser.new_page()
    page.goto(served.address + "new")
    page.get_by_label("Folder or CSV").fill(str(served.storage.parent / path))
    page.get_by_role("button", name="Check").click()
    page.get_by_text(words).first.wait_for(timeout=60_000)
    assert page.get_by_role("button", name="Start", exact=True).is_disabled()
    page.close()


def test_a_table_is_sorted_from_the_keyboard(served: Served, browser: Any) -> None:
    page = browser.new_page()
    page.goto(served.address + "run/second")
    first = page.locator("tbody tr", has=page.locator("a")).first
    first.get_by_text("00004").wait_for(timeout=60_000)
    head = page.get_by_role("columnheader", name="trial", exact=True)
    head.focus()
    page.keyboard.press("Enter")
    first.get_by_text("00000").wait_for(timeout=60_000)
    page.locator("th.sorted", has_text="trial").wait_for(timeout=60_000)
    page.keyboard.press("Space")
    first.get_by_text("00004").wait_for(timeout=60_000)
    page.goto(served.address)
    page.locator("tbody a").first.wait_for(timeout=60_000)
    page.get_by_role("columnheader", name="run", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('tbody a').textContent === '<b>markup'", timeout=60_000)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('tbody a').textContent === 'torn'", timeout=60_000)
    page.close()


def test_what_cannot_be_copied_is_shown(served: Served, browser: Any) -> None:
    page = browser.new_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as over plain HTTP
    page.goto(served.address + "run/second")
    page.get_by_role("button", name="Copy as JSON").click(timeout=60_000)
    page.locator(".q-dialog").get_by_text('"backbone": "net4"').wait_for(timeout=60_000)
    page.close()


def test_a_run_that_cannot_be_read_can_be_deleted(served: Served, browser: Any) -> None:
    page = browser.new_page()
    page.goto(served.address + "run/torn")
    page.get_by_role("button", name="Delete").click(timeout=60_000)
    page.get_by_text("Delete torn?").wait_for(timeout=60_000)
    page.close()


def test_attacks_get_words_and_nothing_else(served: Served) -> None:
    import httpx

    with httpx.Client(base_url=served.address, timeout=60) as client:
        for path in (
            "report/..%2f..%2fetc%2fpasswd", "report/first", "report/torn", "report/%3Cb%3E", "mistake/first/0",
            "mistake/..%2f..%2fetc/0", "mistake/first/-1", "static/..%2f..%2f..%2fetc/passwd",
            "_nicegui/3/static/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        ):  # fmt: skip
            answer = client.get(path)
            assert answer.status_code in (404, 405), path
            assert "root:" not in answer.text
        assert client.get("mistake/first/0.5").status_code == 422
        for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert client.post("_nicegui_ws/socket.io/?EIO=4&transport=polling", headers=headers).status_code == 403
            assert client.post("_nicegui/client/x/upload/1", headers=headers, content=b"x").status_code == 403
        for host in ("evil.example", "127.0.0.1.evil.example:80", "10.0.0.7"):
            assert client.get("", headers={"host": host}).status_code == 421


def test_with_a_token_only_who_has_it_comes_in(tmp_path: Path) -> None:
    import httpx

    token = "a-token-of-24-characters"
    process, address = start(tmp_path / "runs", "--token", token)
    try:
        with httpx.Client(base_url=address.partition("?")[0], timeout=60) as client:
            port = urlsplit(address).port
            for headers in ({}, {"cookie": f"macrotune_token_{port}=wrong"}):
                for path in ("", "new", "report/a", "?token=wrong"):
                    assert client.get(path, headers=headers).status_code == 401, path
            assert client.get("", params={"token": token}).status_code == 303
            assert client.get("").status_code == 200  # by the cookie that it was given
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--host", "0.0.0.0"), "--token new"),
        (("--host", "0.0.0.0", "--token", "short"), "16 letters"),
        (("--port", "99999"), "between 0 and"),
        (("--host", "203.0.113.9", "--token", "new"), "Give another --port or --host"),
    ],
)
def test_a_door_that_is_open_to_others_needs_a_token(flags: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "search" / "serve.py"), "--storage", str(tmp_path), *flags],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_message(served: Served, tmp_path: Path) -> None:
    port = served.address.rstrip("/").rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, str(ROOT / "search" / "serve.py"), "--storage", str(tmp_path), "--port", port],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Give another --port" in done.stderr


def test_a_second_page_for_the_same_runs_is_refused(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "search" / "serve.py"), "--storage", str(served.storage), "--port", "0"],
        cwd=served.storage, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "another page serves" in done.stderr
