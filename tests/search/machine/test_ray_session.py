"""Ray started beside what comes before the first trial."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from search.machine import ray_session as module
from search.machine.cluster import Cluster, ClusterError
from search.machine.ray_session import ray_session


def test_ray_starts_while_the_caller_goes_on_and_ends_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    told, ended = Event(), Event()
    asked = []

    @contextmanager
    def connect(address: str | None, single_core_trials: int | None) -> Iterator[Cluster]:
        asked.append((address, single_core_trials))
        assert told.wait(10)
        yield Cluster(2, 0)
        ended.set()

    monkeypatch.setattr(module, "connect", connect)
    with ray_session() as session:
        with session.starting(2):  # goes on though Ray has not started
            told.set()
        session.start(2)  # which it has, once
        assert not ended.is_set()
    assert ended.is_set()
    assert asked == [(None, 2)]


def test_that_ray_does_not_start_is_told_to_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connect(*_: object) -> Iterator[Cluster]:
        raise ClusterError("Ray does not start here: no room")
        yield Cluster(2, 0)

    monkeypatch.setattr(module, "connect", connect)
    with ray_session() as session, pytest.raises(ClusterError, match="no room"), session.starting():
        pass


def test_a_session_that_stays_off_starts_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "connect", lambda *_: pytest.fail("started"))
    with ray_session() as session:
        session.stay_off()
        with session.starting():
            pass
        session.start()


@pytest.mark.slow
def test_rays_processes_outlive_what_began_them_and_are_gone_with_the_session() -> None:
    import ray

    with ray_session() as session:
        with session.starting():
            pass
        time.sleep(1)  # the kernel ends a process with the thread that began it
        assert ray.get(ray.remote(lambda: 7).remote(), timeout=60) == 7
    assert not ray.is_initialized()
