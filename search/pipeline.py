"""A search from its flags to its row in the table, step by step."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from results.pages.run_index import write_run_index
from results.records.run_folder import RunFolder
from results.records.summary import summaries
from results.records.trials import BEGUN, DRIVER
from search.announce import announce, describe
from search.callbacks.trackers import build_trackers
from search.checks import refuse_absent_trackers, refuse_taken_name, refuse_unwritable
from search.engine.engine import build_engine, second_of
from search.engine.seeds import OwnSeeds
from search.finish import finish, way_on
from search.lengths import paced_length
from search.machine.forecast import study_epochs
from search.machine.ray_session import RaySession
from search.mirror import Mirror
from search.open_run import OpenRun
from search.remote_storage import mirrored, open_mirror, refuse_folder_of_another, refuse_taken_there, said_there
from search.resume import resume_run
from search.run_trials import Workload, crashes_noted, run_trials
from search.start import begin_run
from search.stop import StopRequest, seconds_to_search
from search.study import AskedStudy
from search.terminal import idle, say_error, say_if_it_fails, warn
from search.tuner import trial_ids
from trainables.data.manifest import DataConfig
from trainables.errors import UserError


@dataclass(frozen=True)
class Ended:
    """How a search ended, and where what it left is."""

    exit_code: int
    """0 if there is a best trial, 1 if not or if the driver crashed, 130 after Ctrl-C."""
    folder: RunFolder
    crash: Exception | None
    """What the driver, or Ray, crashed with."""
    way_on: str
    """The command that goes on with it."""


def search(asked: AskedStudy, data: DataConfig, console: Console, started: float) -> Ended:
    """Searches, and leaves record, table and report.

    Args:
        asked: How to search; paths absolute.
        data: Which pictures.
        console: Where everything is said.
        started: When the command began, by `time.monotonic`: the time budget counts from then.

    Raises:
        UserError: Something asked for cannot be had; nothing has been trained then.
    """
    stop = StopRequest(seconds_to_search(asked.search.time_budget_seconds), started)
    with ExitStack() as stack:
        stack.callback(show_all_runs, asked.places.runs_dir, console)  # last of all, when nobody is at the run any more
        mirror = open_mirror(asked.places, asked.run.name, asked.run.resume)
        stack.enter_context(said_there(mirror, asked.run.resume))  # from when it is held on: opening it takes its time
        session = RaySession(asked.machine.address, stack)
        open_run = begin_run if asked.run.resume is None else resume_run
        opened = open_run(asked, data, session, stack, console, stop)
        if mirror is not None and asked.run.resume is None:
            _refuse_taken_meanwhile(mirror, opened.folder)
        session.copy_soon = stack.enter_context(mirrored(mirror, opened.run.name, partial(warn, console)))
        go_on = way_on(opened)
        with crashes_noted(opened.folder, go_on):
            announce(opened, console)
            show_all_runs(opened.folder.path.parent, console)
            networks = {backbone: float(known.activations) for backbone, known in opened.facts.known.items()}
            engine = build_engine(opened.space, opened.study, opened.run, opened.folder, opened.earlier, networks, stop)
            with stop.on_interrupt(go_on), _told_if_cut_short(go_on):
                proposer = OwnSeeds(engine.searcher, opened.run.task.seed) if opened.run.own_seeds else engine.searcher
                budget = asked.search.time_budget
                opened.folder.append_event(DRIVER, BEGUN, time_budget=budget)  # something is left to do until it ends
                run_trials(workload(opened, console), proposer, engine.scheduler, session, stop, console)
                with say_if_it_fails(console, "the study could not be written; a resume writes it again"):
                    engine.searcher.close(stop.why or "interrupted")
                return Ended(finish(opened, session, stop, console), opened.folder, stop.crash, go_on)


def _refuse_taken_meanwhile(mirror: Mirror, folder: RunFolder) -> None:
    """Refuses a new run whose name the bucket has by now, and deletes its folder: to begin it may have taken minutes.

    Raises:
        UserError: It has, or it cannot be read.
    """
    try:
        refuse_taken_there(mirror, folder.path.name)
    except UserError:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise


@contextmanager
def _told_if_cut_short(command: str) -> Iterator[None]:
    """Says which command writes what is not written, should the second Ctrl-C come before all is."""
    try:
        yield
    except KeyboardInterrupt:
        say_error(f"ended before record, table and report were written; this command writes them: {command}")
        raise


def check(asked: AskedStudy, data: DataConfig, console: Console, started: float) -> int:
    """Does all that comes before the first trial but for starting Ray, says it, and leaves nothing.

    Args:
        asked: How to search; paths absolute.
        data: Which pictures.
        console: Where everything is said.
        started: When the command began, by `time.monotonic`: the time budget counts from then.

    Returns:
        The exit code.

    Raises:
        UserError: What the search itself would raise.
    """
    if asked.run.resume is not None:
        raise UserError("--check is for a new search: a run that goes on has been checked")
    refuse_unwritable(asked.places)
    refuse_absent_trackers(asked.track)
    if asked.places.remote is not None:
        refuse_folder_of_another(asked.places)
        Mirror(asked.places.remote, asked.places.runs_dir).refuse_shut()
    refuse_taken_name(asked.run.name, asked.places.runs_dir)
    with ExitStack() as stack:
        session = RaySession(asked.machine.address, stack)
        session.stay_off()
        aside = Path(stack.enter_context(TemporaryDirectory(prefix="macrotune-check-")))
        history = "none" if asked.history_path is None else str(asked.history_path)
        stop = StopRequest(seconds_to_search(asked.search.time_budget_seconds), started)
        session.look_at_nodes(asked, console, stop.seconds_left)  # no other node sees the folder aside
        opened = begin_run(asked.replace(storage=aside, history=history), data, session, stack, console, stop)
        idle(console)
        describe(opened, console)
    return 0


def show_all_runs(storage: Path, console: Console) -> None:
    """Writes the page of all runs anew, if there is a run; that it cannot be written costs no result."""
    with say_if_it_fails(console, f"the page of all runs in {storage} could not be written"):
        if rows := summaries(storage):
            write_run_index(storage, rows)


def workload(opened: OpenRun, console: Console) -> Workload:
    """The trials that a run still owes."""
    run, study = opened.run, opened.study
    second = second_of(run)
    return Workload(
        folder=opened.folder,
        task=run.task,
        study=study,
        waiting=trial_ids(opened.earlier, opened.num_left),
        num_trials=run.trials_asked,
        earlier=opened.earlier,
        keep=study.keep,
        cost_of=None if second is None else second.cost,
        mean_epochs=study_epochs(study, run.trials_asked),
        trackers=build_trackers(study.track, run.name, opened.folder.path, partial(warn, console)),
        length=paced_length(study, run.data["sides"]["train"]["pictures"]) if study.goes_on else None,
        single_core_trials=opened.single_core_trials,
    )
