"""Ray for one command: found out what there is to compute on, started when it is wanted, and gone at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from search.machine.cluster import Cluster, connect, this_machine


class RaySession:
    """The machine or cluster that trials run on."""

    def __init__(self, address: str | None, stack: ExitStack) -> None:
        """Joins the cluster at the address; on this machine, Ray starts only when it is wanted.

        Raises:
            ClusterError: There is no cluster at the address.
        """
        self._stack = stack
        self._started = address is not None
        self.cluster: Cluster = this_machine() if address is None else stack.enter_context(connect(address))

    def stay_off(self) -> None:
        """Keeps Ray from being started by this session: only what comes before it is wanted."""
        self._started = True

    def start(self, single_core_trials: int | None = None) -> None:
        """Starts Ray on this machine, unless it has started or a cluster was joined.

        Args:
            single_core_trials: As in `connect`: workers that begin to import what a trial needs.
        """
        if not self._started:
            self._started = True
            self._stack.enter_context(connect(None, single_core_trials))


@contextmanager
def ray_session(address: str | None = None) -> Iterator[RaySession]:
    """A session that ends with the block, and leaves no process behind."""
    with ExitStack() as stack:
        yield RaySession(address, stack)
