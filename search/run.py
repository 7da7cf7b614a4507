"""Searches for the best configuration of a space on a folder of pictures.

    python search/run.py --space efficientnet

On the built-in data this takes about five minutes on two cores without a GPU, and ends with a new row in the
README's table of results, TensorBoard curves and a record under runs/.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
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
    """Search for the best configuration of a space on a folder of pictures, scored by macro-F1."""

    study: tyro.conf.OmitArgPrefixes[StudyConfig] = field(default_factory=StudyConfig)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)


def main() -> int:
    """Parses the command line and searches; a user's mistake is one message and exit code 2."""
    console = Console()
    try:
        options = tyro.cli(Options, config=(tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff))
        return search(options, console)
    except (ValueError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        return 2


def search(options: Options, console: Console) -> int:
    """The pipeline: data, split, cache, weights, search, record, table."""
    from search.cluster import connect, this_machine
    from search.finish import finish, say_start
    from search.monitor import Monitor
    from search.prepare import prepare_data
    from search.progress import Progress
    from search.start import start_run
    from search.stop import StopRequest
    from search.tuner import build_tuner, new_searcher
    from spaces import get_space

    with ExitStack() as stack:
        study = options.study
        space = get_space(study.space, [name for name in study.backbones.split(",") if name])
        cluster = this_machine() if study.address is None else stack.enter_context(connect(study.address))
        study = study.settle(cluster.num_cpus, cluster.num_gpus)
        prepared = prepare_data(options.data, study, console)
        run, run_dir, space = start_run(study, options.data, space, prepared)
        say_start(run, run_dir, prepared, console)
        stop = StopRequest(study.time_budget_seconds)
        monitor = Monitor(run_dir, run.task.classes, run.task.epochs, stop)
        progress = Progress(console, run.trials_asked, run.task.epochs, study.concurrency or 1, stop)
        searcher = new_searcher(space, study, run.task.epochs, run_dir)
        if study.address is None:
            stack.enter_context(connect(None))
        tuner = build_tuner(
            run.task, study, run_dir=run_dir, searcher=searcher, stop=stop, callbacks=[monitor, progress]
        )
        try:
            with stop.on_interrupt():
                tuner.fit()
        except KeyboardInterrupt:  # Ctrl-C for the second time: what there is by then is still written below
            pass
        finally:
            progress.close()
            searcher.close(stop.reason or "an error")
    return finish(run, run_dir, study, console, stop.reason)


if __name__ == "__main__":
    sys.exit(main())
