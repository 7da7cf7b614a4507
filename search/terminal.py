"""What a command says: a line, a warning, what it is doing, and how it ends after a mistake, a crash or Ctrl-C."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from search.machine.home import ensure_home
from trainables.called import as_called
from trainables.errors import UserError

MISTAKE, CRASH, INTERRUPTED = 2, 1, 130
"""Exit codes of a user's mistake, of anything else that went wrong, and of Ctrl-C."""
_REFUSALS = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What the operating system answers to a path that a user can fix: not there, not allowed, full, no folder."""


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
        if not is_refusal(error):
            say_crash(error)
            return CRASH
        say_error(error)
        return MISTAKE
    except Exception as error:
        say_crash(error)
        return CRASH


def is_refusal(error: OSError) -> bool:
    """Whether the operating system refuses a path in a way that a user can fix, and not a fault of ours."""
    return error.filename is not None and error.errno in _REFUSALS


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


class Drawing(Protocol):
    """Something that is drawn in its place again and again, as rich's `Live` is."""

    @property
    def is_started(self) -> bool:
        """Whether it is being drawn."""

    def start(self) -> None:
        """Begins."""

    def stop(self) -> None:
        """Draws it once more, and ends."""


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
        self._live: Drawing | None = None
        self._spinner = Spinner("dots")

    def doing(self, words: str) -> None:
        """Shows beside a spinner and a clock what is being done, until `idle`; a plain line where asked for."""
        self._words = words
        if self.voice.verbose:
            say(self, f"{clock(time.monotonic() - self.started)} {words}")
        elif self._live is None:
            self._live = self.drawing(self._draw, per_second=4, transient=True)
            if self._live is not None:
                self._live.start()

    @property
    def is_alive(self) -> bool:
        """Whether something can be drawn in its place again and again."""
        return self.is_terminal

    def drawing(
        self, draw: Callable[[], RenderableType], *, per_second: float, transient: bool = False
    ) -> Drawing | None:
        """What draws in its place until it is stopped; None where the output is a file, or nothing shall be said.

        Args:
            draw: What to show now.
            per_second: How often it is drawn.
            transient: Whether nothing stays of it.
        """
        if not self.is_alive or self.voice.quiet:
            return None
        return Live(console=self, refresh_per_second=per_second, transient=transient, get_renderable=draw)

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


def count(console: Console, words: str, done: int, total: int) -> None:
    """Shows how far something is where what is drawn is no bar of a terminal: a notebook."""
    if isinstance(console, Terminal) and console.is_alive and not (console.is_terminal or is_verbose(console)):
        console.doing(f"{words}: {done:,} of {total:,}")


def idle(console: Console) -> None:
    """`Terminal.idle`, where the console is one."""
    if isinstance(console, Terminal):
        console.idle()


def drawing(console: Console, draw: Callable[[], RenderableType], *, per_second: float) -> Drawing | None:
    """`Terminal.drawing`; on another console where that is a terminal."""
    if isinstance(console, Terminal):
        return console.drawing(draw, per_second=per_second)
    return Live(console=console, refresh_per_second=per_second, get_renderable=draw) if console.is_terminal else None


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
    console.print(as_called(text), highlight=False, markup=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """Prints a line that stands out."""
    console.print(f"WARNING: {as_called(text)}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)


def say_error(error: BaseException | str) -> None:
    """Prints what went wrong in red, without a traceback."""
    console = Console(stderr=True)
    console.print(f"error: {as_called(str(error))}", style="bold red", highlight=False, markup=False, soft_wrap=True)


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
