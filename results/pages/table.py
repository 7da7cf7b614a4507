"""The results table in Markdown, and its place in a README: strings in, strings out."""

from __future__ import annotations

import difflib
import math
import re
import zoneinfo
from collections.abc import Callable, Sequence
from datetime import datetime

from results.records.record import BestTrial
from results.records.retrained import RetrainedModel
from trainables.errors import UserError

BEGIN = "<!-- macrotune:results:begin -->"
END = "<!-- macrotune:results:end -->"
SECTIONS = {"results": "## Results", "spaces": "## Spaces"}
"""Name of a spliced section to the heading that it gets in a README without its markers."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_SPECIAL = re.compile(r"[&<>|`*\[\]\\~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


class TableError(UserError):
    """A README's markers are broken or a time zone is unknown; says how to mend it."""


def render_table(
    records: Sequence[BestTrial], timezone: str | None = None, retrained: Sequence[RetrainedModel] = ()
) -> str:
    """Renders records as a Markdown table, sorted by space and then by descending macro-F1.

    Every cell is escaped, so no path or name can break the table. A search that missed weights says so in its
    row and in a note below the table.

    Args:
        records: The records, in any order.
        timezone: IANA name of the time zone of the dates, or "local" for this machine's. None leaves every
            date in the zone its search ran in: the text is then the same on every machine.
        retrained: What re-training found; what belongs to another search than a record's is passed over.

    Raises:
        TableError: The time zone is unknown; suggests the nearest.
    """
    shifted = _clock(timezone)
    if not records:
        return "No results yet: `python search/run.py` writes the first row."
    records = sorted(records, key=lambda record: (record.space, -record.report.val_macro_f1, record.date))
    notes = list(dict.fromkeys(record.weights_note for record in records if record.weights_note))
    finals = {(final.space, final.run): final for final in retrained}
    columns: dict[str, Callable[[BestTrial], str]] = {
        "date" if timezone in (None, "local") else f"date ({_escape(timezone)})": lambda record: shifted(
            datetime.fromisoformat(record.date)
        ).isoformat(" ", "minutes"),
        "space": lambda record: _escape(record.space),
        "backbone": lambda record: _escape(record.config.backbone),
        "train loss": lambda record: _number(record.report.train_loss),
        "val loss": lambda record: _number(record.report.val_loss),
        "val macro-F1 (best)": lambda record: _number(record.report.val_macro_f1),
        "test macro-F1 [95%]": lambda record: _test(record, finals.get((record.space, record.run))),
        "against the default": lambda record: _verdict(finals.get((record.space, record.run))),
        "epoch (best/trained)": lambda record: f"{record.report.epoch}/{record.epochs_trained}",
        "dropout": lambda record: _short(record.config.dropout),
        "augmentation": _augmentation,
        "other hyper-parameters": _hyper_parameters,
        "pictures": _pictures,
        "trials (finished/stopped/failed)": _trials,
        "wall / device time (h:mm:ss)": lambda record: (
            f"{_duration(record.wall_seconds)} / {_duration(record.device_seconds)}"
        ),
        "hardware": lambda record: _escape(record.hardware),
        "seed": lambda record: str(record.seed),
        "weights": lambda record: _weights(record, notes),
        "commit": lambda record: _escape(re.sub(r"^([0-9a-f]{8})[0-9a-f]+", r"\1", record.commit or "")),
    }
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[cell(record) or "–" for cell in columns.values()] for record in records]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for number, note in enumerate(notes, start=1):
        lines += ["", f"**Note {number}:** {_escape(note)}"]
    return "\n".join(lines)


def splice(readme: str, table: str, section: str = "results") -> str:
    """Puts the table between the section's markers of a README and leaves all else as it is, line endings included.

    A README without markers gets them at its end, under a heading. Markers in code are text, not markers.
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


def _clock(timezone: str | None) -> Callable[[datetime], datetime]:
    """A function that moves a date into the time zone."""
    if timezone is None:
        return lambda date: date
    if timezone == "local":
        return datetime.astimezone
    try:
        zone = zoneinfo.ZoneInfo(timezone)
        return lambda date: date.astimezone(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        names = {name.lower(): name for name in sorted(zoneinfo.available_timezones())}
        cities = {name.rpartition("/")[2]: name for name in names}
        asked = timezone.lower().replace(" ", "_")
        near = difflib.get_close_matches(asked, [*names, *cities], n=1, cutoff=0.5)
        nearest = names[cities.get(near[0], near[0])] if near else "Europe/Berlin"
        word = "the nearest is" if near else "a name looks like"
        raise TableError(
            f"there is no time zone {timezone!r}: {word} {nearest} (IANA names, or local for this machine's)"
        ) from error


def _pictures(record: BestTrial) -> str:
    by_picture = record.data.get("split", {}).get("split_by") == "picture"
    return _escape(record.data.get("pictures", "")) + (" **split by picture: flattered**" if by_picture else "")


def _augmentation(record: BestTrial) -> str:
    config = record.config
    words = ["flip", "crop", "affine", "blur", "noise", "sharpness", "contrast", "brightness", "erasing"]
    words += ["cutmix", "mixup"]
    on = [f"{word} {_short(value)}" for word in words if (value := getattr(config, word)) > 0]
    if config.policy != "none":
        on.append("TrivialAugment" if config.policy == "trivial" else f"RandAugment {_short(config.policy_magnitude)}")
    return ", ".join(on) or "none"


def _hyper_parameters(record: BestTrial) -> str:
    config, task = record.config, record.task
    words = [config.optimizer, f"lr {_short(config.lr)}", f"wd {_short(config.weight_decay)}"]
    words += [f"smoothing {_short(config.label_smoothing)}", f"warm-up {_short(config.warmup_share)}"]
    words += [
        f"{word} {_exact(value)}"
        for word, value, off in (
            ("drop path", config.drop_path, 0),
            ("layer decay", config.layer_decay, 1),
            ("frozen", config.frozen_share, 0),
            ("EMA", config.ema, 0),
        )
        if value != off
    ]
    words += {
        "cross_entropy": [],
        "effective_number": [f"effective number {_exact(config.effective_beta)}"],
        "focal": [f"focal {_exact(config.focal_gamma)}"],
        "logit_adjusted": [f"logit-adjusted {_exact(config.logit_tau)}"],
    }[config.loss]
    words += [f"{config.sampling} sampling"] if config.sampling != "natural" else []
    words += [config.formulation] if config.formulation != "joint" else []
    words += [f"batch {task.batch_size}", f"{task.image_size} px"]
    return _escape(", ".join(words))


def _test(record: BestTrial, final: RetrainedModel | None) -> str:
    """The score on people never seen, and by what, if re-training picked another trial than the search."""
    if final is None:
        return ""
    score = final.test["macro_f1"]
    low, high = ("?" if score[end] is None else _three(score[end]) for end in ("low", "high"))
    words = f"{_three(score['value'])} &#91;{low}, {high}&#93;"
    if final.trial_id != record.trial_id:
        words += " " + _escape(f"by {final.trial_id}, {final.config.backbone}")
    return words + (f" (test side scored {final.times_scored} times)" if final.times_scored > 1 else "")


def _verdict(final: RetrainedModel | None) -> str:
    return "" if final is None else _escape(final.verdict)


def _three(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _trials(record: BestTrial) -> str:
    counts = record.trials
    total = str(counts["total"]) if counts["total"] == counts["asked"] else f"{counts['total']} of {counts['asked']}"
    return f"{total} ({counts['finished']}/{counts['stopped']}/{counts['failed']})"


def _weights(record: BestTrial, notes: Sequence[str]) -> str:
    words = "**random init**" if record.weights == "random" else _escape(record.weights)
    if not record.weights_note:
        return words
    return f"{words} **(note {notes.index(record.weights_note) + 1})**"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "NaN"


def _short(value: float) -> str:
    """Three digits in as few signs as it takes: .25, 1.5, 3.2e-4, 0."""
    if value and abs(value) < 0.01:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{value:.3g}"
    return text.removeprefix("0") if text.startswith("0.") else text


def _exact(value: float) -> str:
    """All digits: what lies near 1 must not be rounded to it."""
    return f"{value:g}".removeprefix("0") if 0 < value < 1 else f"{value:g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _escape(value: object) -> str:
    """The value as one line of plain text in a Markdown cell, whatever is in it."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(value))
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
