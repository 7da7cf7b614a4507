"""Which cluster a command joins, and how soon it knows that there is none."""

from __future__ import annotations

import socket
import time

import pytest

from search.machine.address import ClusterError, given_address, refuse_silence
from search.study import AskedStudy

AT = "10.0.0.7:6379"
JOB = {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_ADDRESS": AT}


@pytest.mark.parametrize(
    ("flag", "environment", "address"),
    [
        (None, {}, None),
        (None, {"RAY_ADDRESS": ""}, None),
        (None, {"RAY_ADDRESS": AT}, AT),
        (None, {"RAY_ADDRESS": "auto"}, "auto"),
        (None, {"RAY_ADDRESS": "local"}, None),
        (None, JOB, "auto"),
        ("local", JOB, None),
        ("local", {}, None),
        ("auto", {"RAY_ADDRESS": AT}, "auto"),
        ("10.0.0.8:6379", JOB, "10.0.0.8:6379"),
    ],
)
def test_the_flag_counts_then_the_job_then_the_environment(
    flag: str | None, environment: dict[str, str], address: str | None
) -> None:
    assert given_address(flag, environment) == address


def test_a_study_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", AT)
    assert AskedStudy().where_told().machine.address == AT
    assert AskedStudy.of(address="local").where_told().machine.address is None


def test_an_address_of_jobs_is_refused() -> None:
    job = r"by ray job submit --address http://10\.0\.0\.7:8265 --working-dir \. -- python search/run\.py"
    with pytest.raises(ClusterError, match=job):
        given_address(None, {"RAY_ADDRESS": "http://10.0.0.7:8265"})


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://10.0.0.7:10001", r"ray job submit --address http://HEAD:8265 --working-dir \. -- python "),
        ("10.0.0.7", "host and port"),
        (":6379", "host and port"),
        ("10.0.0.7:port", "host and port"),
        ("http://10.0.0.7:8265", "host and port"),
        ("no-such-host.invalid:6379", "cannot be found"),
        ("127.0.0.1:99999", "nobody answers there"),
    ],
)
def test_what_is_no_address_is_refused_in_seconds(address: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=message):
        refuse_silence(address)
    assert time.monotonic() - began < 8


@pytest.mark.slow
def test_who_listens_and_is_no_head_is_told_from_a_cluster() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"{address}: somebody listens there, but has not answered"):
            refuse_silence(address)
