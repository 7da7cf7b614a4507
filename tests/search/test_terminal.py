"""How a command ends: a mistake is one message, a crash keeps its traceback."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from search.terminal import CRASH, INTERRUPTED, MISTAKE, exit_code
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
