"""What a model answers to beside the middle of a picture, with the mean of both. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.config import TrialConfig

NONE, MIRROR, WHOLE, MIRRORED_WHOLE = "", "mirror", "whole", "mirrored_whole"
SECOND_VIEWS = (NONE, MIRROR, WHOLE, MIRRORED_WHOLE)
"""Nothing; the mirror image of the middle; the whole stored picture, as small as the middle; or its mirror image."""
IN_WORDS = {
    NONE: "nothing else",
    MIRROR: "its mirror image",
    WHOLE: "the whole picture",
    MIRRORED_WHOLE: "the mirror image of the whole picture",
}
MIRRORED = {NONE: MIRROR, MIRROR: MIRROR, WHOLE: MIRRORED_WHOLE, MIRRORED_WHOLE: MIRRORED_WHOLE}
"""The same, mirrored."""


def learned_view(configs: Iterable[TrialConfig]) -> str:
    """The second view that networks answer to together: what they have learned from.

    A network has seen whole pictures where it learned from random crops, which are between all of a picture and the
    largest share less, and mirrored ones where pictures were flipped. Whole ones are for a majority to decide, as those
    that have not seen them are little worse on them than on the middle alone or better (docs/score.md); mirrored ones
    have to be known to all, as left and right may be classes.
    """
    configs = tuple(configs)
    crops = sum(config.crop > 0 for config in configs) > len(configs) / 2
    flips = all(config.flip > 0 for config in configs)
    if crops:
        return MIRRORED_WHOLE if flips else WHOLE
    return MIRROR if flips else NONE


def with_second_view(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file that may be of before a view had a name: `mirrored` said whether there was one."""
    values = dict(values)
    mirrored = values.pop("mirrored", None)
    return values if mirrored is None else {"second_view": MIRROR if mirrored else NONE, **values}
