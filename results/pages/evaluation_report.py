"""An evaluation as a folder: a report in Markdown, its pictures beside it, and tables to go on with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from results.pages.figures import confusion_figure, save_png
from results.pages.markdown import markdown_cell, render_markdown_table
from results.pages.report_folder import replace_folder
from results.pages.sheets import picture_sheet
from results.records.confusion import confused_pairs, save_confusion
from results.statistics.bootstrap import LEVEL, NUM_RESAMPLES
from results.statistics.evaluation import Answers, Evaluation, LabelScores, class_scores
from trainables.csv_text import csv_text

MARKER = "evaluation.json"
WHAT = "an evaluation"
"""The scores for programs, and the sign that a folder is an evaluation, which may be replaced."""
SHEET_COLUMNS, SHEET_ROWS = 6, 4
MAX_GROUPS = 30
"""Groups wrong throughout that a report lists."""


def save_evaluation(out: Path, evaluation: Evaluation, facts: Mapping[str, str], warnings: Sequence[str]) -> None:
    """Writes everything into a new folder that takes the place of an earlier evaluation at the end.

    Args:
        out: The folder, which must not hold anything else.
        evaluation: What to report.
        facts: What was evaluated on what, for the head of the report.
        warnings: What to know before trusting the scores.

    Raises:
        ValueError: `out` holds something else.
        OSError: The folder cannot be written.
    """
    with replace_folder(out, MARKER, WHAT, _numbers(evaluation) | {"facts": dict(facts)}) as draft:
        figures = _figures(evaluation)
        for name, (_, figure) in figures.items():
            save_png(figure, draft / name)
        words = {name: caption for name, (caption, _) in figures.items()}
        (draft / "report.md").write_text(render_report(evaluation, facts, warnings, words), encoding="utf-8")
        save_confusion(draft / "confusion.csv", evaluation.scores.confusion.tolist(), evaluation.scores.names)
        for name, rows in _tables(evaluation).items():
            (draft / name).write_text(csv_text(rows), encoding="utf-8", newline="")


def render_report(
    evaluation: Evaluation, facts: Mapping[str, str], warnings: Sequence[str], figures: Mapping[str, str]
) -> str:
    """The report in Markdown.

    Args:
        evaluation: What to report.
        facts: What was evaluated on what.
        warnings: What to know before trusting the scores.
        figures: File name to caption of the pictures beside the report.
    """
    answers = evaluation.answers
    number = len(answers.paths)
    units = f"{len(set(answers.groups)):,} groups" if answers.groups else f"{number:,} pictures"
    confusions = [name for name in figures if name.startswith("confusion")]
    blocks = [
        "# Evaluation",
        render_markdown_table(("", ""), [(name, value) for name, value in facts.items()]),
        *(f"**Note:** {markdown_cell(warning)}" for warning in warnings),
        "## Scores",
        f"The brackets are {LEVEL:.0%} intervals from {NUM_RESAMPLES:,} bootstrap samples of the {units}. Macro-F1 is "
        "over the classes that occur among labels or answers.",
        _score_table(evaluation),
        "## Classes",
        _class_table(evaluation.scores),
        "## Most often confused",
        "\n".join(
            f"* {markdown_cell(str(pair))}"
            for pair in confused_pairs(evaluation.scores.confusion.tolist(), answers.classes)
        )
        or "No picture was answered wrongly.",
        *(_picture(name, figures[name]) for name in confusions),
    ]
    if evaluation.attributes:
        blocks += [
            "## Attributes",
            "Each attribute by itself: the probabilities of all classes with the same value are added up. Together, "
            "these values make the class that is scored as *attributes together* above.",
        ]
        for place, (name, scores) in enumerate(evaluation.attributes.items()):
            blocks += [f"### {markdown_cell(name)}", _class_table(scores)]
            blocks += [_picture(file, figures[file]) for file in figures if file == _attribute_file(place, name)]
    blocks += ["## Most confident mistakes", *_mistakes(evaluation, figures)]
    if answers.groups:
        blocks += ["## Groups wrong throughout", *_wrong_groups(evaluation)]
    blocks.append(
        "The numbers are in per_class.csv, confusion.csv and predictions.csv (one row a picture), and for programs "
        f"in {MARKER}."
    )
    return "\n\n".join(blocks) + "\n"


def _score_table(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    rows = [("class", str(scores.macro_f1), str(scores.accuracy), str(evaluation.loss))]
    rows += [(name, str(part.macro_f1), str(part.accuracy), "") for name, part in evaluation.attributes.items()]
    if evaluation.joint is not None:
        rows.append(("attributes together", str(evaluation.joint.macro_f1), str(evaluation.joint.accuracy), ""))
    if evaluation.other is None:
        return render_markdown_table(("answer", "macro-F1", "accuracy", "loss"), rows)
    head = ("answer", "macro-F1", "accuracy", "loss", evaluation.answers.measure.words)
    others = [str(evaluation.other), *[""] * (len(rows) - 1)]
    return render_markdown_table(head, [(*row, other) for row, other in zip(rows, others, strict=True)])


def _class_table(scores: LabelScores) -> str:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    rows = [
        (one.name, number(one.precision), number(one.recall), number(one.f1), f"{one.count:,}", f"{one.answered:,}")
        for one in class_scores(scores.confusion, scores.names)
    ]
    return render_markdown_table(("class", "precision", "recall", "F1", "pictures", "answered"), rows)


def _mistakes(evaluation: Evaluation, figures: Mapping[str, str]) -> list[str]:
    if not evaluation.mistakes:
        return ["None."]
    answers, chosen = evaluation.answers, evaluation.answers.chosen
    shown = evaluation.mistakes[: SHEET_COLUMNS * SHEET_ROWS]
    rows = [
        (
            answers.classes[answers.labels[row]],
            answers.classes[chosen[row]],
            f"{answers.probabilities[row, chosen[row]]:.1%}",
            answers.paths[row],
        )
        for row in shown
    ]
    return [
        f"{len(evaluation.mistakes):,} of {len(answers.paths):,} pictures were answered wrongly; these most "
        "confidently. Wrong labels are often among them.",
        *(_picture(name, figures[name]) for name in figures if name == "mistakes.png"),
        render_markdown_table(("true", "answered", "probability", "file"), rows),
    ]


def _wrong_groups(evaluation: Evaluation) -> list[str]:
    found = evaluation.wrong_groups
    if not found:
        return ["None: in every group with at least two pictures, at least one was classified correctly."]
    blocks = [
        f"{len(found):,} group{'s' * (len(found) != 1)} of at least two pictures without a correct answer. Look here "
        "first for label errors.",
        render_markdown_table(
            ("group", "pictures", "true", "answered"),
            [(one.group, str(one.count), one.labels, one.answers) for one in found[:MAX_GROUPS]],
        ),
    ]
    return blocks + [f"... and {len(found) - MAX_GROUPS} more"] * (len(found) > MAX_GROUPS)


def _figures(evaluation: Evaluation) -> dict[str, tuple[str, Figure]]:
    """File name to caption and figure."""
    answers, scores = evaluation.answers, evaluation.scores
    figures = {}
    for name, caption, diagonal, normalized in (
        ("confusion.png", "Percent of each true class", True, True),
        ("confusion_errors.png", "Percent of each true class, mistakes only", False, True),
        ("confusion_counts.png", "Pictures", True, False),
        ("confusion_counts_errors.png", "Pictures, mistakes only", False, False),
    ):
        figure = confusion_figure(
            scores.confusion.tolist(), answers.classes, title=caption, diagonal=diagonal, normalized=normalized
        )
        figures[name] = (caption, figure)
    for place, (attribute, part) in enumerate(evaluation.attributes.items()):
        figure = confusion_figure(part.confusion.tolist(), part.names, title=attribute)
        figures[_attribute_file(place, attribute)] = (f"{attribute}, percent of each true value", figure)
    shown = evaluation.mistakes[: SHEET_COLUMNS * SHEET_ROWS]
    if shown:
        chosen = answers.chosen
        cells = [
            (
                answers.paths[row],
                f"true {answers.classes[answers.labels[row]]}\n"
                f"answered {answers.classes[chosen[row]]}\n"
                f"{answers.probabilities[row, chosen[row]]:.1%}\n{_short_name(answers, row)}",
            )
            for row in shown
        ]
        lines = [cells[start : start + SHEET_COLUMNS] for start in range(0, len(cells), SHEET_COLUMNS)]
        figures["mistakes.png"] = ("Most confident mistakes", picture_sheet(lines, "Most confident mistakes"))
    return figures


def _short_name(answers: Answers, row: int) -> str:
    """The file's name, with its group where the name alone (mask1.jpg) would not tell it."""
    name = Path(answers.paths[row]).name
    group = answers.groups[row] if answers.groups else ""
    return name if group in name else f"{group} {name}"


def _attribute_file(place: int, name: str) -> str:
    return f"attribute_{place + 1}_{re.sub(r'[^A-Za-z0-9-]+', '_', name)}.png"


def _tables(evaluation: Evaluation) -> dict[str, list[Sequence[object]]]:
    answers, scores, chosen = evaluation.answers, evaluation.scores, evaluation.answers.chosen
    groups = answers.groups or ("",) * len(answers.paths)
    return {
        "per_class.csv": [
            ("class", "precision", "recall", "f1", "pictures", "answered"),
            *(tuple(asdict(one).values()) for one in class_scores(scores.confusion, scores.names)),
        ],
        "predictions.csv": [
            ("path", "group", "label", "answer", "probability"),
            *(
                (path, group, answers.classes[label], answers.classes[answer], f"{probability:.6f}")
                for path, group, label, answer, probability in zip(
                    answers.paths, groups, answers.labels, chosen, answers.probabilities.max(axis=1), strict=True
                )
            ),
        ],
    }


def _numbers(evaluation: Evaluation) -> dict[str, object]:
    def numbers(scores: LabelScores) -> dict[str, object]:
        by_class = {one.name: one.f1 for one in class_scores(scores.confusion, scores.names)}
        return {"macro_f1": scores.macro_f1.to_json(), "accuracy": scores.accuracy.to_json(), "f1": by_class}

    return {
        "pictures": len(evaluation.answers.paths),
        "groups": len(set(evaluation.answers.groups)) if evaluation.answers.groups else None,
        "metric": evaluation.answers.measure.metric,
        "score": (evaluation.other or evaluation.scores.macro_f1).to_json(),
        **numbers(evaluation.scores),
        "loss": evaluation.loss.to_json(),
        "attributes": {name: numbers(scores) for name, scores in evaluation.attributes.items()},
        "attributes_together": numbers(evaluation.joint) if evaluation.joint is not None else None,
    }


def _picture(name: str, caption: str) -> str:
    return f"![{markdown_cell(caption)}]({name})"
