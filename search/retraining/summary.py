"""The end of a re-training: record, table, report, and what came out of it in words."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from results.export import export_retrained
from results.pages.report import write_report
from results.records.experiments import note_retrained
from results.records.retrained import RetrainedModel
from results.records.run_folder import RunFolder
from results.statistics.bootstrap import Interval
from search.retraining.plan import Retraining
from search.retraining.settled import SETTLED
from search.terminal import say, say_if_it_fails, say_result, warn
from trainables.metric_names import in_words
from trainables.second_view import IN_WORDS


def export(retraining: Retraining, result: RetrainedModel, console: Console) -> str:
    """Writes record, table, the line among the experiments and the run's report; says what became of the record."""
    study, source = retraining.study, retraining.source
    said = export_retrained(result, records_dir=study.records_dir, readme=study.readme_path, timezone=study.timezone)
    score, experiments = result.test["macro_f1"], study.records_dir.parent / "experiments.csv"
    ends = (score["value"], score["low"], score["high"])
    with say_if_it_fails(console, f"{experiments} could not be written"):
        note_retrained(experiments, source.name, source.started, result.trial_id, *ends)
    if source.run is not None:
        with say_if_it_fails(console, f"the report of {source.run_dir} could not be written"):
            write_report(source.run_dir)
    return said


def summarize(retraining: Retraining, result: RetrainedModel, said: str, console: Console) -> None:
    """Says what came out of it, and where it is."""
    score = Interval.from_json(result.test["macro_f1"])
    other = ""
    if "score" in result.test:
        other = f", {in_words(result.task.metric)} {Interval.from_json(result.test['score'])},"
    together = f", {result.networks} networks together" if result.networks > 1 else ""
    second = f", each answered with {IN_WORDS[result.second_view]}" if result.second_view else ""
    alone = result.test["groups"] == result.test["pictures"]
    whose = "" if alone else f" of {result.test['groups']} groups"
    say_result(
        console,
        f"Pick: {result.pick_in_words}, {result.epochs} epochs on train and val{together}. Test macro-F1 "
        f"{score}{other} on {result.test['pictures']} pictures{whose} never seen{second}",
    )
    search = next((entry["search"] for entry in result.ranking if entry["trial_id"] == result.trial_id), None)
    before = "" if search is None else f"; in the search {search:.3f}"
    of_what = "" if result.is_tested_as_validated else " (of single networks, for the middle of each picture)"
    say(console, f"On validation it was {result.val_macro_f1:.3f}, {result.gap:+.3f} against the test{of_what}{before}")
    say_result(console, f"Against the default configuration: {result.verdict}")
    if result.test["missing"]:
        warn(console, f"the test side has no picture of {result.missing_in_words}")
    if alone:
        warn(console, "the interval is over pictures: it is too narrow if some show the same person")
    if result.times_scored > 1:
        warn(
            console,
            f"{result.times_scored} models have been scored on this test side by now: each more makes it less "
            f"of a test. To choose between them by it, get an honest score on new {result.units}",
        )
    say(console, f"{said}\nTable: {retraining.study.readme_path}\nModel: {retraining.folder}")


def clear(folder: Path) -> None:
    """Deletes what only the trainings needed."""
    shutil.rmtree(RunFolder(folder).checkpoints, ignore_errors=True)
    (folder / SETTLED).unlink(missing_ok=True)
