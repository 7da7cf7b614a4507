"""Serves a page that shows all runs, and starts, stops, extends and re-trains searches by the very commands.

    python search/serve.py     # or make ui; then open http://127.0.0.1:8470

It is for this machine alone unless --host and --token say otherwise. Ending it, by Ctrl-C or kill -9, ends no search.
It needs the extra `ui` (pip install -e ".[ui]"), and no network.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from search.flags import PlaceFlags, help_default
from search.terminal import exit_code
from trainables.called import as_called, install_command
from trainables.errors import UserError

NEW = "new"
MOST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Options:
    """Serve a page about all runs, on which searches are started, watched and stopped."""

    host: str = "127.0.0.1"
    """Address to serve at. Any other than this machine's own needs --token."""
    port: int = 8470
    """Port to serve at."""
    token: Annotated[str | None, help_default("none")] = None
    """What a browser must bring: at least 16 letters, digits, - and _; or new, which makes one and prints it."""
    roots: Annotated[tuple[Path, ...], help_default("your home folder and the current one")] = ()
    """The page may read pictures below these folders alone."""
    address: Annotated[str | None, help_default("this machine runs them")] = None
    """Job server of a Ray cluster that runs the commands, such as http://10.0.0.7:8265; or auto. The folder of the runs
    and the pictures then lie on a disk that the cluster sees too."""
    places: tyro.conf.OmitArgPrefixes[PlaceFlags] = field(default_factory=PlaceFlags)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MOST_PORT:
            raise UserError(f"--port is {self.port}: it must be between 0 and {MOST_PORT}")
        if self.token is not None and self.token != NEW and not re.fullmatch(r"[A-Za-z0-9_-]{16,}", self.token):
            raise UserError("--token: at least 16 letters, digits, - and _; or new, which makes one")
        if self.token is None and not _is_own(self.host):
            raise UserError(
                f"--host {self.host} lets others in, who could start commands here: give --token new as well, or leave "
                "--host out and come by an SSH tunnel (ssh -L 8470:127.0.0.1:8470 HOST)"
            )

    @property
    def allowed(self) -> tuple[Path, ...]:
        """`roots`, absolute."""
        return tuple(path.expanduser().resolve() for path in self.roots or (Path.home(), Path.cwd()))


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and serves until Ctrl-C; a user's mistake is one message and exit code 2."""
    config = (tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
    return exit_code(lambda: serve(tyro.cli(Options, prog=as_called("search/serve.py"), args=args, config=config)))


def serve(options: Options) -> int:
    """Binds the port, and serves."""
    try:
        import nicegui  # noqa: F401 - looked for here, so that its absence is said in words
    except ImportError as error:
        raise UserError(f"the page needs NiceGUI: {install_command('ui')}") from error
    from results.records.run_folder import address_of
    from search.mirror import MirrorError
    from search.remote_storage import folder_to_read
    from search.service.commands import Places
    from search.service.guard import in_address
    from search.service.server import run_server
    from search.service.service import Service

    bound = _bind(options.host, options.port)
    places, storage = options.places.absolute(), options.places.runs_dir
    try:
        folder_to_read(options.places.storage)
    except MirrorError as error:  # nothing may be there yet
        print(f"Showing only what is in {storage}: {error}")
    bucket = places.remote or address_of(storage)
    token = secrets.token_urlsafe(24) if options.token == NEW else options.token
    service = Service(
        Places(
            storage=storage,
            bucket=bucket,
            readme=places.readme_path if bucket is None or options.places.readme else storage / "README.md",
            cache_dir=places.cache_path,
            roots=options.allowed,
            timezone=places.timezone,
            is_readme_named=options.places.readme is not None,
            on_cluster=options.address is not None,
        ),
        options.address,
    )
    shown = options.host if _is_own(options.host) else socket.gethostname()
    address = f"http://{in_address(shown)}:{bound.getsockname()[1]}/"
    print(f"Runs of {storage}: {address}" + (f"?token={token}" if token else ""))
    if options.address is not None:
        print(f"Commands are jobs of Ray at {options.address}")
    print("Pictures may be read below " + ", ".join(map(str, options.allowed)))
    print("Ctrl-C ends the page, not the searches.", flush=True)
    run_server(service, bound, token)
    return 0


def _bind(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        UserError: The port is in use or not allowed, or there is no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        raise UserError(f"{host}, port {port}: {error.strerror}. Give another --port or --host") from error
    return bound


def _is_own(host: str) -> bool:
    """Whether an address is for this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
