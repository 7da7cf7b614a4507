"""The list of commands: one that trains at a time, and nothing forgotten when the page dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.service.job_queue import JobQueue
from search.service.jobs import Job, JobState
from trainables.errors import UserError
from trainables.strict_json import RecordError

LONG = [sys.executable, "-c", "import time; time.sleep(60)"]


def saying(words: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({words!r}); sys.exit({code})"]


def until(queue: JobQueue, job: Job, states: set[str]) -> Job:
    for _ in range(200):
        queue.tick()
        now = queue.job(job.job_id)
        assert now is not None
        if now.state in states:
            return now
        time.sleep(0.05)
    raise AssertionError(f"{job.what} is still {now.state}")


@pytest.fixture
def a_queue(tmp_path: Path) -> Callable[..., JobQueue]:
    def make(busy: Callable[[], str | None] = lambda: None) -> JobQueue:
        return JobQueue(tmp_path / "jobs", busy)

    return make


def test_a_command_runs_and_its_words_and_its_exit_code_are_kept(a_queue: Callable[..., JobQueue]) -> None:
    queue = a_queue()
    good = until(queue, queue.submit("one", saying("hello")), {"done", "failed"})
    bad = until(queue, queue.submit("two", saying("no", 2)), {"done", "failed"})
    assert (good.state, bad.state, bad.exit_code) == ("done", "failed", 2)
    assert queue.log(good.job_id) == "hello\n"


def test_one_that_trains_waits_for_another_and_others_do_not(a_queue: Callable[..., JobQueue]) -> None:
    queue = a_queue()
    first = queue.submit("first", LONG)
    second = queue.submit("second", saying("2"))
    aside = queue.submit("check", saying("3"), trains=False)
    assert (first.state, second.state, aside.state) == ("running", "waiting", "running")
    assert queue.waits_for == "first"
    queue.cancel(first.job_id)
    until(queue, second, {"done"})


def test_it_waits_for_a_search_that_a_shell_started(a_queue: Callable[..., JobQueue]) -> None:
    busy: list[str] = ["theirs"]
    queue = a_queue(lambda: busy[0] if busy else None)
    job = queue.submit("ours", saying("1"))
    assert job.state == JobState.WAITING
    assert "theirs" in (queue.waits_for or "")
    busy.clear()
    until(queue, job, {"done"})


def test_what_waits_can_be_cancelled_and_what_has_ended_cannot(a_queue: Callable[..., JobQueue]) -> None:
    queue = a_queue(lambda: "theirs")
    job = queue.submit("ours", saying("1"))
    queue.cancel(job.job_id)
    assert (queue.job(job.job_id) or job).state == JobState.CANCELLED
    with pytest.raises(UserError, match="ended already"):
        queue.cancel(job.job_id)


def test_the_very_same_is_not_asked_for_twice_nor_two_things_of_one_run(a_queue: Callable[..., JobQueue]) -> None:
    queue = a_queue(lambda: "theirs")
    queue.submit("resume a", saying("1"), run="a")
    with pytest.raises(UserError, match="already"):
        queue.submit("resume a", saying("1"), run="a")
    with pytest.raises(UserError, match="already"):
        queue.submit("re-train a", saying("2"), run="a")
    queue.submit("resume b", saying("2"), run="b")


def test_a_page_that_comes_back_knows_what_runs_and_what_waits(a_queue: Callable[..., JobQueue]) -> None:
    first = a_queue()
    running = first.submit("first", LONG)
    waiting = first.submit("second", saying("2"))
    again = a_queue()
    again.tick()
    assert [job.state for job in again.jobs()] == ["waiting", "running"]
    again.cancel(running.job_id)
    first._children[running.job_id].wait(20)  # which a page that was killed is not there to do
    assert until(again, running, {"ended"}).exit_code is None
    until(again, waiting, {"done"})


def test_a_command_that_cannot_be_started_says_why(a_queue: Callable[..., JobQueue]) -> None:
    queue = a_queue()
    job = queue.submit("none", ["/no/such/program"])
    assert job.state == JobState.FAILED
    assert "could not be started" in queue.log(job.job_id)


def test_a_damaged_list_names_its_file(a_queue: Callable[..., JobQueue], tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "jobs.json").write_text('{"jobs": 3}')
    with pytest.raises(RecordError, match=r"jobs\.json"):
        a_queue()
