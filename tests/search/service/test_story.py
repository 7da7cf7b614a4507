"""The page's whole story in a real browser, on this machine and on a Ray cluster through Ray Jobs.

A search is started from the page, watched, stopped, resumed, extended, re-trained and asked about a picture, while the
page is killed and started again: minutes each, by `pytest tests/search/service/test_story.py --browser-story`.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ray_head import a_job_server
from tests.served_page import CHROMIUM, NEEDS_CHROMIUM, start

pytest.importorskip("nicegui", reason="the page needs the extra ui")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), NEEDS_CHROMIUM]

Serve = Callable[..., tuple[subprocess.Popen[str], str]]
PATIENCE_MS = 240_000
"""How long one step may take."""


@pytest.fixture(autouse=True)
def only_if_asked_for(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--browser-story"):
        pytest.skip("takes minutes: --browser-story")


@pytest.fixture
def page() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page


@pytest.fixture
def cluster() -> Iterator[str]:
    """Address of the job server of a Ray cluster of this machine."""
    with a_job_server() as address:
        yield address


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Begins to serve a folder of runs; what still serves in the end is killed."""
    processes = []

    def begin(storage: Path, *flags: str) -> tuple[subprocess.Popen[str], str]:
        process, address = start(storage, *flags)
        processes.append(process)
        return process, address

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=20)


def tell(page: Any, serve: Serve, tmp_path: Path, *flags: str) -> None:
    """Goes through all that the page is for."""
    storage = tmp_path / "runs"
    storage.mkdir()
    process, address = serve(storage, *flags)
    page.goto(address + "new")
    for label, value in (("Name of the run", "story"), ("Trials", "3"), ("Epochs of a trial", "10")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Image size in pixels").fill("128")  # an epoch takes seconds: there is something to watch
    page.get_by_label("Space").click()
    page.get_by_role("option", name="toy").click()
    page.get_by_role("button", name="Check").click()
    page.get_by_text("Start begins this search").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("search toy").first.wait_for()
    while not (storage / "story" / "run.json").exists():
        page.wait_for_timeout(200)
    page.goto(address + "run/story")
    page.get_by_text("batch ").first.wait_for()
    process.kill()  # the page, and not the search
    process.wait(timeout=20)
    process, address = serve(storage, *flags)
    page.goto(address + "commands")
    page.get_by_text("search toy").first.wait_for()
    page.goto(address + "run/story")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("interrupted").first.wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("batch ").first.wait_for()
    page.get_by_role("button", name="Stop now").click()
    page.get_by_text("interrupted").first.wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("finished").first.wait_for()
    extend(page)
    page.get_by_role("button", name="Re-train the best").click()
    page.get_by_text("on people never seen").first.wait_for(timeout=3 * PATIENCE_MS)
    picture = next((tmp_path / "cache").rglob("*.jpg"))
    page.locator("input[type=file]").set_input_files(str(picture))
    page.get_by_text(re.compile(r"^\d+\.\d% \S")).first.wait_for()
    page.locator("input[type=file]").set_input_files(
        files=[{"name": "a.png", "mimeType": "image/png", "buffer": b"no"}]
    )
    page.get_by_text("no picture that can be read").wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_label("Type its name").fill("story")
    page.locator(".q-dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("0 runs in").wait_for()
    assert not (storage / "story").exists()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)


def extend(page: Any) -> None:
    page.get_by_role("button", name="Add trials").click()
    page.locator(".q-dialog input").fill("1")
    page.get_by_role("button", name="Add them").click()
    page.get_by_text("4 of 4 trials").first.wait_for()
    page.get_by_text("finished").first.wait_for()


def test_on_this_machine(page: Any, serve: Serve, tmp_path: Path) -> None:
    tell(page, serve, tmp_path)


def test_on_a_cluster_through_ray_jobs(page: Any, serve: Serve, cluster: str, tmp_path: Path) -> None:
    tell(page, serve, tmp_path, "--address", cluster)
    from ray.job_submission import JobSubmissionClient

    jobs = JobSubmissionClient(cluster).list_jobs()
    words = [job.metadata["macrotune_what"] for job in jobs]
    assert {"check a search", "search toy", "resume story", "re-train story", "delete story"} <= set(words)
    assert {str(job.status.value) for job in jobs} <= {"SUCCEEDED", "STOPPED"}
