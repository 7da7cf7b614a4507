"""Searches for the best configuration of a space on a folder of pictures.

    python search/run.py --space efficientnet

On the built-in data this takes about five minutes on two cores without a GPU, and ends with a new row in the
README's table of results, TensorBoard curves and a record under runs/.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console

from search.study import StudyConfig
from trainables.data.manifest import DataConfig


@dataclass(frozen=True, kw_only=True)
class Options:
    """Search the best configuration of a space on your pictures, by macro-F1."""

    study: tyro.conf.OmitArgPrefixes[StudyConfig] = field(default_factory=StudyConfig)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and searches; a user's mistake is one message and exit code 2."""
    try:
        return search(parse(args), Console())
    except (ValueError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


def parse(args: Sequence[str] | None = None) -> Options:
    """The command line; with --resume on top of the settings of that run."""
    config = (tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
    options = tyro.cli(Options, prog="search/run.py", args=args, config=config)
    options = replace(options, study=options.study.absolute(), data=options.data.absolute())
    if options.study.resume is None:
        return options
    from search.resume import refuse_contradictions, saved_options

    study, data = saved_options(options.study.storage, options.study.resume)
    default = Options(study=study, data=data)
    asked = tyro.cli(Options, prog="search/run.py", args=args, config=config, default=default)
    asked = replace(asked, study=asked.study.absolute(), data=asked.data.absolute())
    refuse_contradictions((study, data), (asked.study, asked.data))
    return asked


def search(options: Options, console: Console) -> int:
    """The pipeline: data, split, cache, weights, search, record, table.

    What is heavy to import is imported after the data have been checked: a mistake there shows in a second.
    """
    from results.export import is_stale
    from search.machine.cluster import connect, this_machine
    from search.machine.free_memory import device_memory
    from search.prepare import prepare_data, refuse_leaks
    from spaces import get_space

    started = time.monotonic()
    with ExitStack() as stack:
        study = options.study
        space = get_space(study.space, [name for name in study.backbones.split(",") if name], study.formulations)
        cluster = this_machine() if study.address is None else stack.enter_context(connect(study.address))
        settle = partial(
            study.settle,
            cluster.num_cpus,
            cluster.num_gpus,
            node_cpus=cluster.node_cpus,
            num_configs=space.num_configs,
        )
        study = settle()
        is_stale(records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)  # raises if broken
        prepared = prepare_data(options.data, study, console) if study.resume is None else None
        leaks = refuse_leaks(prepared, allowed=study.allow_leak) if prepared is not None else []
        # Otherwise the memory of the largest trial may still lower it.
        settled = options.study.concurrency != "auto" or study.num_concurrent == cluster.num_cpus
        ready = study.num_concurrent if settled and study.cpus_per_trial == 1 else None
        free = device_memory(study)
        if study.resume is None and study.address is None:  # so early that workers import while we do
            stack.enter_context(connect(None, ready))

        from results.records.run_folder import RunFolder
        from search.callbacks.monitor import build_monitor
        from search.callbacks.progress import Progress
        from search.callbacks.trial_facts import Remember
        from search.finish import finish, say_forecast, say_if_it_fails, say_start
        from search.machine.forecast import forecast_run, study_epochs
        from search.machine.memory_needs import most_networks, trials_that_fit
        from search.resume import adopt_trials, refuse_other_device, reopen_run
        from search.start import check_device, find_weights, hold, start_run
        from search.stop import StopRequest
        from search.tuner import NamedSearcher, build_tuner, fit, new_scheduler, new_searcher, trial_ids

        check_device(study)
        if prepared is not None:
            weights = find_weights(space, study)
            count = most_networks(space.formulations, prepared.manifest.attributes)
            num_pictures = len(prepared.cache.rows)
            study = settle(trials_that_fit=trials_that_fit(study, weights.backbones, num_pictures, count, free))
            run, run_dir = start_run(study, options.data, space, prepared, leaks, weights, free)
            stack.enter_context(hold(run_dir))
            earlier: tuple = ()
            warnings = run.data["warnings"]
        else:
            run_dir = study.runs_dir / (study.resume or "")
            stack.enter_context(hold(run_dir))
            (run, earlier), warnings = reopen_run(run_dir, study, options.data, console), []
            count = most_networks(space.formulations, run.task.attributes)
            study = settle(trials_that_fit=trials_that_fit(study, list(run.weights), run.data["pictures"], count, free))
            refuse_other_device(run, study)
        space = get_space(study.space, list(run.weights), study.formulations)
        left = run.trials_asked - sum(trial.status.is_over for trial in earlier)
        say_start(run, run_dir, study, warnings, len(earlier), console)
        say_forecast(forecast_run(run, study, left), study.time_budget_seconds, console)
        stop = StopRequest(study.time_budget_seconds, started)
        searcher = new_searcher(space, study, run, run_dir)
        scheduler = new_scheduler(study, run.task.epochs)
        adopt_trials(earlier, searcher, scheduler)
        numbered = NamedSearcher(searcher, stop, trial_ids(earlier, left))
        again = numbered.handed_out_again
        monitor = build_monitor(RunFolder(run_dir), run.task, study.keep, stop, earlier, again)
        progress = Progress(
            console,
            run.trials_asked,
            run.task.epochs,
            study.num_concurrent,
            stop,
            earlier,
            again,
            mean_epochs=study_epochs(study, run.task.epochs, run.trials_asked),
        )
        callbacks = [monitor, progress]
        if study.address is None:
            callbacks.append(Remember(run.task, study.cache_path))
        begins = left > 0 and stop.reason is None  # the preparation may have taken the time budget
        if begins and study.resume is not None and study.address is None:
            stack.enter_context(connect(None, ready))
        tuner = build_tuner(
            run.task,
            study,
            run_dir=run_dir,
            num_trials=left,
            searcher=numbered,
            scheduler=scheduler,
            stop=stop,
            callbacks=callbacks,
        )
        with stop.on_interrupt():
            if begins:
                fit(tuner, stop, one_node=study.address is None)
            progress.close()
            with say_if_it_fails(console, "the study could not be written; a resume writes it again"):
                searcher.close(stop.why or "interrupted")
            return finish(run, run_dir, study, monitor, console, stop.why)


if __name__ == "__main__":
    sys.exit(main())
