"""Trains the best configurations of a search again, picks one, and scores it once on people it has never seen.

    python scripts/retrain.py --space efficientnet

After `python search/run.py --space efficientnet` on the built-in data this takes about ten minutes on two cores
without a GPU. It ends with the test macro-F1 and its 95% interval in the README's row, and with the weights in
runs/<name>/retrained, for scripts/evaluate.py, scripts/predict.py or plain timm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console

from scripts.terminal import run_command
from search.study import StudyConfig, help_default
from trainables.data.manifest import DataConfig


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """What to train again, how often, and where."""

    space: Annotated[str | None, help_default("efficientnet")] = None
    """Search space whose record (results/best/<space>.json) names the search; or path/to/file.py:function."""
    record: Annotated[Path | None, help_default("that of --space")] = None
    """Record of a search, such as results/best/efficientnet.json."""
    run: Annotated[str | None, help_default("that of the record")] = None
    """Name of a run under --storage."""
    trial: Annotated[str | None, help_default("the best of them")] = None
    """With a run: this trial alone, beside the default configuration."""
    top_k: int = 3
    """Best trials of the search to rank again; the default configuration always comes along."""
    seeds: Annotated[int | None, help_default("3")] = None
    """Seeds to train each of them with; none may be that of the search."""
    folds: Annotated[int | None, help_default("seeds on the search's split")] = None
    """Rank over so many folds of train and val people instead, for small sets."""
    no_final: bool = False
    """Only rank; the test side is not touched and nothing is written into the README."""
    storage: Path = ROOT / "runs"
    """Folder of the runs."""
    readme: Path = ROOT / "README.md"
    """Markdown file with the results table; records live beside it, in results/."""
    timezone: Annotated[str | None, help_default("local")] = None
    """Time zone of the table's dates, such as Europe/Paris."""
    seed: Annotated[int | None, help_default("the search's, plus one")] = None
    """First of the seeds."""
    device: str = "auto"
    """auto, cpu or cuda."""
    concurrency: int | Literal["auto"] = "auto"
    """Trainings at the same time, at least 1; auto: as in a search."""
    cpus_per_trial: Annotated[int | None, help_default("an equal share of the cores")] = None
    """Cores, and threads, of a training."""
    gpus_per_trial: Annotated[float | Literal["auto"] | None, help_default("1 where there is a GPU, else 0")] = None
    """GPUs of a training, from 0; a fraction lets some share one, auto: the one that the largest needs."""
    weights: str = "auto"
    """Where the weights of the search are: auto, or a folder of <timm name>.safetensors."""
    cache_dir: Annotated[Path | None, help_default("~/.cache/macrotune")] = None
    """Folder of decoded pictures, demo pictures and converted weights."""
    address: Annotated[str | None, help_default("this machine alone")] = None
    """Ray cluster to join, such as auto or 10.0.0.7:6379."""

    def __post_init__(self) -> None:
        for name, low in (("top_k", 1), ("seeds", 1), ("seed", 0)):
            if getattr(self, name) is not None and getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {low}")
        if sum(value is not None for value in (self.space, self.record, self.run)) > 1:
            raise ValueError("--space, --record and --run each name the search: give one of them")
        if self.seeds is not None and self.folds is not None:
            raise ValueError("--seeds on the search's split or --folds of train and val: give one of them")
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"--folds is {self.folds}: it must be at least 2")
        if self.trial is not None and self.run is None and self.record is None:
            raise ValueError("--trial names a trial of a run: say which by --run NAME")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"--device is {self.device!r}: it must be auto, cpu or cuda (which: CUDA_VISIBLE_DEVICES)")
        if self.device == "cuda" and self.gpus_per_trial == 0:
            raise ValueError("--device cuda needs a GPU, or a part of one, by --gpus-per-trial")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the winner of a search again and score it on people it has never seen."""

    retrain: tyro.conf.OmitArgPrefixes[RetrainConfig] = field(default_factory=RetrainConfig)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and trains; a user's mistake is one message and exit code 2."""
    return run_command(
        Options,
        lambda options: retrain(options.retrain, options.data.absolute(), Console()),
        args,
        prog="scripts/retrain.py",
    )


def retrain(config: RetrainConfig, data: DataConfig, console: Console) -> int:
    """The pipeline: search, pictures, ranking, final trainings, the test side, record, table."""
    from results.export import is_stale
    from search.machine.cluster import connect, this_machine
    from search.retraining.origin import from_record, from_run, open_pictures, weights_to_start_from
    from spaces import space_name

    asked = StudyConfig(
        space=config.space or "efficientnet",
        storage=config.storage,
        readme=config.readme,
        timezone=config.timezone,
        cache_dir=config.cache_dir,
        concurrency=config.concurrency,
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=0 if config.device == "cpu" else config.gpus_per_trial,
        weights=config.weights,
        address=config.address,
    ).absolute()
    space = space_name(asked.space)
    record = config.record or asked.records_dir / f"{space}.json"
    if config.run is None and not record.exists():
        raise ValueError(f"{record}: no such record; search first (search/run.py --space {asked.space}), or give --run")
    is_stale(records_dir=asked.records_dir, readme=asked.readme_path, timezone=asked.timezone)  # raises if broken
    source = from_run(asked.runs_dir, config.run) if config.run else from_record(record, asked)
    from results.statistics.ranking import candidates

    listed, control = candidates(source.trials, source.default, config.top_k, config.trial)
    first_seed = source.task.seed + 1 if config.seed is None else config.seed
    seeds = [first_seed + number for number in range(config.folds or config.seeds or 3)]
    if config.folds is None and source.task.seed in seeds:
        raise ValueError(
            f"--seed {first_seed}: {source.task.seed} is the seed of the search, whose luck it would repeat"
        )
    cache_path, split = open_pictures(source, data, asked.cache_path, console)
    if not config.no_final and not (split.table["split"] == "test").any():
        raise ValueError("the split has no test side to score on: rank only, by --no-final")
    backbones = list(dict.fromkeys(candidate.config.backbone for candidate in listed))
    files = weights_to_start_from(source, backbones, asked.weights, asked.cache_path)

    with ExitStack() as stack:
        cluster = this_machine() if asked.address is None else stack.enter_context(connect(asked.address))
        task = source.task
        asked = replace(asked, epochs=task.epochs, image_size=task.image_size, batch_size=task.batch_size)
        settle = partial(asked.settle, cluster.num_cpus, cluster.num_gpus, node_cpus=cluster.node_cpus)
        study = settle()
        if config.device == "cuda" and not study.gpus:
            raise ValueError("--device cuda: there is no GPU here")

        from results.export import export_retrained
        from results.pages.report import write_report
        from results.records.experiments import note_retrained
        from search.finish import say_if_it_fails
        from search.machine.free_memory import device_memory
        from search.machine.memory_needs import most_networks, trials_that_fit
        from search.retraining.stages import Settled, clear, rank_again, score_finals, summarize, train_finals
        from search.start import check_device, check_disk, hold
        from search.stop import StopRequest

        folder = source.run_dir / "retrained"
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(hold(folder, "trained again"))
        check_device(study)
        count = most_networks({candidate.config.formulation for candidate in listed}, source.task.attributes)
        study = settle(trials_that_fit=trials_that_fit(study, backbones, len(split.table), count, device_memory(study)))
        check_disk(replace(study, keep=2, trials=len(seeds) * len(listed)), backbones, count)
        split.save(folder / "split.csv")
        task = replace(
            source.task,
            cache_path=str(cache_path),
            split_path=str(folder / "split.csv"),
            checkpoint_dir=str(folder / "checkpoints"),
            device="cuda" if study.gpus else "cpu",
            num_threads=study.cpus_per_trial or 1,
            weights=files,
            compile=False,  # as exact, and there may be no compiler here
        )
        if asked.address is None:
            stack.enter_context(connect(None))
        settled = Settled(source, task, split, study, folder, seeds, config.folds)
        stop = StopRequest(None)
        ranking = rank_again(settled, listed, stop, console)
        if ranking is None or config.no_final:
            return int(ranking is None)
        finals = ranking[:1] + [ranked for ranked in ranking[1:] if ranked.candidate == control]
        jobs = train_finals(settled, finals, stop, console)
        if jobs is None:
            return 1
        result = score_finals(settled, ranking, jobs)
        said = export_retrained(
            result, records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone
        )
        summarize(settled, result, said, console)
        score, experiments = result.test["macro_f1"], study.records_dir.parent / "experiments.csv"
        ends = (score["value"], score["low"], score["high"])
        with say_if_it_fails(console, f"{experiments} could not be written"):
            note_retrained(experiments, source.name, source.started, result.trial_id, *ends)
        if source.run is not None:
            with say_if_it_fails(console, f"the report of {source.run_dir} could not be written"):
                write_report(source.run_dir)
        clear(folder)
        return 0


if __name__ == "__main__":
    sys.exit(main())
