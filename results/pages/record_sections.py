"""The page of records in Markdown: a section per record with all that the results table has no room for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from results.pages.cells import (
    augmentation,
    by_picture,
    clock,
    duration,
    escape,
    exact,
    hyper_parameters,
    interval,
    missed_weights,
    number,
    three,
    trials,
)
from results.pages.table import anchors_of, in_order, key_of
from results.records.cost import energy_in_words
from results.records.record import BestTrial, units_of
from results.records.retrained import VALIDATED, RetrainedModel, retrained_of
from results.records.shelf import data_name
from trainables.config import TaskConfig, TrialConfig
from trainables.metric_names import in_words
from trainables.second_view import IN_WORDS

Lines = list[tuple[str, str]]
"""What a line of a section is about, and what it says, in plain text."""


def render_records(
    records: Sequence[BestTrial], timezone: str | None = None, retrained: Sequence[RetrainedModel] = ()
) -> str:
    """Renders a section per record, in the order of the results table; each has the anchor that its row links to.

    The arguments and errors are those of `results.pages.table.render_table`.
    """
    shifted = clock(timezone)
    if not records:
        return "No records yet: `python search/run.py` writes the first one."
    anchors = anchors_of(records)
    records = in_order(records)
    sections = (
        _section(record, retrained_of(record, retrained), shifted, anchors[key_of(record)]) for record in records
    )
    return "\n\n".join(sections)


def _section(
    record: BestTrial, final: RetrainedModel | None, shifted: Callable[[datetime], datetime], anchor: str
) -> str:
    lines = _search(record, shifted) + _retraining(record, final, shifted)
    rows = [f"| {escape(name)} | {escape(words) or '–'} |" for name, words in lines]
    title = f"### {escape(record.space)} on {escape(data_name(record))}"
    head = [f'<a id="{anchor}"></a>', "", title, "", "| | |", "| --- | --- |"]
    return "\n".join([*head, *rows])


def _search(record: BestTrial, shifted: Callable[[datetime], datetime]) -> Lines:
    report = record.report
    return [
        ("run", f"{record.run}, begun {_date(record.date, shifted)}"),
        ("best trial", f"{record.trial_id}, at its best in epoch {report.epoch} of {record.epochs_trained} trained"),
        ("backbone", record.config.backbone),
        (
            "validation",
            f"{_searched(record)}macro-F1 {number(report.val_macro_f1)}, accuracy {number(report.val_accuracy)}, "
            f"loss {number(report.val_loss)}",
        ),
        *_worth(record),
        ("training", f"macro-F1 {number(report.train_macro_f1)}, loss {number(report.train_loss)}"),
        *_settings(record.config, record.task),
        (
            "schedule",
            f"up to {max(record.task.epochs, record.epochs_trained)} epochs a trial, precision {record.task.precision}",
        ),
        ("trials", trials(record.trials)),
        ("started from", record.history),
        *_pictures(record.data, record.split_hash),
        ("weights", "random init" if record.weights == "random" else record.weights),
        *([("weights missed", missed_weights(record.weights_note))] if record.weights_note else []),
        ("cost", _cost(record)),
        (
            "hardware",
            f"{record.hardware}; trained on {record.task.device}, threads of a trial: "
            f"{record.task.num_threads or 'all'}",
        ),
        ("seed", str(record.seed)),
        *_code(record.commit, record.versions),
    ]


def _searched(record: BestTrial) -> str:
    """The metric that was searched for, where that is another than macro-F1."""
    metric = record.task.metric
    return "" if metric == "macro_f1" else f"{in_words(metric)} {number(record.report.val_score)} (searched for), "


def _other(final: RetrainedModel) -> str:
    return f"; {in_words(final.task.metric)} {interval(final.test['score'])}" if "score" in final.test else ""


def _worth(record: BestTrial) -> Lines:
    """What the best validation score is worth, where the answers behind it were kept."""
    lines = []
    if record.val_interval is not None:
        lines.append((f"validation {in_words(record.task.metric)} [95%]", interval(record.val_interval)))
    if record.val_corrected is not None:
        words = f"{interval(record.val_corrected)}, as picked on other {record.units} than those it is scored on"
        lines.append(("corrected for the choice", words))
    return lines


def _retraining(record: BestTrial, final: RetrainedModel | None, shifted: Callable[[datetime], datetime]) -> Lines:
    if final is None:
        return [("re-training", f"none yet: python scripts/retrain.py --run {record.run}")]
    how = f"{final.folds} folds" if final.folds else f"seeds {', '.join(map(str, final.seeds))}"
    times = f"; this test side has been scored {final.times_scored} times" if final.times_scored > 1 else ""
    second = final.second_view
    asked = f", answering to the middle of each picture and to {IN_WORDS[second]}" if second else ""
    together = f": {final.networks} networks of as many seeds together{asked}" if final.networks > 1 else asked
    lines = [
        ("re-training", f"{_date(final.date, shifted)}, over {how}"),
        *((f"re-ranked, {place}", _candidate(entry)) for place, entry in enumerate(final.best_first, start=1)),
        (
            "picked",
            f"{final.pick_in_words}, trained on train and val for {final.epochs} of {final.task.epochs} "
            f"epochs{together}",
        ),
    ]
    if final.config != record.config:
        lines += [(f"{name} of the pick", words) for name, words in _settings(final.config, final.task)]
    if final.out_of_fold is not None:
        lines.append((f"out of fold {in_words(final.task.metric)} [95%]", interval(final.out_of_fold)))
    return [
        *lines,
        (
            "test macro-F1 [95%]",
            f"{interval(final.test['macro_f1'])}{_other(final)}; {in_words(final.task.metric)} on validation over "
            f"seeds or folds was {three(final.val_macro_f1)} ({_flattery(final)})",
        ),
        ("test accuracy [95%]", interval(final.test["accuracy"])),
        ("test loss [95%]", interval(final.test["loss"])),
        (
            "test side",
            f"{final.test['pictures']:,} pictures{_of_groups(final.test, final.data)}, {final.test_side}{times}",
        ),
        *([("classes without a test picture", final.missing_in_words)] if final.test["missing"] else []),
        (f"default configuration, test {in_words(final.task.metric)} [95%]", interval(final.default_test)),
        ("verdict", final.verdict),
        ("weights of the pick", f"{final.weights}; trained file sha256:{final.weights_sha256[:12]}"),
        ("cost of re-training", _final_cost(final)),
        ("hardware of re-training", final.hardware),
        *((f"{name} of re-training", words) for name, words in _code(final.commit, final.versions)),
    ]


def _flattery(final: RetrainedModel) -> str:
    """How much validation promised too much, where it is about the same thing as the test."""
    return f"gap {three(final.gap)}" if final.is_tested_as_validated else f"of {VALIDATED}"


def _settings(config: TrialConfig, task: TaskConfig) -> Lines:
    return [
        ("dropout", exact(config.dropout)),
        ("augmentation", augmentation(config)),
        ("other settings", hyper_parameters(config, task)),
    ]


def _pictures(data: Mapping[str, Any], split_hash: str) -> Lines:
    words = [str(data.get("source") or "pictures"), f"{_count(data.get('pictures'))} pictures"]
    words += [f"{_count(data['groups']) if data['groups'] else 'no'} groups"] if "groups" in data else []
    words += [f"{_count(data['classes'])} classes"] if "classes" in data else []
    words += [f"{_count(len(data['skipped']))} left out as unreadable"] if data.get("skipped") else []
    words += [f"{_count(data['corrected'])} corrected"] if data.get("corrected") else []
    sides = [
        f"{name} {_count(side.get('pictures'))}{_of_groups(side, data)}"
        for name, side in (data.get("sides") or {}).items()
    ]
    if by_picture(data):
        by = "split by picture, which flatters every score"
    elif units_of(data) == "pictures":
        by = "split by picture (the data name no groups)"
    else:
        by = "split by group"
    return [("pictures", ", ".join(words)), ("split", f"{', '.join([*sides, by])}; {split_hash}")]


def _of_groups(side: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Of how many groups a side's pictures are; empty where the split knows none."""
    return f" of {_count(side.get('groups'))} groups" if units_of(data) == "people" else ""


def _cost(record: BestTrial) -> str:
    words = [f"{duration(record.wall_seconds)} in all", f"{duration(record.device_seconds)} of training added up"]
    words += [f"{record.search_epochs:,} epochs"] if record.search_epochs is not None else []
    words += [f"{record.epochs_saved:,} epochs saved by ASHA"] if record.epochs_saved is not None else []
    words += [f"{record.images_trained:,} pictures trained"] if record.images_trained is not None else []
    words += [f"{duration(record.compile_seconds)} compiling"] if record.compile_seconds else []
    words += [energy_in_words(record.energy_joules)] if record.energy_joules is not None else []
    return ", ".join(words)


def _final_cost(final: RetrainedModel) -> str:
    words = [f"{duration(final.wall_seconds)} in all", f"{duration(final.device_seconds)} of training added up"]
    words += [f"{final.images_trained:,} pictures trained"] if final.images_trained is not None else []
    words += [energy_in_words(final.energy_joules)] if final.energy_joules is not None else []
    return ", ".join(words)


def _candidate(entry: Mapping[str, Any]) -> str:
    searched = entry.get("search")
    before = "not in the search" if searched is None else f"{three(searched)} in the search"
    return (
        f"{entry['trial_id']}, {entry['backbone']}: mean {three(entry['mean'])}, standard deviation "
        f"{three(entry['std'])}, best in epoch {entry['epoch']}; {before}"
    )


def _code(commit: str | None, versions: Mapping[str, str]) -> Lines:
    short_commit = re.sub(r"^([0-9a-f]{8})[0-9a-f]+", r"\1", commit or "") or "not known"
    words = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [("commit", short_commit), *([("versions", words)] if words else [])]


def _date(date: str, shifted: Callable[[datetime], datetime]) -> str:
    return shifted(datetime.fromisoformat(date)).isoformat(" ", "minutes")


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "an unknown number of"
