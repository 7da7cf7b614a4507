"""A user's mistake and a machine's fault, apart from everything else that can go wrong."""

from __future__ import annotations


class UserError(ValueError):
    """What a user can fix: its message is one line that names the file, the value and the way out.

    A command prints it and exits with 2. Every other exception keeps its traceback, and the command exits with 1.
    """


class NodeFaultError(Exception):
    """A trial could not go on because of the machine it was on: not its result, and another machine may do better."""

    def __init__(self, reason: str, node_id: str = "", node: str = "") -> None:
        """Takes what travels to the driver.

        Args:
            reason: What happened, in a line.
            node_id: Ray's name of the node.
            node: The node's host name and address, for people.
        """
        super().__init__(reason, node_id, node)
        self.reason, self.node_id, self.node = reason, node_id, node

    def __str__(self) -> str:
        """The reason, and where."""
        return f"{self.reason} (node {self.node})"
