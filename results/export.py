"""Writes the best configuration of every space into the README, and all of its record into results/README.md.

Run:
    python results/export.py            # re-renders both pages from results/best and results/retrained
    python results/export.py --check    # changes nothing; exits 1 if a page is stale

It takes under a second. A search exports its own result when it ends, so this is for another time zone, a
README elsewhere, or a table that was edited by hand. The page of the records lies beside their folder, as README.md.

There is a record for each space and data set, its best: a new one takes its place if its split differs, so that the
scores cannot be compared, or if its macro-F1 on the same split is as high or higher. Otherwise the old one stays. A
data set is known by its place, its name and its classes, or, wherever it has gone, by its very pictures.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import filelock
import tyro

from results.pages.cells import TableError
from results.pages.record_sections import render_records
from results.pages.table import render_table, splice
from results.records.record import BestTrial
from results.records.retrained import RetrainedModel, load_retrained
from results.records.shelf import all_paths, load_checked, paths_of, place_of
from trainables.atomic import write_whole
from trainables.metric_names import in_words
from trainables.strict_json import RecordError

README = Path("README.md")
RECORDS = Path("results/best")

LOCK_SECONDS = 60.0
"""How long to wait for another export, which takes well under a second."""


def export_best(record: BestTrial, *, records_dir: Path, readme: Path, timezone: str | None = None) -> str:
    """Keeps a record if it is the best of its space on its data set, and renders both pages from all records.

    Two searches may export at the same time. The record is saved before a page is touched: if a page
    cannot be written, the result is not lost, and `python results/export.py` tries again.

    Args:
        record: What a search found.
        records_dir: The folder of records (`results.records.shelf`).
        readme: The README; made if there is none.
        timezone: Time zone of the dates, as in `render_table`.

    Returns:
        A sentence that says what became of the record.

    Raises:
        RecordError: A record in the folder is corrupt; names the file.
        TableError: A page's markers are broken, and both are as they were; or the time zone is unknown.
        TimeoutError: Another export holds the lock.
        OSError: A file cannot be read or written.
    """
    said = keep_record(record, records_dir=records_dir, timezone=timezone)
    export_all(records_dir=records_dir, readme=readme, timezone=timezone)
    return said


def keep_record(record: BestTrial, *, records_dir: Path, timezone: str | None = None) -> str:
    """Keeps a record if it is the best of its space on its data set, and leaves the pages to `export_all`.

    The arguments, the errors and the sentence are those of `export_best`.
    """
    render_table([], timezone)  # an unknown time zone must not be found out half-way
    with _lock(records_dir):
        path = place_of(records_dir, record)
        old = load_checked(path) if path.exists() else None
        keep = old is not None and _outranks(old, record)
        if not keep:
            record.save(path)
    return _sentence(record, old, path, keep)


def export_retrained(record: RetrainedModel, *, records_dir: Path, readme: Path, timezone: str | None = None) -> str:
    """Keeps what re-training found, beside the records, and renders both pages from all of it.

    The arguments and errors are those of `export_best`. A row shows it as long as the search that it belongs to
    is the best of its space on its data set.

    Returns:
        A sentence that says what became of the record.
    """
    with _lock(records_dir):
        rows = {best.name: load_checked(best) for best in paths_of(records_dir, record.space)}
        name = next((name for name, best in rows.items() if record.is_of(best)), f"{record.space}.json")
        path, shown = _retrained_dir(records_dir) / name, rows.get(name)
        is_shown = shown is not None and record.is_of(shown)
        if not is_shown and shown is not None and path.exists() and load_retrained(path).is_of(shown):
            return f"{path} keeps the test score of {shown.run}, the search that the README shows."
        record.save(path)
        _update(readme, records_dir, timezone)
    if is_shown:
        return f"{path} holds the test score; the README shows it."
    return f"{path} holds the test score; the table has another search of {record.space}, or none, and leaves it out."


def export_all(*, records_dir: Path, readme: Path, timezone: str | None = None) -> bool:
    """Renders the README and the page of the records.

    Returns:
        Whether that changed one of them.

    Raises:
        RecordError: A record is corrupt; names the file.
        TableError: A page's markers are broken, and both are as they were; or the time zone is unknown.
        TimeoutError: Another export holds the lock.
        OSError: A file cannot be read or written.
    """
    with _lock(records_dir):
        return _update(readme, records_dir, timezone)


def is_stale(*, records_dir: Path, readme: Path, timezone: str | None = None) -> bool:
    """Whether a page differs from what `export_all` would make of it; changes nothing.

    Raises:
        RecordError: A record is corrupt; names the file.
        TableError: A page's markers are broken, or the time zone is unknown.
        OSError: A file cannot be read.
    """
    return bool(_changed(readme, records_dir, timezone))


def _option(metavar: str | None, default: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


def main(
    readme: Annotated[Path, _option("MD", "README.md")] = README,
    records: Annotated[Path, _option("DIR", "results/best")] = RECORDS,
    timezone: Annotated[str | None, _option("TZ", "where each search ran")] = None,
    check: Annotated[bool, _option(None, "no"), tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Writes the results table and the page of the records.

    Args:
        readme: The file that holds the table; made if there is none.
        records: Folder of the records, one JSON file per space; the page that says all about them lies beside it.
        timezone: Time zone of the dates: an IANA name such as Asia/Seoul, or local for this machine's.
        check: Change nothing; exit 1 if a page is stale.

    Returns:
        The exit code: 0, 1 if a page is stale, or 2 if a file is broken.
    """
    pages = f"{readme} and {_page(records)}"
    try:
        if check:
            stale = [path for path, *_ in _changed(readme, records, timezone)]
            if not stale:
                print(f"{pages} are up to date")
                return 0
            names = " and ".join(map(str, stale))
            verb = "is" if len(stale) == 1 else "are"
            print(f"{names} {verb} stale; run: {export_command(readme, records, timezone)}", file=sys.stderr)
            return 1
        if not records.is_dir() and readme.is_file():  # its table would be emptied
            raise RecordError(f"{records}: there is no such folder of records; name that of {readme} by --records")
        changed = export_all(records_dir=records, readme=readme, timezone=timezone)
    except (RecordError, TableError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{pages} {'are written' if changed else 'were up to date'}")
    return 0


def _lock(records_dir: Path) -> filelock.BaseFileLock:
    # The records are what is shared: a README follows from them, so one lock covers both.
    records_dir.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(records_dir / ".lock", timeout=LOCK_SECONDS)


def _retrained_dir(records_dir: Path) -> Path:
    return records_dir.parent / "retrained"


def _page(records_dir: Path) -> Path:
    return records_dir.parent / "README.md"


def _update(readme: Path, records_dir: Path, timezone: str | None) -> bool:
    changed = _changed(readme, records_dir, timezone)
    for path, new in changed:
        write_whole(path, new)
    return bool(changed)


def _changed(readme: Path, records_dir: Path, timezone: str | None) -> list[tuple[Path, bytes]]:
    """The pages that are not what the records make of them, and what they should hold.

    Both are made before one is written, so that broken markers in either leave both as they were.
    """
    retrained = [load_retrained(path) for path in sorted(_retrained_dir(records_dir).glob("*.json"))]
    records = [load_checked(path) for path in all_paths(records_dir)]
    page = _page(records_dir)
    link = Path(os.path.relpath(page.resolve(), readme.parent.resolve())).as_posix()
    pages = [
        (page, "records", render_records(records, timezone, retrained)),
        (readme, "results", render_table(records, timezone, retrained, link)),
    ]
    if page.resolve() == readme.resolve():  # one page holds both, the table above what it links to
        return _spliced(readme, [(section, text) for _, section, text in reversed(pages)])
    return [changed for path, section, text in pages for changed in _spliced(path, [(section, text)])]


def _spliced(path: Path, sections: Sequence[tuple[str, str]]) -> list[tuple[Path, bytes]]:
    """The file with its sections up to date, or nothing if it has them."""
    old = path.read_bytes() if path.exists() else None
    # surrogateescape carries bytes that are not UTF-8 through unchanged
    text = (old or b"").decode(errors="surrogateescape")
    try:
        for section, inside in sections:
            text = splice(text, inside, section)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    new = text.encode(errors="surrogateescape")
    return [] if new == old else [(path, new)]


def _outranks(old: BestTrial, new: BestTrial) -> bool:
    return (
        old.split_hash == new.split_hash
        and old.task.metric == new.task.metric
        and old.report.val_score > new.report.val_score
    )


def _sentence(new: BestTrial, old: BestTrial | None, path: Path, kept: bool) -> str:
    score = f"{in_words(new.task.metric)} {new.report.val_score:.4f} of run {new.run}"
    if old is None:
        return f"{path} is new: {score}."
    before = f"{old.report.val_score:.4f} of run {old.run}"
    if old.task.metric != new.task.metric:
        return f"{path} now holds {score}; before it was {in_words(old.task.metric)} {before}."
    if kept:
        return f"{path} keeps {before}, which is higher than {score} on the same split."
    why = "on the same split" if old.split_hash == new.split_hash else "on another split"
    return f"{path} now holds {score}; before it was {before} {why}."


def export_command(readme: Path, records: Path, timezone: str | None) -> str:
    """What to type in the current folder to have both pages written; flags that have their defaults are left out."""
    command = ["python", os.path.relpath(__file__)]
    command += [] if readme.resolve() == README.resolve() else ["--readme", str(readme)]
    command += [] if records.resolve() == RECORDS.resolve() else ["--records", str(records)]
    command += [] if timezone is None else ["--timezone", timezone]
    return shlex.join(command)


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="export.py"))
