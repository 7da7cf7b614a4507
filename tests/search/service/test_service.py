"""What the pages share: who is stopped, what waits for it, and what may be dropped on the page."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from results.records.presence import who_is_at_run
from results.records.run_folder import RunFolder
from search.service.commands import Places
from search.service.interrupt import main
from search.service.jobs import as_asked
from search.service.service import Service
from tests.conftest import ROOT
from tests.runs import HOLDING, a_run_dir
from trainables.errors import UserError


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Of a folder with the run `a`."""
    a_run_dir(tmp_path / "runs" / "a")
    return Service(
        Places(storage=tmp_path / "runs", readme=tmp_path / "README.md", cache_dir=tmp_path / "c", roots=(tmp_path,))
    )


@pytest.fixture
def holder(service: Service) -> subprocess.Popen[str]:
    """A process that is at the run, as a search of a shell, until it is interrupted and two seconds more."""
    words = [sys.executable, "-c", HOLDING, str(service.places.storage / "a"), "2"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def all_end(service: Service) -> None:
    """Waits until no command runs."""
    while any(job.is_open for job in service.queue.jobs()):
        service.queue.tick()
        time.sleep(0.1)


def test_stop_and_resume_at_once_lose_nothing(service: Service, holder: subprocess.Popen[str]) -> None:
    said: list[str] = []
    presses = [
        lambda: said.append(service.stop("a")),
        lambda: said.append(service.stop("a")),
        lambda: said.append(service.queue.submit("resume a", [sys.executable, "-c", ""], run="a").state),
    ]
    threads = [threading.Thread(target=press) for press in presses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert holder.communicate(timeout=30)[0] == "1\n"  # one Ctrl-C, though two browsers pressed
    assert sorted(said)[:2] == ["a was asked to stop already: running trials end with their epoch",
                                "a was asked to stop: running trials end with their epoch"]  # fmt: skip
    assert sorted(said)[2] == "waiting"  # for the search that is being stopped
    for _ in range(300):
        service.queue.tick()
        if service.queue.jobs()[0].state == "done":
            break
        time.sleep(0.1)
    assert service.queue.jobs()[0].state == "done"
    with pytest.raises(UserError, match="not running any more"):
        service.stop("a")


def test_a_command_follows_the_very_same_that_is_just_leaving(service: Service, tmp_path: Path) -> None:
    leaving = [sys.executable, "-c", "import time; time.sleep(2)"]  # runs, and is at no run any more
    first = service.submit("resume a", leaving, "a")
    second = service.submit("resume a", leaving, "a")
    assert second.job_id != first.job_id
    assert [job.state for job in service.queue.jobs() if job.job_id == first.job_id] == ["done"]
    all_end(service)


def test_a_command_that_is_at_its_run_is_not_started_twice(service: Service) -> None:
    holding = [sys.executable, "-c", HOLDING, str(service.places.storage / "a"), "0"]
    job = service.submit("resume a", holding, "a")
    while who_is_at_run(RunFolder(service.places.storage / "a")) is None:
        time.sleep(0.1)
    with pytest.raises(UserError, match="resume a is running already"):
        service.submit("resume a", holding, "a")
    service.queue.cancel(job.job_id)
    all_end(service)


def test_stop_on_the_list_and_on_the_run_are_one_ctrl_c(service: Service) -> None:
    holding = [sys.executable, "-c", HOLDING, str(service.places.storage / "a"), "2"]
    job = service.submit("resume a", holding, "a")
    while who_is_at_run(RunFolder(service.places.storage / "a")) is None:
        time.sleep(0.1)
    assert [service.cancel(job.job_id) for _ in range(2)] == [
        "resume a was asked to stop",
        "resume a was asked to stop already",
    ]
    assert service.stop("a") == "a was asked to stop already: running trials end with their epoch"
    all_end(service)
    assert service.queue.log(job.job_id).splitlines()[-1] == "1"


def test_a_stop_that_could_not_be_sent_can_be_sent_again(
    service: Service, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run_dir: Path, times: int) -> None:
        raise UserError("it cannot be reached just now")

    with monkeypatch.context() as shut:
        shut.setattr("search.service.service.interrupt", refuse)
        with pytest.raises(UserError, match="just now"):
            service.stop("a")
    assert service.stop("a") == "a was asked to stop: running trials end with their epoch"
    assert holder.communicate(timeout=30)[0] == "1\n"


def test_ctrl_c_is_sent_to_who_is_at_a_run_and_to_nobody_else(
    service: Service, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = str(service.places.storage / "a")
    assert main([run_dir, "1"]) == 0
    assert holder.communicate(timeout=30)[0] == "1\n"
    assert main([run_dir, "1"]) == 2
    assert "not running any more" in capsys.readouterr().err


def a_picture(kind: str) -> bytes:
    written = io.BytesIO()
    more = {"save_all": True, "append_images": [Image.new("RGB", (4, 4))]} if kind == "MPO" else {}
    Image.new("RGB", (8, 8)).save(written, kind, **more)
    return written.getvalue()


@pytest.mark.parametrize("content", [b"", b"no", b"<svg onload=alert(1)>", a_picture("PNG")[:40], a_picture("PPM")])
def test_what_is_no_picture_is_one_message_and_leaves_nothing(content: bytes, tmp_path: Path) -> None:
    predict_card = pytest.importorskip("search.service.predict_card", reason="the page needs the extra ui")
    with pytest.raises(UserError):
        predict_card._kept(content, tmp_path)
    assert not list(tmp_path.rglob("*.*"))
    for kind, name in (("PNG", "picture.png"), ("MPO", "picture.jpg")):
        kept = predict_card._kept(a_picture(kind), tmp_path)
        assert [path.name for path in kept.iterdir()] == [name]


def test_a_picture_that_nobody_waited_for_is_deleted(tmp_path: Path) -> None:
    predict_card = pytest.importorskip("search.service.predict_card", reason="the page needs the extra ui")
    old, waiting, new = (predict_card._kept(a_picture("PNG"), tmp_path) for _ in range(3))
    then = time.time() - predict_card.LEFT_SECONDS - 1
    for each in (old, waiting):
        os.utime(each, (then, then))
    predict_card.clear_uploads(tmp_path, ["python", f"--data={waiting}"])
    assert not old.exists() and waiting.exists() and new.exists()


def test_two_of_ctrl_c_are_heard_as_two(service: Service, holder: subprocess.Popen[str]) -> None:
    assert main([str(service.places.storage / "a"), "2"]) == 0
    assert holder.communicate(timeout=30)[0] == "2\n"


def test_a_picture_that_could_not_be_decoded_has_no_shares(tmp_path: Path) -> None:
    predict_card = pytest.importorskip("search.service.predict_card", reason="the page needs the extra ui")
    answers = tmp_path / "answers.csv"
    assert predict_card._shares(answers) == []
    answers.write_text("path,answer,p_a,p_b\nx.jpg,,,\n")
    assert predict_card._shares(answers) == []
    answers.write_text("path,answer,p_a,p_b\nx.jpg,b,0.2,0.8\n")
    assert predict_card._shares(answers) == [(0.8, "b"), (0.2, "a")]


@pytest.mark.parametrize(
    ("code", "is_so"), [(0, True), (130, True), (-2, True), (-15, True), (-9, False), (1, False), (128, False)]
)
def test_a_command_that_the_signal_itself_has_ended_has_ended_as_asked(code: int, is_so: bool) -> None:
    assert as_asked(code) == is_so
