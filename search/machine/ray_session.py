"""Ray for one command: found out what there is to compute on, started when it is wanted, and gone at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Event, Thread

from rich.console import Console

from search.machine.cluster import Cluster, connect, this_machine
from search.machine.placement import Room
from search.machine.preflight import NodeFacts
from search.machine.roster import Roster
from search.machine.scaling import wait_for_nodes
from search.study import AskedStudy
from search.terminal import doing, warn


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
        self.roster: Roster | None = None
        """The nodes of a cluster, once it was looked at them."""
        self.copy_soon: Callable[[], None] = lambda: None
        """Asks for a copy of the run where its storage is no folder."""
        self._joined = address is not None

    def look_at_nodes(self, asked: AskedStudy, console: Console, seconds_left: float) -> None:
        """On a cluster: waits for nodes that a trial fits on, and asks each what it is like, once; else does nothing.

        Args:
            asked: What a trial is to have, and which folders nodes must see.
            console: Where the waiting shows, and who is left out.
            seconds_left: Of the time budget.

        Raises:
            UserError: There is no node that trials can run on.
        """
        if not self._joined or self.roster is not None:
            return
        self._stack.enter_context(wait_for_nodes(asked.machine, console, seconds_left))
        doing(console, "asking the nodes what they are like")
        places = asked.places
        self.roster = Roster(places.runs_dir, places.cache_path, partial(warn, console))
        self.roster.look()

    def look_for_weights(self, files: Collection[str]) -> None:
        """On a cluster: leaves out the nodes that do not have the weights; else does nothing.

        Raises:
            UserError: No node has them.
        """
        if self.roster is not None and files:
            self.roster.look(files)

    def rooms(self, trials_in: Callable[[NodeFacts], int | None] | None = None) -> tuple[Room, ...] | None:
        """What the nodes of the cluster have for trials; None on this machine.

        Args:
            trials_in: How many trials have room in a node's memory; by default that is not known.
        """
        if self.roster is None:
            return None
        if trials_in is not None:
            self.roster.trials_in = trials_in
        return self.roster.rooms()

    def stay_off(self) -> None:
        """Keeps Ray from being started by this session: only what comes before it is wanted."""
        self._started = True

    @contextmanager
    def starting(self, single_core_trials: int | None = None, console: Console | None = None) -> Iterator[None]:
        """Starts Ray beside what is inside, as most of Ray's seconds are spent on waiting; at its end it has started.

        Inside there must be no linear algebra: Ray forks, and OpenBLAS ends its threads before a fork, even those that
        another thread waits for, which it then does for ever.

        Args:
            single_core_trials: As in `connect`.
            console: Where it shows that Ray is waited for.

        Raises:
            ClusterError: Ray does not start.
        """
        started = None
        if not self._started:
            self._started = True
            started = self._stack.enter_context(_ray_of_a_thread(single_core_trials))
        yield
        if started is not None:
            if console is not None:
                doing(console, "starting Ray")
            started.result()

    def start(self, single_core_trials: int | None = None, console: Console | None = None) -> None:
        """Starts Ray on this machine, unless it has started or a cluster was joined.

        Args:
            single_core_trials: As in `connect`: workers that begin to import what a trial needs.
            console: Where it shows that Ray is waited for.

        Raises:
            ClusterError: Ray does not start.
        """
        with self.starting(single_core_trials, console):
            pass


@contextmanager
def _ray_of_a_thread(single_core_trials: int | None) -> Iterator[Future[Cluster]]:
    """Ray on this machine, started by a thread that lives as long as it, while the caller goes on.

    Linux ends Ray's processes as soon as the thread ends that began them, not the process (`PR_SET_PDEATHSIG`).
    """
    started: Future[Cluster] = Future()
    end = Event()

    def hold() -> None:
        try:
            with connect(None, single_core_trials) as cluster:
                started.set_result(cluster)
                end.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = Thread(target=hold, name="ray", daemon=True)
    thread.start()
    try:
        yield started
    finally:
        end.set()
        thread.join()


@contextmanager
def ray_session(address: str | None = None) -> Iterator[RaySession]:
    """A session that ends with the block, and leaves no process behind."""
    with ExitStack() as stack:
        yield RaySession(address, stack)
