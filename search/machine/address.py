"""Where the cluster is: by the flag, by `RAY_ADDRESS` or by the job that this command is; and whether it answers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from search.machine.ray_shortcuts import ASK_CLUSTER
from trainables.errors import UserError
from trainables.reason import reason_of

ADDRESS = "RAY_ADDRESS"
"""Environment variable of Ray's: the cluster to join where none is named."""
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that Ray sets for the command of a job."""
THIS_MACHINE = "local"
"""What to say for this machine alone where the environment names a cluster."""
SOCKET_SECONDS = 3.0
"""How long a host may take to answer at all."""
REPLY_SECONDS = 10.0
"""How long the head may take to say which nodes it has: Ray itself would ask again for minutes."""
AUTHENTICATION = "docs/cluster.md#a-token"
"""Where the way out of a wrong token is told step by step."""
AS_A_JOB = "ray job submit --address {address} --working-dir . -- python search/run.py ..."
"""What to type on a machine that is no node; the job runs in a copy of the folder it is submitted from."""
JOB_SERVER = "http://HEAD:8265"
"""Where a head takes jobs if it is not told another port."""


class ClusterError(UserError):
    """The cluster cannot be reached; names the address and the way out."""


@dataclass(frozen=True)
class _Reply:
    """What a head said to who asked for its nodes."""

    addresses: Sequence[str] = ()
    """Of the hosts of its nodes."""
    error: str = ""
    """Kind of Ray's error; empty if there was none."""
    words: str = ""
    """What the error says."""


def given_address(flag: str | None, environment: Mapping[str, str] | None = None) -> str | None:
    """The cluster that a command is to join; None for this machine alone.

    Args:
        flag: `--address`; None if it was left out.
        environment: Where Ray's own words are looked for; by default that of this process.

    Raises:
        ClusterError: The environment names an address that is for jobs.
    """
    environment = os.environ if environment is None else environment
    if flag is not None:
        return None if flag == THIS_MACHINE else flag
    if JOB in environment:
        return "auto"
    named = environment.get(ADDRESS) or None
    if named is not None and named.startswith(("http://", "https://")):
        raise ClusterError(
            f"{ADDRESS}={named} is for jobs: run this command as one, by {AS_A_JOB.format(address=named)}, or give "
            f"--address {THIS_MACHINE} to stay on this machine"
        )
    return None if named == THIS_MACHINE else named


def refuse_silence(address: str) -> None:
    """Finds out within seconds whether a cluster answers that this machine is a node of.

    Raises:
        ClusterError: It does not, or it wants another token, or this machine is none of its nodes.
    """
    _refuse_spelling(address)
    if address != "auto":
        _refuse_closed(address)
    reply = _ask(address)
    if reply.error:
        raise ClusterError(_refusal(address, reply))
    if reply.addresses and not _is_here(reply.addresses):
        raise ClusterError(
            f"--address {address}: this machine is none of the {len(reply.addresses)} nodes of that cluster "
            f"({', '.join(reply.addresses[:3])}{', ...' * (len(reply.addresses) > 3)}). Run the command on one of "
            f"them, or from here as a job: {AS_A_JOB.format(address=JOB_SERVER)}"
        )


def _refuse_spelling(address: str) -> None:
    if address.startswith("ray://"):
        raise ClusterError(
            f"--address {address}: a search is no client of Ray's, its logs and models would stay there. Run it in the "
            f"cluster instead: {AS_A_JOB.format(address=JOB_SERVER)}"
        )
    if address != "auto" and not _HOST_AND_PORT.fullmatch(address):
        raise ClusterError(
            f"--address {address}: give auto on a node of the cluster, or the head's host and port, as in "
            "10.0.0.7:6379 (6379 is what ray start --head takes if it is not told another)"
        )


_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")


def _refuse_closed(address: str) -> None:
    host, _, port = address.rpartition(":")
    failed: list[OSError | OverflowError] = []

    def knock() -> None:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SOCKET_SECONDS).close()
        except (OSError, OverflowError) as error:
            failed.append(error)

    thread = threading.Thread(target=knock, daemon=True)  # to find a host's address has no limit of its own
    thread.start()
    thread.join(SOCKET_SECONDS + 1)
    if thread.is_alive() or (failed and isinstance(failed[0], socket.gaierror)):
        why = reason_of(failed[0]) if failed else f"no answer within {SOCKET_SECONDS:.0f} s"
        raise ClusterError(f"--address {address}: the address of the host {host} cannot be found ({why})")
    if failed:
        raise ClusterError(
            f"--address {address}: nobody answers there ({failed[0]}). Is the head running (ray start --head), and may "
            "this machine reach its port?"
        ) from failed[0]


def _ask(address: str) -> _Reply:
    """Asks the head for its nodes, in a process of its own: Ray ends the process that has no token."""
    command = [sys.executable, "-c", ASK_CLUSTER, address, str(SOCKET_SECONDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=REPLY_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _Reply(error="silence")
    try:
        return _Reply(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        found = re.search(r"Check failed:.*?(RAY_AUTH_TOKEN_PATH is set[^\n]*|Token auth[^\n]*)", done.stderr)
        return (
            _Reply(error="no token", words=found[1].rstrip(".")) if found else _Reply()
        )  # Ray has changed: ray.init will tell


def _refusal(address: str, reply: _Reply) -> str:
    """What to do about an error of the head."""
    mode = os.environ.get("RAY_AUTH_MODE")
    here = f"RAY_AUTH_MODE is {mode} here" if mode else "RAY_AUTH_MODE is not set here"
    same = f"The same token belongs on every host: {AUTHENTICATION}"
    if reply.error == "silence":
        return (
            f"--address {address}: somebody listens there, but has not answered as a head of Ray does within "
            f"{REPLY_SECONDS:.0f} s. Is it the port of the head (6379), not of the dashboard (8265) or of a client "
            "(10001), and does it run this version of Ray?"
        )
    if reply.error == "no token":
        return f"--address {address}: {here}, and there is no token to show: {reply.words}. {same}"
    if reply.error == "AuthenticationError":
        if mode == "token":
            return (
                f"--address {address}: the cluster wants a token, and refuses the one of this shell ({here}; "
                f"{_token_place()}). {same}"
            )
        return (
            f"--address {address}: the cluster wants a token, and this shell shows none ({here}). Set "
            f"RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the cluster's token. {same}"
        )
    if address == "auto" and reply.error == "ConnectionError":
        return (
            "--address auto: no cluster runs on this machine. Start one (ray start --head), join one (ray start "
            "--address HEAD:6379), or name it by --address HOST:PORT"
        )
    return f"--address {address}: no cluster answers there, {reply.error}: {reply.words}"


def _token_place() -> str:
    """Where Ray takes the token from here."""
    if "RAY_AUTH_TOKEN" in os.environ:
        return "it is in RAY_AUTH_TOKEN"
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return f"it is in {path}, by RAY_AUTH_TOKEN_PATH" if path else "it is in ~/.ray/auth_token"


def _is_here(addresses: Sequence[str]) -> bool:
    """Whether one of these is this machine: by its networks, or as a node runs here whose address is another."""
    own = {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}
    return not own.isdisjoint(addresses) or any(
        process.info["name"] == "raylet" for process in psutil.process_iter(["name"])
    )
