"""From a path to what every trial shares: pictures checked and decoded, sides drawn, weights found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from results.records import shelf
from results.records.run_folder import RunFolder
from results.records.shelf import BUILT_IN
from search.flags import SplitFlags
from search.terminal import count, doing, idle, is_quiet, say
from trainables.atomic import write_whole
from trainables.data.cache import ImageCache, build_cache, find_unreadable
from trainables.data.demo.draw import FORMAT, make_demo_data
from trainables.data.duplicates import COPIES, check_leaks
from trainables.data.manifest import DataConfig, DataError, Manifest, bad_picture_error, drop_pictures, load_manifest
from trainables.data.mirror_classes import mirror_classes, pairs_in_words
from trainables.data.rows import read_split
from trainables.data.split import Split, split_by_group
from trainables.errors import UserError
from trainables.saved.model_description import DESCRIPTION

SPLIT_SETTINGS = ("seed", "val_share", "test_share", "split_by")
"""What decides which picture is on which side."""
SAME_GROUPS = "same_groups.csv"
"""Corrections that give pictures and their copies one group, beside the decoded pictures."""
RATE_SECONDS = 2.0
"""After which it is told from the pictures decoded so far how long the others take, if that is far too long."""
SURE_SECONDS = 10.0
"""After which it is told by less: the first pictures are of one folder, and may be larger than the others."""
FAR_TOO_LONG = 1.5
"""Times what is left of the budget."""


@dataclass(frozen=True)
class Prepared:
    """Everything about the pictures that a search needs."""

    manifest: Manifest
    split: Split
    cache: ImageCache

    @property
    def warnings(self) -> list[str]:
        """What the user should know of pictures, names, groups and sides."""
        manifest = self.manifest
        missed = [f"{manifest.left_out.total:,} files are left out, see above."] if manifest.left_out.is_missed else []
        alike = [f"{line[0].upper()}{line[1:]}." for line in manifest.look_alikes]
        groups = filter(None, [manifest.group_warning])
        return [*self.cache.warnings, *missed, *alike, *groups, *self.split.warnings]


def prepare_data(
    config: DataConfig,
    sides: SplitFlags,
    *,
    seed: int,
    image_size: int,
    cache_path: Path,
    console: Console,
    check: Callable[[Manifest], None] | None = None,
    seconds_left: Callable[[], float] | None = None,
    beside: AbstractContextManager[None] | None = None,
) -> Prepared:
    """Reads, checks and decodes the pictures, and draws the sides; draws the demo set where no data are given.

    Args:
        config: Which pictures.
        sides: How to split them.
        seed: Of the split.
        image_size: Side of the square pictures that are kept, in pixels.
        cache_path: Folder of decoded and of demo pictures.
        console: For the progress.
        check: Refuses what the search cannot do with these classes, before the first picture is decoded.
        seconds_left: How long decoding may take at most, whenever it is asked.
        beside: What goes on while pictures are decoded, and for which is waited then.

    Raises:
        DataError: Something is wrong with the data; the message lists all of it.
        CacheError: The cache cannot be written.
        UserError: `check` raises it, or there is no time to decode the pictures.
    """
    config = _with_demo(config, cache_path, console)
    doing(console, "reading the pictures' labels")
    manifest = load_manifest(config, partial(find_unreadable, memory_bytes=config.picture_bytes))
    say_understood(manifest, console)
    if check is not None:
        check(manifest)

    def split() -> Split:
        return split_by_group(
            manifest, seed=seed, val_share=sides.val_share, test_share=sides.test_share, by=sides.split_by
        )

    whom = manifest.units if sides.split_by == "group" else "pictures"
    doing(console, f"dealing the {whom} out to train, val and test")
    drawn = split()  # first, as it may be refused
    idle(console)
    with beside or nullcontext(), _progress(console) as progress:
        task = progress.add_task("decoding pictures", total=None, visible=False)

        watch = _DecodingWatch(console, seconds_left or (lambda: math.inf))

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)
            if progress.disable:
                count(console, "decoding pictures", done, total)
            watch.decoded(done, total)

        cache = build_cache(
            list(manifest.table["path"]),
            image_size,
            cache_path,
            on_progress=show,
            on_wait=watch.waits,
            memory_bytes=config.picture_bytes,
        )
    if cache.bad:
        if not config.skip_bad:
            raise bad_picture_error(manifest, cache.bad)
        manifest = drop_pictures(manifest, cache.bad)
        drawn = split()
    return Prepared(manifest, drawn, cache)


def say_understood(manifest: Manifest, console: Console) -> None:
    """Says how the data were read, so that a misunderstanding shows before anything is decoded."""
    for line in manifest.understood:
        say(console, line.encode(errors="backslashreplace").decode())


class _DecodingWatch:
    """Ends the decoding of pictures, or the wait for another that decodes them, where the time budget is too short."""

    def __init__(self, console: Console, seconds_left: Callable[[], float]) -> None:
        """Begins nothing yet.

        Args:
            console: Where a wait is said.
            seconds_left: Of the time budget.
        """
        self._console, self._seconds_left = console, seconds_left
        self._began: tuple[float, int] | None = None
        self._has_waited = False

    def decoded(self, done: int, total: int) -> None:
        """Takes note of how many pictures are decoded; the pace is that since the first, before which much else is."""
        now = time.monotonic()
        if self._began is None:
            self._began = now, done
        began, before = self._began
        _refuse_slow_decoding(done, total, now - began, self._seconds_left(), before=before)

    def waits(self) -> None:
        """Says once that another decodes the same pictures."""
        if not self._has_waited:
            self._has_waited = True
            say(self._console, "Another command is decoding the same pictures; waiting for it to finish.")
        if self._seconds_left() <= 0:
            raise UserError(
                "another command is still decoding the same pictures, and the time budget has ended: start again when "
                "it is done, or give a longer --time-budget"
            )


def _refuse_slow_decoding(done: int, total: int, took: float, seconds_left: float, *, before: int = 0) -> None:
    """Raises a `UserError` as soon as it is known that the pictures will not be decoded in the time that is left.

    Args:
        done: Pictures that are decoded.
        total: Pictures in all.
        took: Seconds for those after the first `before`.
        seconds_left: Of the time budget.
        before: Pictures that were decoded when the clock was started.
    """
    to_go = took / max(1, done - before) * (total - done)
    most = seconds_left * (1 if took >= SURE_SECONDS else FAR_TOO_LONG)
    if seconds_left <= 0 or (took >= RATE_SECONDS and to_go > most):
        more = f"takes about {to_go:.0f} s more" if took else "has only begun"
        raise UserError(
            f"decoding the {total:,} pictures {more}, the time budget ends in {seconds_left:.0f} s: give a longer "
            "--time-budget. It is done once, and later searches do without"
        )


def refuse_leaks(prepared: Prepared, *, allowed: bool, by_picture: bool = False) -> list[str]:
    """Looks for the same pictures on two sides of the split, or with two labels.

    Args:
        prepared: The pictures and their split.
        allowed: Whether the search goes on all the same.
        by_picture: Whether the split parts the pictures of a group.

    Returns:
        What the user should know.

    Raises:
        DataError: The very same picture stands on two sides, and that is not allowed.
    """
    table = prepared.manifest.table
    named = table[table["split"] != ""]
    given = dict(zip(named["path"], named["split"], strict=True))
    group_of = dict(zip(table["path"], table["group"], strict=True))  # which a split by picture has forgotten
    split = prepared.split.table
    split = split.assign(group=split["path"].map(group_of))
    leaks = check_leaks(split, prepared.cache, prepared.manifest.root, given)
    copies = _beside(prepared.cache, COPIES, leaks.copies()) if leaks.pairs else None
    if not leaks.exact:
        return leaks.warnings(copies)
    error = leaks.error(_beside(prepared.cache, SAME_GROUPS, leaks.same_groups()), by_picture=by_picture)
    if not allowed:
        raise DataError([error])
    return [error, *leaks.warnings(copies)]


def _beside(cache: ImageCache, name: str, content: bytes) -> Path | None:
    """Writes a file beside the decoded pictures; None for a shared cache that is read-only."""
    path = cache.path / name
    try:
        write_whole(path, content)
    except OSError:
        return None
    return path


def say_mirror_classes(prepared: Prepared, own_space: bool) -> str:
    """A sentence about classes that are each other's mirror image, with the way out; empty for most data."""
    manifest = prepared.manifest
    found = mirror_classes(prepared.split.table, prepared.cache, manifest.classes)
    if not found:
        return ""
    if own_space:
        what = "Your own space decides whether pictures are mirrored; to mirror none, give --flip never."
    else:
        what = "No picture is mirrored in training (--flip search mirrors them as the space says)."
    return f"{pairs_in_words(found)} {what}"


def seen_by_weights(files: Mapping[str, str], prepared: Prepared) -> list[str]:
    """A sentence about weights of a model of ours that has seen pictures which it is scored on now; none for others.

    Args:
        files: Of weights, by backbone. Beside those of a model lies the split that it was made with.
        prepared: The pictures.
    """
    said, table = [], prepared.split.table
    for file in dict.fromkeys(files.values()):
        split = RunFolder(Path(file).parent).split_csv
        if not (split.is_file() and split.with_name(DESCRIPTION).is_file()):
            continue
        seen = {row.path for row in read_split(split) if row.split != "test"}
        sides = table.loc[table["path"].isin(seen), "split"]
        val, test = int((sides == "val").sum()), int((sides == "test").sum())
        if val or test:
            said.append(
                f"The model in {split.parent} was trained on or picked by {val:,} of the validation and {test:,} of "
                "the test pictures: scores on them flatter what starts from it. To keep its test "
                f"{prepared.manifest.units} unseen, search with the pictures and the --seed of its own search."
            )
    return said


def data_facts(prepared: Prepared, config: DataConfig, split: SplitFlags, seed: int) -> dict[str, Any]:
    """What the record says of the pictures."""
    manifest, table = prepared.manifest, prepared.split.table
    counts = table["label"].value_counts()
    sides = {
        side: {
            "pictures": len(rows),
            "groups": rows["group"].nunique(),
            "classes": rows["label"].nunique(),
        }
        for side in ("train", "val", "test")
        for rows in [table[table["split"] == side]]
    }
    return {
        "source": str(config.data.expanduser().resolve()) if config.data else BUILT_IN,
        **({} if config.data is None else shelf.data_facts(config.data)),
        "layout": manifest.layout,
        "understood": manifest.understood,
        "pictures": len(table),
        "groups": table["group"].nunique() if manifest.has_groups else None,
        "classes": len(manifest.classes),
        "imbalance": round(float(counts.max() / counts.min()), 2),
        "skipped": list(manifest.skipped),
        "decoded": prepared.cache.remarks,
        "corrected": manifest.corrected_rows,
        "sides": sides,
        "split": {"seed": seed, **{name: getattr(split, name) for name in SPLIT_SETTINGS if name != "seed"}},
    }


def _with_demo(config: DataConfig, cache_dir: Path, console: Console) -> DataConfig:
    if config.data is not None:
        return config
    folder = cache_dir / f"demo-{FORMAT}"
    if not folder.exists():
        say(console, f"Drawing the built-in demo set into {folder}")
        doing(console, "drawing the demo set")
    return DataConfig(**{**vars(config), "data": make_demo_data(folder)})


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or is_quiet(console),
    )
