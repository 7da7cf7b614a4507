"""The results table in Markdown, and its place in a README: strings in, strings out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import quote

from results.pages.cells import (
    TableError,
    breakable,
    clock,
    duration,
    escape,
    interval,
    key_settings,
    missed_weights,
    number,
    shortened,
    three,
    trials,
)
from results.records.record import BestTrial
from results.records.retrained import RetrainedModel, retrained_of
from results.records.shelf import data_name
from trainables.metric_names import in_words

BEGIN = "<!-- macrotune:results:begin -->"
END = "<!-- macrotune:results:end -->"
SECTIONS = {"results": "## Results", "spaces": "## Spaces", "records": "## Every record in full"}
"""Name of a spliced section to the heading that it gets in a page without its markers."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def render_table(
    records: Sequence[BestTrial],
    timezone: str | None = None,
    retrained: Sequence[RetrainedModel] = (),
    page: str = "results/README.md",
) -> str:
    """Renders records as a Markdown table, sorted by space, data set and then by descending macro-F1.

    It has ten columns, which fit into the 950 px that a page has for a table, whatever the names in it. Each row links
    to the section of `page` that says the rest (`results.pages.record_sections`). Every cell is escaped, so no path or
    name can break the table. What a search
    missed for want of weights is said below the table.

    Args:
        records: The records, in any order.
        timezone: IANA name of the time zone of the dates, or "local" for this machine's. None leaves every
            date in the zone its search ran in: the text is then the same on every machine.
        retrained: What re-training found; what belongs to another search than a record's is passed over.
        page: The page of the records, seen from the README.

    Raises:
        TableError: The time zone is unknown; suggests the nearest.
    """
    shifted = clock(timezone)
    if not records:
        return "No results yet: `python search/run.py` writes the first row."
    anchors = anchors_of(records)
    records = in_order(records)

    def date(record: BestTrial) -> str:
        day = shifted(datetime.fromisoformat(record.date)).isoformat(" ", "minutes")
        return f"[{day}]({quote(page)}#{anchors[key_of(record)]})"

    columns: dict[str, Callable[[BestTrial], str]] = {
        "date" if timezone in (None, "local") else f"date ({breakable(timezone)})": date,
        "space": lambda record: breakable(record.space),
        "data": lambda record: breakable(shortened(data_name(record))),
        "backbone": lambda record: breakable(record.config.backbone),
        "train loss": lambda record: number(record.report.train_loss),
        "val loss": lambda record: number(record.report.val_loss),
        "val macro-F1": _validation,
        "test macro-F1 [95%]": lambda record: _test(record, retrained_of(record, retrained)),
        "key settings": key_settings,
        "trials and time": lambda record: f"{trials(record.trials)}; {duration(record.wall_seconds)}",
    }
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[cell(record) or "–" for cell in columns.values()] for record in records]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for note in dict.fromkeys(missed_weights(record.weights_note) for record in records if record.weights_note):
        lines += ["", escape(note)]
    return "\n".join(lines)


def in_order(records: Sequence[BestTrial]) -> list[BestTrial]:
    """Records as the table has them: by space, by data set, and then by descending macro-F1."""
    return sorted(records, key=lambda one: (one.space, data_name(one), -one.report.val_score, one.date))


def key_of(record: BestTrial) -> tuple[str, ...]:
    """What tells a record from all others, also from those of a run of the same name."""
    return record.space, record.run, record.split_hash, record.date


def anchors_of(records: Sequence[BestTrial]) -> dict[tuple[str, ...], str]:
    """Where each record's section begins on its page, by `key_of`: its space and data set.

    Data sets of one name are numbered in the order given, that of their files, so that a new one moves none.
    """
    seen: Counter[str] = Counter()
    anchors = {}
    for record in records:
        words = re.sub(r"[^A-Za-z0-9_.-]+", "-", data_name(record)).strip("-.") or "data"
        name = f"record-{record.space}-{words}"
        seen[name] += 1
        anchors[key_of(record)] = name + f"-{seen[name]}" * (seen[name] > 1)
    return anchors


def splice(readme: str, table: str, section: str = "results") -> str:
    """Puts the table between the section's markers of a page and leaves all else as it is, line endings included.

    A page without markers gets them at its end, under a heading. Markers in code are text, not markers.
    Splicing the same table twice equals splicing it once.

    Raises:
        TableError: The markers are broken: one without the other, twice, in the wrong order, or not alone on
            their line; or a code block that never ends hides what follows it.
    """
    begin_marker, end_marker = (f"<!-- macrotune:{section}:{edge} -->" for edge in ("begin", "end"))
    lines = re.findall(r"[^\n]*\n|[^\n]+", readme)
    found, open_fence, last_heading = _scan(lines, (begin_marker, end_marker))
    if not found:
        if open_fence is not None:
            raise TableError(f"the code block that line {open_fence + 1} opens never ends: close it")
        newline = "\r\n" if readme.count("\r\n") * 2 > readme.count("\n") else "\n"
        gap = ("" if readme.endswith("\n") else newline) + newline if readme else ""
        title = [] if last_heading == SECTIONS[section] else [SECTIONS[section], ""]
        added = [*title, begin_marker, "", *table.split("\n"), "", end_marker]
        return readme + gap + "".join(line + newline for line in added)
    if [marker for marker, _ in found] != [begin_marker, end_marker]:
        places = ", ".join(f"{marker} in line {index + 1}" for marker, index in found)
        raise TableError(
            f"the markers of the {section} are broken ({places}): leave one {begin_marker} and after it one "
            f"{end_marker}, "
            "or delete them all to get a new table at the end"
        )
    begin, end = found[0][1], found[1][1]
    newline = "\r\n" if lines[begin].endswith("\r\n") else "\n"
    inside = [line + newline for line in ("", *table.split("\n"), "")]
    return "".join([*lines[: begin + 1], *inside, *lines[end:]])


def _scan(lines: Sequence[str], wanted: tuple[str, str]) -> tuple[list[tuple[str, int]], int | None, str]:
    """Finds the markers outside code, the line of a fence that is never closed, and the last heading."""
    found: list[tuple[str, int]] = []
    fence, opened, heading = "", None, ""
    for index, line in enumerate(lines):
        text = line.rstrip("\r\n")
        match = _FENCE.fullmatch(text)
        if fence:
            if match and match[1].startswith(fence) and not match[2].strip():
                fence, opened = "", None
        elif match and not (match[1][0] == "`" and "`" in match[2]):
            fence, opened = match[1], index
        elif not text.startswith(("    ", "\t")):  # indented like this, it is code
            heading = text.strip() if re.match(r" {0,3}#{1,6}\s", text) else heading
            found += _markers(text, index, wanted)
    return found, opened, heading


def _markers(text: str, index: int, wanted: tuple[str, str]) -> list[tuple[str, int]]:
    if not any(marker in text for marker in wanted):
        return []
    if text.strip() in wanted:
        return [(text.strip(), index)]
    prose = _CODE_SPAN.sub("", text)
    if any(marker in prose for marker in wanted):
        raise TableError(f"the marker in line {index + 1} shares its line with other text: give it a line of its own")
    return []


def _validation(record: BestTrial) -> str:
    """The best validation score, and where it is known what it is worth without the luck of having been picked."""
    corrected = (record.val_corrected or {}).get("value")
    words = number(record.report.val_macro_f1)
    if record.task.metric != "macro_f1":
        score = f"{escape(in_words(record.task.metric))} {number(record.report.val_score)}"
        score += "" if corrected is None else f", corrected {three(corrected)}"
        return f"{words}; searched for {score}"
    return words if corrected is None else f"{words}; corrected {three(corrected)}"


def _test(record: BestTrial, final: RetrainedModel | None) -> str:
    """The score on people never seen and what it is worth; by what, if re-training picked another trial."""
    if final is None:
        return ""
    words = escape(interval(final.test["macro_f1"]))
    if "score" in final.test:
        words += f"; {breakable(in_words(final.task.metric))} {escape(interval(final.test['score']))}"
    if final.networks > 1:
        words += f" of {final.networks} networks together"
    if final.trial_id != record.trial_id:
        words += f" by {breakable(final.trial_id)}, {breakable(final.config.backbone)}"
    if final.verdict:
        words += f": {escape(final.verdict).replace('distinguishable', 'distinguish<wbr>able')}"
    return words + (f" (test side scored {final.times_scored} times)" if final.times_scored > 1 else "")
