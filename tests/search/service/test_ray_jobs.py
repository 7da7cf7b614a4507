"""The page's commands as Ray Jobs, on a cluster of this machine; and what is said where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.service.commands import Places, resume_command
from search.service.jobs import Job
from search.service.ray_jobs import RayJobs, shown_as_job
from tests.ray_head import a_job_server
from tests.runs import a_run_dir
from trainables.errors import UserError

UNTIL_CTRL_C = """
import time
print("here", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(5)  # longer than Ray would wait by itself
    print("one Ctrl-C", flush=True)
"""


def until(jobs: RayJobs, is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        jobs.tick()
        if is_so():
            return
        time.sleep(0.2)
    raise AssertionError([(job.what, job.state) for job in jobs.jobs()])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.long
def test_ray_starts_lists_follows_and_stops_commands(tmp_path: Path) -> None:
    with a_job_server() as address:
        jobs = RayJobs(address, tmp_path)

        def now(job: Job) -> Job:
            return jobs.job(job.job_id) or job

        long = jobs.submit("search", [sys.executable, "-c", UNTIL_CTRL_C], run="a")
        bad = jobs.submit("check; rm -rf /", [sys.executable, "-c", "import sys; print('no; $HOME'); sys.exit(2)"])
        until(jobs, lambda: now(bad).state == "failed" and "here" in jobs.log(long.job_id))
        assert "no; $HOME" in jobs.log(bad.job_id)
        assert now(bad).exit_code == 2
        assert (jobs.of_run("a") or bad).job_id == long.job_id
        with pytest.raises(UserError, match="search is running already"):
            jobs.submit("resume a", [sys.executable, "-c", ""], run="a")
        again = RayJobs(address, tmp_path)  # the page was killed, and starts again
        assert [job.what for job in again.jobs()] == [job.what for job in jobs.jobs()]
        assert not RayJobs(address, tmp_path / "others").jobs()
        again.cancel(long.job_id)
        until(jobs, lambda: not now(long).is_open)
        assert (now(long).state, now(long).command) == ("done", long.command)
        assert "one Ctrl-C" in jobs.log(long.job_id)
        with pytest.raises(UserError, match="ended already"):
            jobs.cancel(long.job_id)
    jobs.tick()
    assert "does not take commands" in jobs.problem
    assert len(jobs.jobs()) == 2
    with pytest.raises(UserError, match="does not take commands"):
        jobs.submit("resume b", [sys.executable, "-c", ""])


class SlowServer:
    """A job server whose list is of before the last command came."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.listed: list[Any] = []

    def submit_job(self, *, submission_id: str, metadata: dict[str, str], **_: Any) -> None:
        self.submitted.append(
            SimpleNamespace(
                submission_id=submission_id,
                metadata=metadata,
                status=SimpleNamespace(value="SUCCEEDED"),
                driver_exit_code=0,
                driver_info=None,
                start_time=1000,
            )
        )

    def list_jobs(self) -> list[Any]:
        return self.listed


def test_a_command_that_is_not_listed_yet_is_not_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = SlowServer()
    monkeypatch.setattr("search.service.ray_jobs._client", lambda address: server)
    jobs = RayJobs("http://head:8265", tmp_path)
    job = jobs.submit("check a search", ["true"])
    for _ in range(2):
        jobs.tick()
        found = jobs.job(job.job_id)
        assert found is not None and found.is_open  # whoever waits for its end goes on waiting
    server.listed = server.submitted
    jobs.tick()
    assert [each.state for each in jobs.jobs()] == ["done"]
    server.listed = []
    jobs.tick()
    assert not jobs.jobs()  # Ray has forgotten it, and so does the page


def test_an_address_without_a_job_server_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at http://127\.0\.0\.1:9 does not take commands.*ray start --head"):
        RayJobs("http://127.0.0.1:9", tmp_path)


def test_what_trains_joins_the_cluster_that_runs_it(tmp_path: Path) -> None:
    a_run_dir(tmp_path / "runs" / "first")
    places = Places(
        storage=tmp_path / "runs", readme=tmp_path / "README.md", cache_dir=tmp_path, roots=(), on_cluster=True
    )
    command = resume_command("first", places)
    assert "--address=auto" in command
    assert shown_as_job(command, "http://head:8265").startswith("ray job submit --address http://head:8265 -- python ")
