"""Shows what a data set holds before it is searched: classes, people, copies, and what a careless split would do.

    python scripts/explore.py --data pictures/

Writes report.html, one page that can be mailed, the same as report.md with its figures, and copies.csv, a list of the
pictures that are there twice, into runs/explore-<name of the data>. The built-in data (840 pictures) take about a
minute on one core without a GPU, 5,000 pictures three to four, most of it for embeddings and probes.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console

from scripts.terminal import progress, run_command, voiced
from search.flags import CacheFlags, SplitFlags, at_least
from search.terminal import VoiceFlags, doing, idle
from trainables.data.manifest import DataConfig
from trainables.errors import UserError
from trainables.free_names import numbered
from trainables.machine.cores import usable_cores
from trainables.strict_json import RecordError, load_object

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from results.statistics.exploration import Exploration
    from results.statistics.probe import Flattery
    from search.prepare import Prepared
    from trainables.data.duplicates import Duplicate
    from trainables.data.rows import SplitRow
    from trainables.networks.weights import ResolvedWeights

PREFERRED = "tf_efficientnet_lite0"
"""Its weights come as a package, and it is the fastest of the space without a GPU."""
NUM_SEEDS = 5
MOST_CLASSES, PER_CLASS = 60, 8
"""Classes on the page, and pictures of each."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show what a data set holds, before it is searched."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)
    out: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/explore-<data>)")] = None
    """Folder for the report; an earlier exploration there is replaced."""
    image_size: int = 96
    """Side of the square picture the network sees, in pixels."""
    backbone: Annotated[str | None, tyro.conf.arg(help_behavior_hint="(default: an EfficientNet)")] = None
    """Network for the embeddings, a timm name."""
    weights: str = "auto"
    """auto (hub cache, package, hub), none (random), or a folder of <timm name>.safetensors."""
    seed: int = 0
    """Seed of the split, and the first of the five of the probe."""
    cache: tyro.conf.OmitArgPrefixes[CacheFlags] = field(default_factory=CacheFlags)


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and explores; a user's mistake is one message and exit code 2."""
    return run_command(
        Options,
        lambda options: voiced(options.voice, lambda console: explore(options, console), STARTED),
        args,
        prog="scripts/explore.py",
    )


def explore(options: Options, console: Console) -> int:
    """The pipeline: pictures, weights, embeddings, probes, report."""
    at_least("image_size", options.image_size, 16)
    at_least("seed", options.seed, 0)
    out = _out_dir(options)
    from results.pages.exploration_report import PAGE, save_exploration
    from results.pages.report_pictures import sample_pictures
    from results.statistics.exploration import Exploration, advice, class_facts, group_facts
    from results.statistics.probe import map_of
    from search.prepare import data_facts, prepare_data
    from trainables.data.duplicates import find_duplicates, leaks_among
    from trainables.data.mirror_classes import mirror_classes
    from trainables.data.rows import COLUMNS, SplitRow
    from trainables.data.split import render_split
    from trainables.networks.embeddings import embed_pictures

    data = dataclasses.replace(options.data.absolute(), skip_bad=True)  # bad pictures are reported, not fatal
    sides, cache_path = SplitFlags(), options.cache.cache_path
    prepared = prepare_data(
        data, sides, seed=options.seed, image_size=options.image_size, cache_path=cache_path, console=console
    )
    manifest, table = prepared.manifest, prepared.split.table
    doing(console, "looking for weights")
    weights = choose_weights(options.backbone, options.weights, cache_path)
    paths, backbone = list(table["path"]), weights.backbones[0]
    doing(console, "looking for duplicates")
    duplicates = find_duplicates(prepared.cache, paths)
    pairs = pairs_of(duplicates, prepared)
    doing(console, "looking for classes that are mirror images of each other")
    mirrored = tuple(mirror_classes(table, prepared.cache, manifest.classes))
    sizes, formats = read_headers(paths)
    with progress(console) as show:
        features = embed_pictures(
            prepared.cache,
            paths,
            backbone,
            weights.files.get(backbone),
            options.image_size,
            seed=options.seed,
            on_progress=partial(show, "computing embeddings"),
        )
        flattery = measure_flattery(prepared, features, options.seed, partial(show, "fitting probes"))
    doing(console, "drawing the map and the report")
    chosen, positions = map_of(features, options.seed)
    found = Exploration(
        source=data_facts(prepared, data, sides, options.seed)["source"],
        layout=manifest.layout,
        split=prepared.split.method,
        sides=render_split(prepared.split),
        has_groups=manifest.has_groups,
        classes=class_facts(table),
        groups=group_facts(table) if manifest.has_groups else (),
        sizes=sizes,
        formats=formats,
        bad=manifest.skipped,
        pairs=pairs,
        mirrored=mirrored,
        image_size=options.image_size,
        weights=f"{backbone}, {weights.sources[backbone]}",
        flattery=flattery,
    )
    for line in [*prepared.cache.remarks, *prepared.cache.warnings]:
        console.print(f"* {line}", highlight=False, markup=False, soft_wrap=True)
    figures = draw(found, prepared, chosen, positions)
    doing(console, "drawing pictures of every class, and augmentations")
    rows = [SplitRow(*values) for values in table[list(COLUMNS)].itertuples(index=False)]
    samples = sample_pictures(manifest.classes, rows, MOST_CLASSES, PER_CLASS)
    sheet = draw_augmentations(rows, options.image_size, options.data.picture_bytes)
    doing(console, "writing the page and the report")
    copies = leaks_among(duplicates, table, manifest.root).copies()
    save_exploration(out, found, figures, samples, sheet, copies)
    idle(console)
    for line in advice(found):
        console.print(f"* {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{out / PAGE}", highlight=False, markup=False, soft_wrap=True)
    return 0


def choose_weights(backbone: str | None, policy: str, cache_dir: Path) -> ResolvedWeights:
    """Weights for this backbone, or for the first EfficientNet that has some; random if none has.

    Raises:
        UserError: The backbone is none of timm's, or its weights cannot be had or do not fit.
    """
    import timm

    from spaces.efficientnet import BACKBONES
    from trainables.networks.weights import check_weights, resolve_weights

    if backbone is not None and not timm.is_model(backbone):
        raise UserError(f"--backbone {backbone}: timm has no such model")
    names = [backbone] if backbone else [PREFERRED, *(name for name in BACKBONES if name != PREFERRED)]
    if policy != "auto":
        found = resolve_weights(names, policy, cache_dir)
    else:  # one by one: asked for all, the hub would send all
        found = next(
            (one for name in names if (one := resolve_weights([name], policy, cache_dir)).files),
            resolve_weights(names[:1], "none", cache_dir),
        )
    if file := found.files.get(found.backbones[0]):
        check_weights(found.backbones[0], file)
    return found


def measure_flattery(
    prepared: Prepared, features: np.ndarray, seed: int, on_progress: Callable[[int, int], None]
) -> Flattery | None:
    """Scores a probe on splits by group and by picture; None without groups, or where such a split cannot be drawn.

    Sides that the data name are left aside: they would be the same in every split.
    """
    from results.statistics.probe import Flattery, probe_score
    from trainables.data.manifest import DataError
    from trainables.data.split import split_by_group

    if not prepared.manifest.has_groups:
        return None
    manifest = dataclasses.replace(prepared.manifest, table=prepared.manifest.table.assign(split=""))
    row_of = {path: row for row, path in enumerate(prepared.split.table["path"])}
    scores: dict[str, list[float]] = {"group": [], "picture": []}
    for number in range(NUM_SEEDS):
        for by, found in scores.items():
            try:
                table = split_by_group(manifest, seed=seed + number, by=by).table  # type: ignore[arg-type]
            except DataError:
                return None
            rows = [row_of[path] for path in table["path"]]
            found.append(probe_score(features[rows], table["label"], (table["split"] == "train").to_numpy()))
        on_progress(number + 1, NUM_SEEDS)
    return Flattery(tuple(scores["group"]), tuple(scores["picture"]))


def pairs_of(duplicates: Sequence[Duplicate], prepared: Prepared) -> tuple:
    """The same or nearly the same pictures, with what sets them apart."""
    from results.statistics.exploration import Pair
    from trainables.data.raw import relative_path

    table = prepared.split.table
    facts = {row.path: row for row in table.itertuples()}
    root = str(prepared.manifest.root)
    return tuple(
        Pair(
            relative_path(pair.first, root),
            relative_path(pair.second, root),
            pair.distance,
            pair.exact,
            across_groups=first.group != second.group,
            across_sides=first.split != second.split,
            across_labels=first.label != second.label,
        )
        for pair in duplicates
        for first, second in [(facts[pair.first], facts[pair.second])]
    )


def read_headers(paths: Sequence[str]) -> tuple[tuple[tuple[int, int], ...], dict[str, int]]:
    """Width and height of each picture, and how many there are of each format, the commonest first."""
    from PIL import Image

    def header(path: str) -> tuple[tuple[int, int], str]:
        with Image.open(path) as image:
            return image.size, image.format or "unknown"

    with ThreadPoolExecutor(usable_cores()) as pool:
        headers = list(pool.map(header, paths))
    return tuple(size for size, _ in headers), dict(Counter(kind for _, kind in headers).most_common())


def draw(found: Exploration, prepared: Prepared, chosen: np.ndarray, positions: np.ndarray) -> dict[str, Figure]:
    """The figures of the report by section."""
    from results.pages import exploration_figures as figures

    table = prepared.split.table.iloc[chosen]
    groups = list(table["group"]) if found.has_groups else None
    what = f"{len(chosen):,} of {found.pictures:,} pictures" if len(chosen) < found.pictures else "All pictures"
    title = f"{what} in the eyes of {found.weights.split(',')[0]}"
    drawn = {
        "classes": figures.classes_figure(found.classes, found.has_groups),
        "sizes": figures.sizes_figure(found.sizes, found.image_size),
        "embedding": figures.embedding_figure(figures.Map(positions, list(table["label"]), groups), title),
    }
    if found.has_groups:
        drawn["groups"] = figures.groups_figure(found)
    if found.flattery:
        drawn["flattery"] = figures.flattery_figure(found.flattery)
    if found.pairs:
        facts = {row.path: f"{row.split}, {row.group}\n{row.label}" for row in prepared.split.table.itertuples()}
        apart = [pair for pair in found.pairs if pair.across_groups or pair.across_sides]
        files = [
            tuple(os.path.normpath(prepared.manifest.root / path) for path in (p.first, p.second))
            for p in apart or found.pairs
        ]
        pairs = [
            (first, f"{Path(first).name}\n{facts[first]}", second, f"{Path(second).name}\n{facts[second]}")
            for first, second in files
        ]
        where = "in different groups or on different sides" if apart else "all within one group and side"
        drawn["duplicates"] = figures.pairs_figure(pairs, f"The same picture, or nearly, {where}")
    return drawn


def draw_augmentations(rows: Sequence[SplitRow], image_size: int, memory_bytes: int | None) -> bytes | None:
    """What each augmentation does to a picture of each of the four largest classes, or to four pictures of fewer.

    Returns:
        A PNG; None where there are not four pictures to train on.
    """
    from scripts.draw_augmentations import NUM_PICTURES, draw_sheet

    train = [row for row in rows if row.split == "train"]
    largest = [name for name, _ in Counter(row.label for row in train).most_common(NUM_PICTURES)]
    firsts = [next(row.path for row in train if row.label == name) for name in largest]
    chosen = [*firsts, *(row.path for row in train if row.path not in firsts)][:NUM_PICTURES]
    if len(chosen) < NUM_PICTURES:
        return None
    return draw_sheet([Path(path) for path in chosen], image_size, memory_bytes).png


def _out_dir(options: Options) -> Path:
    from results.pages.exploration_report import MARKER, WHAT
    from results.pages.report_folder import refuse_foreign_folder
    from results.records.run_folder import RUNS

    out = options.out
    if out is None:
        whole = None if options.data.data is None else options.data.data.expanduser().resolve()
        name = "demo" if whole is None else (whole.stem if whole.is_file() else whole.name) or "data"
        out = next(found for each in numbered(f"explore-{name}") if _is_of(found := RUNS / each, whole))
    out = out.expanduser().absolute()
    refuse_foreign_folder(out, MARKER, WHAT)
    return out


def _is_of(report: Path, data: Path | None) -> bool:
    """Whether a report of the data may be there: one of them is, or nothing, or what is refused for another reason."""
    from results.pages.exploration_report import MARKER
    from results.records.shelf import BUILT_IN

    try:
        source = load_object(report / MARKER).get("source")
    except (OSError, RecordError):
        return True
    return source == (BUILT_IN if data is None else str(data))


if __name__ == "__main__":
    sys.exit(main())
