"""What can be known before the first picture is decoded is said before it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from search.checks import LOG_BYTES, check_disk, refuse_unwritable
from search.flags import PlaceFlags, SplitFlags
from search.machine.cluster import ClusterError, connect
from search.prepare import RATE_SECONDS, SURE_SECONDS, _DecodingWatch, _refuse_slow_decoding, prepare_data
from search.run import main
from search.study import AskedStudy
from tests.conftest import places
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.networks.known_costs import ModelFacts

SMALL = ("--space", "toy", "--trials", "4", "--epochs", "3", "--image-size", "32", "--batch-size", "16")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--weights", "/nope"), "no such folder"),
        (("--weights", "."), "holds no file for test_"),
        (("--formulation", "heads"), "--attributes"),
        (("--formulation", "search"), "--attributes"),
        (("--attribute-weights", "age=2"), "--formulation heads"),
        (("--time-budget", "5s"), "some minutes"),
        (("--name", "mine"), "--resume mine"),
        (("--gpus-per-trial", "1", "--concurrency", "64"), " GPUs"),
        (("--backbones", "resnet18"), "resnet18"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_had_is_said_before_the_first_picture_is_decoded(
    flags: tuple[str, ...],
    says: str,
    pictures: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert main([*SMALL, "--data", str(pictures), *places(tmp_path), *flags]) == 2
    said = "".join(capfd.readouterr())
    assert says in said and "Traceback" not in said
    assert not list(tmp_path.rglob("images.npy"))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]


def prepared(pictures: Path, cache: Path, seconds_left: Callable[[], float]) -> None:
    prepare_data(
        DataConfig(data=pictures),
        SplitFlags(),
        seed=0,
        image_size=32,
        cache_path=cache,
        console=Console(),
        seconds_left=seconds_left,
    )


def test_pictures_that_take_longer_to_decode_than_there_is_time_are_not_all_decoded(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, int(RATE_SECONDS)))  # each picture takes as long as the rate is waited for
    monkeypatch.setattr("search.prepare.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(UserError, match=r"the 96 pictures takes about 188 s more, the time budget ends in 100 s"):
        prepared(pictures, tmp_path / "cache", lambda: 100.0)
    assert not list((tmp_path / "cache").rglob("images.npy"))
    monkeypatch.undo()
    with pytest.raises(UserError, match="ends in 0 s"):
        prepared(pictures, tmp_path / "cache", lambda: 0.0)
    prepared(pictures, tmp_path / "cache", lambda: 100.0)
    prepared(pictures, tmp_path / "cache", lambda: 0.0)  # nothing is left to decode


def test_large_pictures_first_do_not_end_a_search_whose_pictures_are_decoded_in_time() -> None:
    _refuse_slow_decoding(1, 100, RATE_SECONDS, 140.0)  # about 198 s
    _refuse_slow_decoding(1, 100, SURE_SECONDS - 1, 7 * 99.0)
    with pytest.raises(UserError, match="takes about 198 s more"):
        _refuse_slow_decoding(1, 100, RATE_SECONDS, 120.0)
    with pytest.raises(UserError, match="takes about 90 s more"):
        _refuse_slow_decoding(10, 100, SURE_SECONDS, 89.0)


def test_what_comes_before_the_first_picture_says_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1001.0, 1004.0])
    monkeypatch.setattr("search.prepare.time.monotonic", lambda: next(clock))
    watch = _DecodingWatch(Console(), lambda: 2000.0)
    watch.decoded(1, 200_000)  # whenever that is
    watch.decoded(101, 200_000)
    with pytest.raises(UserError, match=r"the 200,000 pictures takes about 3996 s more, the time budget ends in 2000"):
        watch.decoded(201, 200_000)


def test_places_that_cannot_be_written_are_said_with_places_that_can(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    shut = tmp_path / "file" / "checkout"
    flags = ["--storage", str(shut / "runs"), "--readme", str(shut / "README.md"), "--cache-dir", str(tmp_path / "c")]
    assert main([*SMALL, "--data", str(pictures), *flags]) == 2
    said = "".join(capfd.readouterr())
    assert "cannot be written" in said and not (tmp_path / "c").exists()
    for flag in ("--storage", "--readme"):
        assert f"{flag} ~/macrotune/" in said
    refuse_unwritable(PlaceFlags(storage=tmp_path / "runs", readme=tmp_path / "README.md"))  # the way out


def test_a_cluster_that_does_not_answer_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port}: nobody answers there"), connect(f"127.0.0.1:{port}"):
        pass
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("trains_on", "units"), [(False, 9 * 2 + 2 * 5), (True, 14 * 2 + 4 * 5)])
def test_a_disk_that_has_no_room_for_the_run_is_refused_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_on: bool, units: int
) -> None:
    asked = AskedStudy.of(storage=tmp_path / "runs", trials=3, concurrency=2, keep=5)
    facts = [ModelFacts(parameters, 1, 1, 1, 1) for parameters in (10**6, 10**7)]
    needed = 4 * 10**7 * units + LOG_BYTES * 3
    free = {"bytes": needed}
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free["bytes"]))
    study = asked.settle(num_cpus=2, num_gpus=0)
    check_disk(study, facts, trains_on=trains_on)
    free["bytes"] -= 1
    with pytest.raises(UserError, match="give another --storage, a lower --concurrency or --keep, or smaller"):
        check_disk(study, facts, trains_on=trains_on)
