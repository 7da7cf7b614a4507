"""What a command says: a line, a warning, what it is doing, and how it ends after a mistake, a crash or Ctrl-C."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from search.machine.home import ensure_home
from trainables.errors import UserError

MISTAKE, CRASH, INTERRUPTED = 2, 1, 130
"""Exit codes of a user's mistake, of anything else that went wrong, and of Ctrl-C."""
_REFUSALS = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What the operating system answers to a path that a user can mend: not there, not allowed, full, no folder."""


def exit_code(command: Callable[[], int | None]) -> int:
    """Runs a command to its end, whatever that is, with a HOME if the user has none.

    Returns:
        What the command returns, nothing standing for 0. `MISTAKE` after a user's mistake, which is one message;
        `CRASH` after any other exception, whose traceback is shown; `INTERRUPTED` after Ctrl-C.
    """
    try:
        if note := ensure_home():
            warn(Console(stderr=True), note)
        return command() or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except UserError as error:
        say_error(error)
        return MISTAKE
    except OSError as error:
        if error.filename is None or error.errno not in _REFUSALS:
            say_crash(error)
            return CRASH
        say_error(error)
        return MISTAKE
    except Exception as error:
        say_crash(error)
        return CRASH


@dataclass(frozen=True, kw_only=True)
class VoiceFlags:
    """How much to say."""

    quiet: bool = False
    """Say only warnings, errors and the result."""
    verbose: bool = False
    """Say also each step of the preparation and each epoch, with the time since the command began."""

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UserError("--quiet and --verbose contradict each other: give one of them")


class Terminal(Console):
    """A console that knows when its command began and how much to say, and shows what is being done meanwhile."""

    def __init__(self, voice: VoiceFlags | None = None, started: float | None = None, **more: Any) -> None:
        """Shows nothing yet.

        Args:
            voice: How much to say.
            started: When the command began, by `time.monotonic`; by default now.
            more: What else rich's console takes.
        """
        super().__init__(**more)
        self.voice = voice or VoiceFlags()
        self.started = time.monotonic() if started is None else started
        self._words = ""
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def doing(self, words: str) -> None:
        """Shows beside a spinner and a clock what is being done, until `idle`; a plain line where asked for."""
        self._words = words
        if self.voice.verbose:
            say(self, f"{clock(time.monotonic() - self.started)} {words}")
        elif self.is_terminal and not self.voice.quiet and self._live is None:
            self._live = Live(console=self, refresh_per_second=4, transient=True, get_renderable=self._draw)
            self._live.start()

    def idle(self) -> None:
        """Takes the spinner away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> RenderableType:
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner.render(time.monotonic()), clock(time.monotonic() - self.started), Text(self._words))
        return line


def doing(console: Console, words: str) -> None:
    """`Terminal.doing`, where the console is one."""
    if isinstance(console, Terminal):
        console.doing(words)


def idle(console: Console) -> None:
    """`Terminal.idle`, where the console is one."""
    if isinstance(console, Terminal):
        console.idle()


def started_at(console: Console) -> float:
    """When the command began, by `time.monotonic`; now where the console does not know."""
    return console.started if isinstance(console, Terminal) else time.monotonic()


def is_quiet(console: Console) -> bool:
    """Whether only warnings, errors and the result are said."""
    return isinstance(console, Terminal) and console.voice.quiet


def is_verbose(console: Console) -> bool:
    """Whether each step is said."""
    return isinstance(console, Terminal) and console.voice.verbose


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(console: Console, text: str) -> None:
    """Prints a line as it is, unless the command shall be quiet."""
    if not is_quiet(console):
        say_result(console, text)


def say_result(console: Console, text: str) -> None:
    """Prints a line as it is, also where the command shall be quiet."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """Prints a line that stands out."""
    console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)


def say_error(error: BaseException | str) -> None:
    """Prints what went wrong in red, without a traceback."""
    console = Console(stderr=True)
    console.print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)


def say_crash(error: BaseException) -> None:
    """Prints an exception that is nobody's mistake but the program's, with its traceback."""
    Console(stderr=True).print(
        "".join(traceback.format_exception(error)), highlight=False, markup=False, soft_wrap=True
    )


@contextmanager
def say_if_it_fails(console: Console, what: str) -> Iterator[None]:
    """For what must not cost the result: an exception becomes a warning."""
    try:
        yield
    except Exception as error:
        warn(console, f"{what}: {error}")
