"""Machines whose HOME, temporary folder or user is not what libraries take for granted."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.machine.cluster import LONGEST_FOLDER, START_ATTEMPTS, ClusterError, _shorten_sockets, _start_patiently
from search.machine.home import ensure_home
from tests.conftest import ROOT, places
from trainables.data.cache import default_cache_dir
from trainables.machine.home import can_write, private_folder


@pytest.fixture
def shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME that nobody can write, not even root; what the test changes of the environment is undone."""
    for name in ("HOME", "USER", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "RAY_TMPDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "file" / "home"


def test_a_home_that_can_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ensure_home() == ""
    assert os.environ["HOME"] == str(tmp_path)


def test_a_home_that_cannot_be_written_is_replaced_and_its_caches_are_still_read(
    shut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(shut))
    assert default_cache_dir() == private_folder() / ".cache" / "macrotune"
    said = ensure_home()
    assert str(shut) in said and os.environ["HOME"] in said
    assert can_write(Path(os.environ["HOME"])) and (tmp_path / "tmp") in Path(os.environ["HOME"]).parents
    assert ensure_home() == ""  # once is enough
    assert "HF_HOME" not in os.environ

    readable = tmp_path / "readable"
    (readable / ".cache" / "huggingface").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(readable))
    monkeypatch.setattr(os, "access", lambda path, mode: readable not in (path, *Path(path).parents))
    assert ensure_home()
    assert os.environ["HF_HOME"] == str(readable / ".cache" / "huggingface")


def test_a_user_whom_the_machine_does_not_know_has_a_name_and_a_home(
    shut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert default_cache_dir().name == "macrotune"
    assert "not set" in ensure_home()
    assert getpass.getuser() == "uid54321"
    assert Path.home().is_dir()


def test_a_private_folder_is_not_taken_from_somebody_else(shut: Path, tmp_path: Path) -> None:
    first = private_folder()
    assert private_folder() == first and first.stat().st_mode & 0o777 == 0o700
    first.rmdir()
    first.symlink_to(tmp_path)
    assert private_folder() not in (first, tmp_path)


def test_a_long_folder_for_temporary_files_is_not_rays(shut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/x")
    _shorten_sockets()
    assert "RAY_TMPDIR" not in os.environ
    monkeypatch.setattr("tempfile.tempdir", "/" + LONGEST_FOLDER * "x")
    _shorten_sockets()
    assert len(os.environ["RAY_TMPDIR"]) <= LONGEST_FOLDER


def test_a_long_folder_that_was_asked_for_is_refused_with_one_that_works(
    shut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + LONGEST_FOLDER * "x")
    with pytest.raises(ClusterError, match=r"at most 35 characters, such as RAY_TMPDIR=/tmp$") as error:
        _shorten_sockets()
    name, _, folder = str(error.value).rpartition(" ")[2].partition("=")
    monkeypatch.setenv(name, folder)  # the way out
    _shorten_sockets()


def test_a_slow_start_of_ray_is_tried_again_and_then_said() -> None:
    attempts = []

    def start() -> None:
        attempts.append(1)
        if len(attempts) != START_ATTEMPTS:
            raise Exception("The current node timed out during startup. This could happen because ...")

    _start_patiently(start)
    assert len(attempts) == START_ATTEMPTS
    with pytest.raises(ClusterError, match=r"when it is quieter.*session_latest"):
        _start_patiently(start)  # counts on, and so is slow each time

    def broken() -> None:
        attempts.clear()
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        _start_patiently(broken)


@pytest.mark.slow
@pytest.mark.long
def test_a_search_does_without_home_short_temporary_folder_and_utf8(pictures: Path, tmp_path: Path) -> None:
    long = tmp_path / (90 * "x")
    long.mkdir()
    (tmp_path / "file").touch()
    env = {name: value for name, value in os.environ.items() if name not in ("RAY_TMPDIR", "XDG_CACHE_HOME")}
    env |= {"HOME": str(tmp_path / "file" / "home"), "TMPDIR": str(long), "LC_ALL": "C", "HF_HUB_OFFLINE": "1"}
    env |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    small = ("--space", "toy", "--trials", "1", "--epochs", "1", "--image-size", "32", "--batch-size", "16")
    flags = (*small, "--data", str(pictures), *places(tmp_path)[:4])  # without --cache-dir
    command = [sys.executable, str(ROOT / "search" / "run.py"), *flags]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cannot be written: what belongs there goes to" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(long.rglob("images.npy"))
