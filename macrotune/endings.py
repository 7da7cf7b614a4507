"""How a call ends early: exceptions in the place of the commands' exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.machine.home import ensure_home
from search.terminal import CRASH, INTERRUPTED, is_refusal, warn
from trainables.called import as_called, calls_from_python
from trainables.errors import UserError


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button: all is saved, and the message says how to go on.

    Attributes:
        folder: Of the run; None where there was none yet.
    """

    def __init__(self, message: str, folder: Path | None = None) -> None:
        super().__init__(message)
        self.folder = folder

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: where in our code the signal arrived tells nobody anything."""
        return [f"Interrupted: {self}"]


class RunFailedError(RuntimeError):
    """What was asked for was tried and came to nothing; the message says where its story is."""


NOT_BEGUN = "before the first trial could begin: the same call starts it again"
NOTHING_WRITTEN = "no answer was written: the same call begins again"


@contextmanager
def in_python(stopped: str = NOTHING_WRITTEN) -> Iterator[None]:
    """While inside, messages speak of calls and not of commands; a user's mistake says them likewise.

    Args:
        stopped: What is said of Ctrl-C where nobody inside says more.
    """
    with calls_from_python():
        if note := ensure_home():
            from rich.console import Console

            warn(Console(stderr=True), note)
        try:
            yield
        except UserError as error:
            if len(error.args) == 1 and isinstance(error.args[0], str):
                error.args = (as_called(error.args[0]),)
            raise
        except OSError as error:
            if not is_refusal(error):
                raise
            raise UserError(as_called(str(error))) from error
        except Interrupted:
            raise
        except KeyboardInterrupt as error:
            raise Interrupted(stopped) from error


def raise_unless_done(exit_code: int, folder: Path, again: str, *, crash: BaseException | None = None) -> None:
    """Turns what a command would return into an exception.

    Args:
        exit_code: Of the command.
        folder: Of the run.
        again: The command that goes on.
        crash: What Ray or the driver died of, if one did.

    Raises:
        Interrupted: It was Ctrl-C.
        SystemExit: It was SIGTERM, which ends the process.
        RunFailedError: Nothing could be trained.
        BaseException: The crash.
    """
    if exit_code == INTERRUPTED:
        raise Interrupted(f"{folder} is whole, nothing is lost. Go on with: {as_called(again)}", folder)
    if exit_code > INTERRUPTED:
        raise SystemExit(exit_code)
    if crash is not None:
        raise crash
    if exit_code == CRASH:
        raise RunFailedError(
            f"nothing came of {folder}: events.jsonl in it says what happened. Try: {as_called(again)}"
        )
