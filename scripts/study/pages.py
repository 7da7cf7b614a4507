"""Where the pages of studies go: two data sets of one name have pages of their own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from results.pages.comparison_report import is_page_of
from trainables.free_names import numbered


def page_path(out: Path, name: str, study: str) -> Path:
    """The page of a study, of data that are called so."""
    return out / f"{name}-{study}.md"


def name_for_pages(out: Path, name: str, studies: Collection[str], place: str, source: str) -> str:
    """The name, or that with a number, under which no study has a page of other data.

    Args:
        out: Folder of the pages.
        name: What the data are called.
        studies: Names of all studies there are.
        place: Stands for the place of the data.
        source: The data in words, as pages have it.
    """
    return next(each for each in numbered(name) if page_of_others(out, each, studies, place, source) is None)


def page_of_others(out: Path, name: str, studies: Collection[str], place: str, source: str) -> Path | None:
    """The first page of that name which is not of these data; None where there is none. Arguments as above."""
    for path in (page_path(out, name, study) for study in studies):
        if path.exists() and not is_page_of(path.read_text(encoding="utf-8", errors="replace"), place, source):
            return path
    return None
