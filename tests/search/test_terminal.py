"""How a command ends: a mistake is one message, a crash keeps its traceback."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable

import pytest

from search.terminal import (
    CRASH,
    INTERRUPTED,
    MISTAKE,
    Terminal,
    VoiceFlags,
    doing,
    exit_code,
    idle,
    say,
    say_result,
    warn,
)
from trainables.errors import UserError


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "has_traceback"),
    [
        (UserError("--trials is 0"), MISTAKE, False),
        (FileNotFoundError(errno.ENOENT, "No such file", "faces.csv"), MISTAKE, False),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), MISTAKE, False),
        (OSError("a library's own words"), CRASH, True),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), CRASH, True),
        (ValueError("not a user's"), CRASH, True),
        (KeyError("x"), CRASH, True),
    ],
)
def test_only_a_users_mistake_is_one_message(
    error: Exception, code: int, has_traceback: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error)) == code
    said = capsys.readouterr().err
    assert ("Traceback" in said) == has_traceback
    assert str(error.args[-1]) in said


def test_what_a_command_returns_is_its_exit_code_and_ctrl_c_is_130() -> None:
    assert [exit_code(lambda: None), exit_code(lambda: 1)] == [0, 1]
    assert exit_code(raising(KeyboardInterrupt())) == INTERRUPTED


def a_terminal(voice: VoiceFlags | None = None, *, is_terminal: bool = True) -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(voice, started=0.0, file=out, force_terminal=is_terminal, width=80), out


def test_what_is_being_done_shows_with_a_clock_until_something_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 67.0)
    terminal, out = a_terminal()
    doing(terminal, "reading the pictures")
    doing(terminal, "starting Ray")
    idle(terminal)
    assert "1:07" in out.getvalue()


def test_a_log_has_no_spinner_and_with_verbose_a_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 67.0)
    terminal, out = a_terminal(is_terminal=False)
    doing(terminal, "starting Ray")
    assert out.getvalue() == ""
    terminal, out = a_terminal(VoiceFlags(verbose=True), is_terminal=False)
    doing(terminal, "starting Ray")
    assert out.getvalue() == "1:07 starting Ray\n"


def test_quiet_leaves_warnings_and_the_result() -> None:
    terminal, out = a_terminal(VoiceFlags(quiet=True))
    doing(terminal, "starting Ray")
    say(terminal, "Forecast")
    warn(terminal, "few people")
    say_result(terminal, "Best")
    assert "Forecast" not in out.getvalue()
    assert "few people" in out.getvalue()
    assert "Best" in out.getvalue()


def test_quiet_and_verbose_contradict_each_other() -> None:
    with pytest.raises(UserError, match="--quiet and --verbose"):
        VoiceFlags(quiet=True, verbose=True)
