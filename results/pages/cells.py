"""What stands in the cells of the results pages: numbers, dates and settings in words, escaped for Markdown."""

from __future__ import annotations

import difflib
import math
import re
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from results.records.record import BestTrial
from trainables.config import TaskConfig, TrialConfig, is_own_name
from trainables.errors import UserError

_SPECIAL = re.compile(r"[&<>|`*\[\]\\~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_JOINTS = re.compile(r"[^_/@-]*[_/@-]+|[^_/@-]+")
"""Parts of a name, each with the joint behind it."""
LONGEST_WHOLE = 12
"""Signs of a word that a column has room for in one line."""
LONGEST_PIECE, LONGEST_PIECE_OF_LONG = 15, 9
"""Signs between two places to break: of most names (`efficientnetv2_`), and of those longer than `LONG_NAME`."""
LONG_NAME = 26
LONGEST_NAME = 32
"""Signs of a data set's name in the table; of a longer one the middle is left out."""
_ERRNO = re.compile(r"\[Errno -?\d+\] ?")
_MISSED = re.compile(
    r"no pretrained weights (?:here|in (?P<folder>\S+))(?: \((?P<why>.*?)\))? for (?P<names>[^:;]+): "
    r"(?P<then>left out of the search|ALL TRIALS START AT RANDOM)"
)
"""What `trainables.networks.weights` says about weights that it did not find, in records of any age."""


class TableError(UserError):
    """A page's markers are broken or a time zone is unknown; says how to fix it."""


def clock(timezone: str | None) -> Callable[[datetime], datetime]:
    """A function that moves a date into a time zone.

    Args:
        timezone: IANA name, "local" for this machine's, or None to leave every date as it is.

    Raises:
        TableError: The time zone is unknown; suggests the nearest.
    """
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
        near = difflib.get_close_matches(asked, [*names, *cities], n=1, cutoff=0.75)
        nearest = names[cities.get(near[0], near[0])] if near else "Europe/Berlin"
        word = "the nearest is" if near else "a name looks like"
        raise TableError(
            f"there is no time zone {timezone!r}: {word} {nearest} (IANA names, or local for this machine's)"
        ) from error


def key_settings(record: BestTrial) -> str:
    """The settings that a reader of the table looks for first; what would mislead is loud."""
    config, task = record.config, record.task
    words = [f"dropout {short(config.dropout)}", augmentation(config), config.optimizer, f"lr {short(config.lr)}"]
    words += [*_loss(config), *_sampling(config)]
    words += [config.formulation] if config.formulation != "joint" else []
    words += [f"{task.image_size} px"]
    words += [f"{record.data['pictures']:,} pictures"] if isinstance(record.data.get("pictures"), int) else []
    loud = ["**random init**"] if record.weights.split(" ")[0] == "random" else []
    loud += ["**split by picture: flattered**"] if by_picture(record.data) else []
    text = escape(", ".join(words)).replace("Augment", "<wbr>Augment")  # the longest word of a narrow column
    return ", ".join([text, *loud])


def by_picture(data: Mapping[str, Any]) -> bool:
    """Whether pictures of one person may stand on both sides, which flatters every score."""
    return bool(data.get("split", {}).get("split_by") == "picture")


def augmentation(config: TrialConfig) -> str:
    """The operations that are on, with their strengths; `no augmentation` where none is."""
    words = ["flip", "crop", "affine", "blur", "noise", "sharpness", "contrast", "brightness", "erasing"]
    words += ["cutmix", "mixup"]
    on = [f"{word} {short(value)}" for word in words if (value := getattr(config, word)) > 0]
    if config.policy != "none":
        on.append("TrivialAugment" if config.policy == "trivial" else f"RandAugment {short(config.policy_magnitude)}")
    if is_own_name(config.augmentation):
        on.append(own_part(config.augmentation, config.augmentation_knob))
    return ", ".join(on) or "no augmentation"


def own_part(name: str, knob: float) -> str:
    """A part of the user's own, with its knob where that is not 1."""
    return name if knob == 1 else f"{name} {exact(knob)}"


def hyper_parameters(config: TrialConfig, task: TaskConfig) -> str:
    """Every setting but backbone, dropout and augmentation; what is off is left out."""
    words = [config.optimizer, f"lr {short(config.lr)}", f"wd {short(config.weight_decay)}"]
    words += [f"smoothing {short(config.label_smoothing)}", f"warm-up {short(config.warmup_share)}"]
    words += [
        f"{word} {exact(value)}"
        for word, value, off in (
            ("drop path", config.drop_path, 0),
            ("layer decay", config.layer_decay, 1),
            ("frozen", config.frozen_share, 0),
            ("frozen stages", config.frozen_stages, 0),
            ("EMA", config.ema, 0),
        )
        if value != off
    ]
    words += [*_loss(config), *_sampling(config)]
    words += [config.formulation] if config.formulation != "joint" else []
    words += [f"batch {task.batch_size}", f"{task.image_size} px"]
    return ", ".join(words)


def _sampling(config: TrialConfig) -> list[str]:
    return [f"{config.sampling} sampling"] if config.sampling != "natural" else []


def _loss(config: TrialConfig) -> list[str]:
    if is_own_name(config.loss):
        return [f"loss {own_part(config.loss, config.loss_knob)}"]
    return {
        "cross_entropy": [],
        "effective_number": [f"effective number {exact(config.effective_beta)}"],
        "focal": [f"focal {exact(config.focal_gamma)}"],
        "logit_adjusted": [f"logit-adjusted {exact(config.logit_tau)}"],
    }[config.loss]


def missed_weights(note: str) -> str:
    """Which weights a search missed and what that led to, in plain words; empty if it missed none."""

    def plain(match: re.Match[str]) -> str:
        why = match["why"] or ""
        if match["folder"]:
            because = f"{match['folder']} holds none"
        elif "out of reach" in why:
            because = "this machine reached no model hub"
        elif "HF_HUB_OFFLINE" in why:
            because = "this machine was told to stay offline"
        else:
            because = why or "none were found"
        left_out = match["then"].startswith("left out")
        then = "The search left them out" if left_out else "All trials started from random weights"
        return f"No pretrained weights for {match['names']}: {because}. {then}"

    words = _ERRNO.sub("", _MISSED.sub(plain, note)).strip()
    return words and words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def interval(score: Mapping[str, float | None]) -> str:
    """A score with its 95% interval, as `.397 [.215, .645]`; a question mark where there is no end."""
    value, low, high = ("?" if score[end] is None else three(score[end]) for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def three(value: float | None) -> str:
    """Three digits after the point, without the zero before it."""
    if value is None:
        return "–"
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")


def trials(counts: Mapping[str, int]) -> str:
    """How many trials there were, and how they ended."""
    is_all = counts["total"] == counts["asked"]
    ends = {name: counts[name] for name in ("finished", "stopped", "failed")}
    ends["ended with the time" if is_all else "interrupted"] = counts["total"] - sum(ends.values())
    words = ", ".join(f"{count} {name}" for name, count in ends.items() if count)
    total = str(counts["total"]) if is_all else f"{counts['total']} of {counts['asked']}"
    return f"{total}: {words}" if words else total


def number(value: float) -> str:
    """Four digits after the point, or NaN."""
    return f"{value:.4f}" if math.isfinite(value) else "NaN"


def short(value: float) -> str:
    """Three digits in as few signs as it takes: .25, 1.5, 3.2e-4, 0."""
    if value and abs(value) < 0.01:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{value:.3g}"
    return text.removeprefix("0") if text.startswith("0.") else text


def exact(value: float) -> str:
    """All digits: what lies near 1 must not be rounded to it."""
    return f"{value:g}".removeprefix("0") if 0 < value < 1 else f"{value:g}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def escape(value: object) -> str:
    """The value as one line of plain text in a Markdown cell, whatever is in it."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", _one_line(value))


def _one_line(value: object) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())


def breakable(value: object) -> str:
    """As `escape`, and a narrow column may break long names: behind their joints, and in pieces of what is longer.

    `<wbr>` shows nothing, and what is copied from the page is the name.
    """
    return " ".join(map(_breakable, _one_line(value).split(" ")))


def _breakable(word: str) -> str:
    if len(word) <= LONGEST_WHOLE:
        return escape(word)
    longest = LONGEST_PIECE if len(word) <= LONG_NAME else LONGEST_PIECE_OF_LONG
    signs = iter(re.findall(r"&#\d+;|.", escape(word)))  # one for each of the word
    parts = [
        piece[place : place + longest] for piece in _JOINTS.findall(word) for place in range(0, len(piece), longest)
    ]
    return "<wbr>".join("".join(islice(signs, len(part))) for part in parts)


def shortened(name: str) -> str:
    """A name of at most `LONGEST_NAME` signs: its middle is left out, the record has it in full."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2]}…{name[1 - LONGEST_NAME // 2 :]}"
