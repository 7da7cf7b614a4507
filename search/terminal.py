"""What a command says: a line, a warning, and how it ends after a mistake, a crash or Ctrl-C."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

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


def say(console: Console, text: str) -> None:
    """Prints a line as it is."""
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
