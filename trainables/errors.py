"""A user's mistake, apart from everything else that can go wrong."""

from __future__ import annotations


class UserError(ValueError):
    """What a user can mend: its message is one line that names the file, the value and the way out.

    A command prints it and exits with 2. Every other exception keeps its traceback, and the command exits with 1.
    """
