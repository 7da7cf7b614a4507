from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from results.records.presence import who_is_at_run
from results.records.run_folder import RunFolder
from scripts import report, runs
from search import remote_storage
from search.flags import PlaceFlags
from search.hold import hold
from search.mirror import ANSWER_SECONDS, MOST_ERRORS, Mirror, MirrorError
from search.remote_storage import folder_to_read, mirrored, open_mirror
from tests.runs import a_line, a_run_dir
from trainables.errors import UserError

BUCKET = "s3://pictures/search"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that speaks S3, on this machine alone."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture(autouse=True)
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "XDG_CACHE_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    found = boto3.resource("s3", endpoint_url=server).Bucket("pictures")
    found.create()
    yield
    found.objects.all().delete()
    found.delete()


def places(address: str = BUCKET, **flags: Path) -> PlaceFlags:
    return PlaceFlags(storage=Path(address), **flags).absolute()


def a_run(runs: Path, name: str = "first", lines: int = 1) -> Path:
    run = runs / name
    (run / "checkpoints" / "00000").mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text("{}")
    (run / "trials.jsonl").write_text("line\n" * lines)
    (run / "checkpoints" / "00000" / "last.pt").write_bytes(b"weights")
    (run / "checkpoints" / "00000" / "last.pt.tmp-1").write_bytes(b"torn")
    (run / ".lock").touch()
    return run


def keys(server: str) -> set[str]:
    found = boto3.resource("s3", endpoint_url=server).Bucket("pictures").objects.all()
    return {each.key for each in found if not each.key.endswith("/")}


def test_an_address_survives_being_a_path_and_has_a_folder_and_a_table_of_its_own(tmp_path: Path) -> None:
    asked = places()
    assert asked.remote == BUCKET
    assert asked.runs_dir.is_relative_to(tmp_path / "home")
    assert asked.readme_path == asked.runs_dir / "README.md"
    assert places(readme=tmp_path / "README.md").readme_path == tmp_path / "README.md"
    assert places("gs://a/b").remote == "gs://a/b" and places("file:///a/b").remote == "file:///a/b"
    assert places("runs").remote is None and places("/s3/runs").remote is None


def test_what_has_changed_is_copied_what_is_gone_is_deleted_and_the_rest_is_left_alone(server: str) -> None:
    mirror = open_mirror(places(), None, None)
    assert mirror is not None
    run = a_run(mirror.folder)
    (mirror.folder / "README.md").write_text("table")
    assert mirror.push("first") == 4
    inside = {"README.md", "first/run.json", "first/trials.jsonl"}
    assert keys(server) == {f"search/{path}" for path in (*inside, "first/checkpoints/00000/last.pt")}
    assert mirror.push("first") == 0
    (run / "trials.jsonl").write_text("line\nline\n")
    (run / "checkpoints" / "00000" / "last.pt").unlink()
    assert mirror.push("first") == 1
    assert keys(server) == {f"search/{path}" for path in inside}


def test_another_machine_takes_over_and_the_longer_log_is_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_mirror(places(), None, None)
    assert first is not None
    a_run(first.folder, lines=2)
    (first.folder / "results" / "best").mkdir(parents=True)
    (first.folder / "results" / "best" / "toy.json").write_text("record")
    with mirrored(first, "first", pytest.fail) as copy_soon:
        copy_soon()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    second = open_mirror(places(), None, "first")
    assert second is not None and second.folder != first.folder
    assert (second.folder / "first" / "checkpoints" / "00000" / "last.pt").read_bytes() == b"weights"
    assert (second.folder / "results" / "best" / "toy.json").read_text() == "record"
    (second.folder / "first" / "trials.jsonl").write_text("line\n" * 3)
    assert open_mirror(places(), None, "first") is not None
    assert (second.folder / "first" / "trials.jsonl").read_text() == "line\n" * 3  # not sent yet: it is kept
    second.push("first")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    open_mirror(places(), None, "first")
    assert (first.folder / "first" / "trials.jsonl").read_text() == "line\n" * 3


def test_what_is_shown_is_copied_without_weights_which_come_when_it_goes_on(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    first = open_mirror(places(), None, None)
    assert first is not None
    a_run_dir(first.folder / "first", [a_line(0, 1, 0.5)])
    a_run(first.folder, "broken")
    for name in ("first", "broken"):
        (first.folder / name / "checkpoints").mkdir(exist_ok=True)
        (first.folder / name / "checkpoints" / "best.pt").write_bytes(b"weights")
        first.push(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert runs.main(["--storage", BUCKET]) == 0
    said = capsys.readouterr().out
    assert "first" in said and "broken" in said and f"--resume first --storage {BUCKET}" in " ".join(said.split())
    here = places().runs_dir
    assert (here / "first" / "trials.jsonl").is_file() and not (here / "first" / "checkpoints").exists()
    assert runs.main(["rm", "first", "--storage", BUCKET, "--yes"]) == 2
    assert f"{BUCKET}/first" in " ".join(capsys.readouterr().err.split())
    assert report.main(["first", "--storage", BUCKET]) == 0
    assert capsys.readouterr().out.strip() == str(here / "first" / "report.html")
    assert "search/first/report.html" in keys(server)
    open_mirror(places(), None, "first")
    assert (here / "first" / "checkpoints" / "best.pt").read_bytes() == b"weights"


def test_runs_in_a_bucket_that_is_not_there_are_one_message(capsys: pytest.CaptureFixture) -> None:
    assert runs.main(["--storage", "s3://nothing/search"]) == 2
    assert "s3://nothing/search cannot be read" in " ".join(capsys.readouterr().err.split())


def test_a_name_that_is_taken_there_is_refused() -> None:
    mirror = open_mirror(places(), "first", None)
    assert mirror is not None
    a_run(mirror.folder)
    mirror.push("first")
    with pytest.raises(UserError, match=r"there is a run 'first' in s3://pictures/search.*--resume first"):
        open_mirror(places(), "first", None)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://nothing/search", "s3://nothing/search.*cannot be written.*bucket.*docs/storage.md"),
        ("foo://pictures", "foo://pictures.*cannot be opened"),
        ("s3://", "s3://"),
    ],
)
def test_a_storage_that_is_not_there_is_refused_by_its_name(address: str, words: str) -> None:
    with pytest.raises(MirrorError, match=words):
        open_mirror(places(address), None, None)


def test_a_storage_that_does_not_answer_is_refused_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(MirrorError, match="search"):
        open_mirror(places(), None, None)
    assert time.monotonic() - began < ANSWER_SECONDS + 3


def test_a_storage_that_is_lost_meanwhile_is_said_once_and_costs_nothing(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    mirror = open_mirror(places(), None, None)
    assert mirror is not None
    a_run(mirror.folder)
    with mirrored(mirror, "first", said.append):
        while "search/first/trials.jsonl" not in keys(server):  # which is the last to be sent
            time.sleep(0.05)
        time.sleep(0.5)
        boto3.resource("s3", endpoint_url=server).Bucket("pictures").objects.all().delete()
        boto3.client("s3", endpoint_url=server).delete_bucket(Bucket="pictures")
        (mirror.folder / "first" / "trials.jsonl").write_text("line\n" * 2)
    boto3.client("s3", endpoint_url=server).create_bucket(Bucket="pictures")
    assert [("tried again" in line, "--resume first" in line) for line in said][-1] == (False, True)
    assert sum("tried again" in line for line in said) <= 1


def test_a_state_is_never_ahead_of_the_logs_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    mirror = open_mirror(places(f"file://{there}"), None, None)
    assert mirror is not None
    run = a_run(mirror.folder)
    state, put = run / "checkpoints" / "00000" / "last.pt", Mirror._put

    def refuse(self: Mirror, path: str) -> bool:
        if path.endswith("trials.jsonl"):
            raise OSError("no")
        return put(self, path)

    monkeypatch.setattr(Mirror, "_put", refuse)
    with pytest.raises(OSError, match="no"):
        mirror.push("first")
    assert (there / "first" / "run.json").is_file() and not (there / "first" / "checkpoints").exists()

    def train(self: Mirror, path: str) -> bool:
        if path.endswith("trials.jsonl"):  # as it is copied, the next epoch ends
            state.write_bytes(b"of the next epoch")
        return put(self, path)

    monkeypatch.setattr(Mirror, "_put", train)
    mirror.push("first")
    assert (there / "first" / "trials.jsonl").is_file() and not (there / "first" / "checkpoints").exists()
    monkeypatch.setattr(Mirror, "_put", put)
    mirror.push("first")
    assert (there / "first" / "checkpoints" / "00000" / "last.pt").read_bytes() == b"of the next epoch"


def test_a_state_that_is_ahead_of_what_another_machine_knows_goes(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    mirror = open_mirror(places(f"file://{there}"), None, None)
    assert mirror is not None
    run = a_run(mirror.folder)
    mirror.push("first")
    (there / "first" / "trials.jsonl").write_text("line\n" * 3)  # by the other
    (there / "first" / "checkpoints" / "00000" / "last.pt").unlink()
    open_mirror(places(f"file://{there}"), None, "first")
    assert (run / "trials.jsonl").read_text() == "line\n" * 3
    assert not (run / "checkpoints" / "00000" / "last.pt").exists()


def test_a_push_is_given_up_after_some_files_that_cannot_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    mirror = open_mirror(places(f"file://{tmp_path / 'there'}"), None, None)
    assert mirror is not None
    answers = a_run(mirror.folder) / "answers"
    answers.mkdir()
    for number in range(9):
        (answers / f"{number}.npz").touch()
    asked: list[str] = []

    def refuse(self: Mirror, path: str) -> bool:
        asked.append(path)
        raise OSError("lost")

    monkeypatch.setattr(Mirror, "_put", refuse)
    with pytest.raises(OSError, match="lost"):
        mirror.push("first")
    assert len(asked) == MOST_ERRORS


def test_a_run_that_another_machine_is_at_is_refused_and_goes_on_once_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(remote_storage, "BEATS_SECONDS", 0.2)
    monkeypatch.setattr(remote_storage, "GONE_SECONDS", 4.0)
    address = f"file://{tmp_path / 'there'}"
    first = open_mirror(places(address), None, None)
    assert first is not None
    run = a_run(first.folder)
    there = tmp_path / "there" / "first" / "presence.json"
    with hold(run), mirrored(first, "first", str):
        wait_for(there)
        assert open_mirror(places(address), None, "first") is not None  # this machine's own lock says the rest
        with monkeypatch.context() as another:
            another.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
            another.setattr(socket, "gethostname", lambda: "elsewhere")
            text = there.read_text()
            beats = threading.Thread(target=lambda: [(time.sleep(0.5), there.write_text(text)) for _ in range(8)])
            beats.start()
            with pytest.raises(UserError, match=r"first in file://.* is being searched on .*: wait, or end that"):
                open_mirror(places(address), None, "first")
            folder, _ = folder_to_read(Path(address))
            assert who_is_at_run(RunFolder(folder / "first")) is not None  # which lists and pages show
            beats.join()
            capsys.readouterr()
            assert open_mirror(places(address), None, "first") is not None  # nothing was heard any more
            assert "to see whether it still is" in " ".join(capsys.readouterr().err.split())
    assert not there.exists()


def a_folder(path: Path) -> str:
    """The address of a new folder that stands for a bucket."""
    path.mkdir()
    return f"file://{path}"


def a_run_that_went_on_elsewhere(tmp_path: Path) -> tuple[str, Path, Path]:
    """An address, the folder of its run `first` here, and the one there, where another machine has added two lines."""
    address = a_folder(tmp_path / "there")
    mirror = open_mirror(places(address), None, None)
    assert mirror is not None
    here, there = a_run(mirror.folder), tmp_path / "there" / "first"
    mirror.push("first")
    (there / "trials.jsonl").write_text("line\n" * 3)
    return address, here, there


def test_newer_logs_that_are_copied_to_be_shown_leave_no_older_weights_to_go_on_with(tmp_path: Path) -> None:
    address, here, there = a_run_that_went_on_elsewhere(tmp_path)
    state = Path("checkpoints") / "00000" / "last.pt"
    (there / state).write_bytes(b"of the third epoch")
    (here / "checkpoints" / "00001").mkdir()
    (here / "checkpoints" / "00001" / "last.pt").write_bytes(b"ahead")
    folder_to_read(Path(address))
    assert (here / "trials.jsonl").read_text() == "line\n" * 3
    assert not (here / state).exists() and not (here / "checkpoints" / "00001" / "last.pt").exists()
    mirror = open_mirror(places(address), None, "first")
    assert mirror is not None and (here / state).read_bytes() == b"of the third epoch"
    mirror.push("first")
    assert (there / state).read_bytes() == b"of the third epoch"


def test_nothing_that_is_shown_is_copied_over_a_run_that_is_worked_on_here(tmp_path: Path) -> None:
    address, here, _ = a_run_that_went_on_elsewhere(tmp_path)
    with hold(here):
        folder_to_read(Path(address))
        assert (here / "trials.jsonl").read_text() == "line\n"
        assert (here / "checkpoints" / "00000" / "last.pt").exists()


def test_a_run_is_not_copied_over_one_that_knows_more_unless_that_was_copied_down(tmp_path: Path) -> None:
    address, here, there = a_run_that_went_on_elsewhere(tmp_path)
    behind = open_mirror(places(address), None, None)
    assert behind is not None
    words = r"the run first in file://.*/there knows more than .*first and .*--resume first or .*--run first"
    with pytest.raises(UserError, match=words), mirrored(behind, "first", pytest.fail):
        pytest.fail("it was begun")
    with pytest.raises(UserError, match=words):
        behind.push("first")
    assert (there / "trials.jsonl").read_text() == "line\n" * 3
    again = open_mirror(places(address), None, "first")
    assert again is not None
    (here / "trials.jsonl").write_text("line\n" * 2)  # its last line was torn
    again.push("first")
    assert (there / "trials.jsonl").read_text() == "line\n" * 2


def test_the_logs_of_a_re_training_without_its_run_are_kept_where_they_know_more(tmp_path: Path) -> None:
    address = a_folder(tmp_path / "there")
    mirror = open_mirror(places(address), None, None)
    assert mirror is not None
    logs = RunFolder(mirror.folder / "first").retrained.trials_jsonl
    logs.parent.mkdir(parents=True)
    logs.write_text("line\n")
    mirror.push("first")
    logs.write_text("line\n" * 2)
    again = open_mirror(places(address), None, "first")
    assert again is not None and logs.read_text() == "line\n" * 2
    again.push("first")
    assert RunFolder(tmp_path / "there" / "first").retrained.trials_jsonl.read_text() == "line\n" * 2


def test_two_addresses_do_not_share_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = a_folder(tmp_path / "cats_v1"), a_folder(tmp_path / "cats-v1")
    assert places(first).runs_dir == places(other).runs_dir
    assert open_mirror(places(first), None, None) is not None
    words = r"--storage file://.*/cats-v1: .* has those of file://.*/cats_v1\. Set XDG_CACHE_HOME"
    with pytest.raises(UserError, match=words):
        open_mirror(places(other), None, None)
    with pytest.raises(UserError, match=words):
        folder_to_read(Path(other))
    assert open_mirror(places(first), None, None) is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of the other"))
    assert open_mirror(places(other), None, None) is not None


def wait_for(path: Path) -> None:
    ends = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < ends, f"{path} has not come"
        time.sleep(0.05)
