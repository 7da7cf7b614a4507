"""Scores saved models on labelled pictures and writes a report with figures.

    python scripts/evaluate.py MODEL --split runs/NAME/split.csv

The report has macro-F1, accuracy and loss with 95% intervals over people, or pictures where the data name nobody, each
class and attribute, what is confused with what, the most confident mistakes, and people who are wrong throughout.
Several models are averaged. A thousand pictures take a minute on two cores without a GPU, most of it for the network.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import tyro

from results.records.run_folder import RunFolder
from scripts.terminal import at_home, progress, run_command, voiced
from search.flags import help_default
from search.terminal import Terminal, VoiceFlags, doing
from trainables.data.cache import default_cache_dir
from trainables.data.labelled import LabelledPictures, bad_pictures_error, read_pictures, real_paths
from trainables.data.manifest import DataConfig
from trainables.data.rows import read_split
from trainables.errors import UserError
from trainables.free_names import numbered
from trainables.machine.home import can_write
from trainables.second_view import IN_WORDS, MIRRORED
from trainables.strict_json import RecordError, load_object

TEST = "test"

if TYPE_CHECKING:
    from results.statistics.evaluation import Answers, Evaluation
    from trainables.saved.saved_model import SavedModel


@dataclass(frozen=True, kw_only=True)
class LabelledData(DataConfig):
    """Which pictures to score on."""

    data: Path | None = None
    """Competition folder, CSV with the columns path,label, or folder of classes."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Score saved models on labelled pictures and write a report with figures."""

    models: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL [MODEL ...]")]
    """Folders of saved models, or of runs (the re-trained model, else what the search left); several are averaged."""
    out: Path | None = None
    """Folder of the report; by default evaluation/ in the first model's folder, or evaluation-2/ and so on, where that
    is of other pictures."""
    split: Path | None = None
    """A run's split.csv: only one side of it is scored; without --data, straight from this file."""
    side: Annotated[Literal["train", "val", "test"] | None, help_default("test")] = None
    """The side of --split."""
    device: str = "auto"
    """auto, cpu, cuda or another torch device."""
    address: str | None = None
    """Ray cluster whose nodes answer: auto on one of its nodes, or the head's HOST:PORT; by default this machine."""
    batch_size: int = 64
    """Pictures that go through a network at once."""
    cache_dir: Path | None = None
    """Folder of the decoded pictures; by default ~/.cache/macrotune."""
    readme: Annotated[Path | None, help_default("that of the model's run; else README.md")] = None
    """README; results/test_scores.csv beside it notes every model that is scored on a test side."""
    tta: bool = False
    """Average over each picture and a mirrored view of it, also where a model would not by itself."""
    data: tyro.conf.OmitArgPrefixes[LabelledData] = field(default_factory=LabelledData)
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)

    def __post_init__(self) -> None:
        if self.side is not None and self.split is None:
            raise UserError(f"--side {self.side} is one of a split: say of which by --split, as runs/NAME/split.csv")


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and evaluates; a user's mistake is one message and exit code 2."""
    return run_command(
        Options,
        lambda options: voiced(options.voice, partial(_evaluate, options), STARTED, stderr=True),
        args,
        prog="scripts/evaluate.py",
    )


def _evaluate(options: Options, console: Terminal) -> None:
    evaluate(options, console)


def evaluate(options: Options, console: Terminal) -> tuple[Evaluation, Path]:
    """The pipeline: pictures, models, answers, scores, report.

    What is heavy to import is imported after the data have been checked: a mistake there shows in a second.

    Returns:
        All scores, and the folder of the report.
    """
    options = at_home(options)
    doing(console, "reading the labels")
    pictures = read_pictures(options.data.absolute(), options.split, options.side or TEST)

    from results.pages.evaluation_report import MARKER, WHAT, save_evaluation
    from results.pages.report_folder import refuse_foreign_folder
    from results.records.models import model_folders
    from results.statistics.evaluation import evaluate_answers
    from search.machine.answering_nodes import answering_on, joined
    from trainables.parts.loading import using
    from trainables.saved.predict import load_models, predict_probabilities
    from trainables.saved.saved_model import load_parts, refuse_other_classes

    doing(console, "loading the network")
    address = joined(options.address)
    models = load_models(model_folders(options.models), options.device if address is None else "cpu")
    classes = models[0].description.classes
    absent = refuse_other_classes(classes, pictures.labels)
    facts = _facts(options, models)
    out = options.out or _default_out(models[0].path, facts)
    refuse_foreign_folder(out, MARKER, WHAT)
    for line in pictures.understood:
        print(line.encode(errors="backslashreplace").decode())
    known_as = real_paths(pictures.known_as)
    sides = _sides(models)
    looks = _note_test_sides(options, models, known_as)
    cache_dir = options.cache_dir or default_cache_dir()
    with answering_on(address, models, options.device, cache_dir, console) as answer, progress(console) as show:
        predictions = predict_probabilities(
            models,
            pictures.paths,
            cache_dir=cache_dir,
            batch_size=options.batch_size,
            flip=options.tta,
            on_progress=show,
            memory_bytes=options.data.picture_bytes,
            answer=answer,
            on_bad=partial(_refuse_bad, options, len(set(pictures.paths))),
        )
    doing(console, "computing scores and intervals, drawing the report")
    answers = _answers(models[0], pictures, predictions.paths, predictions.probabilities)
    with using(load_parts(models[0].description, models[0].path)):
        evaluation = evaluate_answers(answers)
    warnings = [*_seen_in_words(sides, known_as), *_looks_in_words(looks)]
    warnings += [*_warnings(pictures, absent, predictions.bad), *predictions.warnings]
    save_evaluation(out, evaluation, facts, warnings)
    console.idle()
    _say(evaluation, warnings, out)
    return evaluation, out


def _refuse_bad(options: Options, count: int, bad: Mapping[str, str]) -> None:
    """Raises a `UserError` for pictures that cannot be read, of so many, before those that can are answered."""
    if len(bad) == count:
        raise UserError(f"no picture can be read, {next(iter(bad))} first: name others by --data")
    if not options.data.skip_bad:
        raise bad_pictures_error(dict(bad))


def _answers(
    model: SavedModel, pictures: LabelledPictures, paths: tuple[str, ...], probabilities: np.ndarray
) -> Answers:
    from results.statistics.evaluation import Answers
    from results.statistics.measure import Measure

    readable, described = pictures.only(set(paths)), model.description
    index = {name: place for place, name in enumerate(described.classes)}
    return Answers(
        classes=described.classes,
        paths=readable.paths,
        labels=np.array([index[label] for label in readable.labels]),
        probabilities=probabilities,
        groups=readable.groups,
        attributes=described.attributes,
        measure=Measure(described.metric),
    )


def _facts(options: Options, models: Sequence[SavedModel]) -> dict[str, str]:
    """What is evaluated on what, for the head of the report."""
    described = [
        f"{model.path.resolve()} ({model.description.name}, {model.description.image_size} px, "
        f"SHA-256 {model.description.weights_sha256[:12]})"
        for model in models
    ]
    facts = {"model": described[0]} if len(models) == 1 else {}
    facts |= {f"model {place}": text for place, text in enumerate(described, 1) if len(models) > 1}
    if options.data.data is not None:
        facts["data"] = str(options.data.data.expanduser().resolve())
    if options.split is not None:
        facts["side"] = f"{options.side or TEST} of {options.split.expanduser().resolve()}"
    second = [model.description.second_view for model in models]
    views = dict.fromkeys(IN_WORDS[MIRRORED[view] if options.tta else view] for view in second)
    facts["asked beside the middle"] = ", ".join(views)
    return facts


def _default_out(model: Path, facts: Mapping[str, str]) -> Path:
    """The folder beside a model for a report of these pictures, which replaces none of others."""
    return next(model / name for name in numbered("evaluation") if _is_of(model / name, facts))


def _is_of(report: Path, facts: Mapping[str, str]) -> bool:
    """Whether a report of the pictures may be there: one of them is, or nothing, or what is refused all the same."""
    from results.pages.evaluation_report import MARKER

    try:
        known = load_object(report / MARKER)["facts"]
        return all(known.get(name) == facts.get(name) for name in ("data", "side"))
    except (OSError, RecordError, KeyError, AttributeError):
        return True


def _sides(models: Sequence[SavedModel]) -> dict[str, str]:
    """The pictures of the splits that lie beside the models, by `real_paths`, and the side of each.

    One that any of them has seen counts as seen.
    """
    sides: dict[str, str] = {}
    for model in models:
        split = RunFolder(model.path).split_csv
        if split.exists():
            rows = read_split(split)
            for path, row in zip(real_paths(row.path for row in rows), rows, strict=True):
                if sides.get(path, TEST) == TEST:
                    sides[path] = row.split
    return sides


def _note_test_sides(options: Options, models: Sequence[SavedModel], paths: Collection[str]) -> int:
    """Writes down, before it is done, which models are scored on pictures, by `real_paths`, of their test sides.

    Returns:
        How many models have been scored on a test side by now; where the models have several, on the one of most.
    """
    from results.records.scorings import ledger_of, note_scoring, side_hash

    times: dict[str, int] = {}
    scored = set(paths)
    for model in models:
        split = RunFolder(model.path).split_csv
        rows = [row for row in read_split(split) if row.split == TEST] if split.exists() else []
        if scored.isdisjoint(real_paths(row.path for row in rows)):
            continue
        side = side_hash((row.path, row.label, row.group) for row in rows)
        ledger = ledger_of(model.path, options.readme)
        if not can_write(ledger.parent):
            raise UserError(
                f"{ledger} cannot be written, where it is noted that a test side is scored: name a README of yours by "
                "--readme, beside which it is noted then"
            )
        times[side] = note_scoring(
            ledger,
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            test_side=side,
            weights_sha256=model.description.weights_sha256,
            run=str(model.description.record.get("run", "")),
            model=model.path.name,
        )
    return max(times.values(), default=0)


def _seen_in_words(sides: Mapping[str, str], paths: Sequence[str]) -> list[str]:
    """A sentence about those of the pictures that a model has seen, by `_sides`, with the way out; none without any."""
    seen = sum(sides.get(path, TEST) != TEST for path in paths)
    if not seen:
        return []
    way_out = "Score it on pictures that it has not seen."
    if TEST in sides.values():
        way_out = "To score on its test side alone, give --split with the split.csv beside the model."
    what = "are ones that the model was trained on or picked by: the scores flatter it."
    return [f"{seen:,} of these pictures {what} {way_out}"]


def _looks_in_words(looks: int) -> list[str]:
    if looks < 2:
        return []
    return [f"{looks} models have been scored on this test side by now: each more makes it less of a test."]


def _warnings(pictures: LabelledPictures, absent: Sequence[str], bad: Mapping[str, str]) -> list[str]:
    warnings = []
    if pictures.groups is None:
        warnings.append(
            "No groups in the data: intervals are over pictures, and too narrow if some show the same person."
        )
    elif len(set(pictures.groups)) == 1:
        warnings.append("All pictures are of one group, which says nothing about others: there are no intervals.")
    if absent:
        warnings.append(f"No picture of the class{'es' * (len(absent) > 1)} {', '.join(absent)}.")
    skipped = [*pictures.skipped, *(f"{path}: {reason}" for path, reason in bad.items())]
    if skipped:
        warnings.append(
            f"{len(skipped)} bad picture{'s are' * (len(skipped) > 1) or ' is'} left out; the first: {skipped[0]}."
        )
    return warnings


def _say(evaluation: Evaluation, warnings: Sequence[str], out: Path) -> None:
    from results.records.confusion import confused_pairs

    scores = evaluation.scores
    print(f"{len(evaluation.answers.paths):,} pictures")
    print(f"macro-F1 {scores.macro_f1}, accuracy {scores.accuracy}, loss {evaluation.loss}")
    if evaluation.other is not None:
        print(f"{evaluation.answers.measure.words} {evaluation.other}, which it was searched for")
    for name, part in evaluation.attributes.items():
        print(f"  {name}: macro-F1 {part.macro_f1}")
    for pair in confused_pairs(scores.confusion.tolist(), scores.names, top=3):
        print(f"  {pair}")
    for warning in warnings:
        print(f"note: {warning}")
    print(f"report: {out / 'report.md'}")


if __name__ == "__main__":
    sys.exit(main())
