"""The way out of pictures that stand on two sides, followed."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from rich.console import Console

from search import prepare as module
from search.flags import SplitFlags
from search.prepare import Prepared, prepare_data, refuse_leaks, say_mirror_classes, seen_by_weights
from search.terminal import Terminal, VoiceFlags
from trainables.data.manifest import DataConfig, DataError
from trainables.data.split import Split
from trainables.saved.model_description import DESCRIPTION


def prepared(data: Path, cache: Path, corrections: Path | None = None) -> Prepared:
    config = DataConfig(data=data, corrections=corrections)
    return prepare_data(config, SplitFlags(), seed=0, image_size=32, cache_path=cache, console=Console())


def copied(pictures: Path, data: Path, kind: str) -> None:
    """Pictures of which every third stands there a second time, in folders or in a CSV."""
    rows = [line.split(",") for line in (pictures / "train.csv").read_text().splitlines()[1:]]
    lines = []
    for number, (name, label, group) in enumerate(rows):
        folder = data / label if kind == "folders" else data
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pictures / name, folder / name)
        lines.append(f"{name},{label},{group}")
        if number % 3 == 0:
            shutil.copyfile(pictures / name, folder / f"copy, of {name}")
            lines.append(f'"copy, of {name}",{label},other{number % 5}')
    if kind == "groups":
        (data / "train.csv").write_text("\n".join(["path,label,group", *lines]))
    elif kind == "pictures":
        (data / "train.csv").write_text("\n".join(["path,label", *(line.rpartition(",")[0] for line in lines)]))


def with_given_test(data: Path) -> None:
    """The folders of classes below a train side, and some of each class below a test side."""
    for folder in list(data.iterdir()):
        for number, path in enumerate(sorted(folder.iterdir())):
            side = data / ("Testing" if number % 5 == 0 and "copy" not in path.name else "Training") / folder.name
            side.mkdir(parents=True, exist_ok=True)
            path.rename(side / path.name)
        folder.rmdir()


@pytest.mark.parametrize("kind", ["folders", "sides", "pictures", "groups"])
def test_copies_on_two_sides_are_put_into_one_group_as_the_message_says(
    kind: str, pictures: Path, tmp_path: Path
) -> None:
    copied(pictures, tmp_path / "data", "folders" if kind == "sides" else kind)
    if kind == "sides":
        with_given_test(tmp_path / "data")
    found = prepared(tmp_path / "data", tmp_path / "cache")
    with pytest.raises(DataError, match="byte for byte") as error:
        refuse_leaks(found, allowed=False)
    said = re.search(r"--corrections (\S+),", str(error.value))
    assert said is not None
    mended = prepared(tmp_path / "data", tmp_path / "cache", Path(said[1]))
    refuse_leaks(mended, allowed=False)
    assert mended.manifest.corrected_rows >= 30
    assert refuse_leaks(found, allowed=True)  # the other way out
    with pytest.raises(DataError, match="Leave out --split-by picture and give a picture and its copy the same group"):
        refuse_leaks(found, allowed=False, by_picture=True)


def test_corrections_after_a_split_by_picture_name_the_groups_of_the_data(pictures: Path, tmp_path: Path) -> None:
    copied(pictures, tmp_path / "data", "groups")
    sides = SplitFlags(split_by="picture")
    config = DataConfig(data=tmp_path / "data")
    found = prepare_data(config, sides, seed=0, image_size=32, cache_path=tmp_path / "cache", console=Console())
    with pytest.raises(DataError, match="Leave out --split-by picture") as error:
        refuse_leaks(found, allowed=False, by_picture=True)
    said = re.search(r"--corrections (\S+),", str(error.value))
    assert said is not None
    groups = {line.rpartition(",")[2] for line in Path(said[1]).read_text().splitlines()[1:]}
    assert groups <= set(found.manifest.table["group"])
    refuse_leaks(prepared(tmp_path / "data", tmp_path / "cache", Path(said[1])), allowed=False)


def test_all_copies_are_listed_with_what_sets_them_apart(pictures: Path, tmp_path: Path) -> None:
    copied(pictures, tmp_path / "data", "groups")
    table = tmp_path / "data" / "train.csv"
    head, first, *rows = table.read_text().splitlines()
    name, label, group = first.split(",")
    other = next(row.split(",")[-2] for row in rows if row.split(",")[-2] != label)
    table.write_text("\n".join([head, f"{name},{other},{group}", *rows]))
    found = prepared(tmp_path / "data", tmp_path / "cache")
    said = re.search(r"All pairs are listed in (\S+copies.csv)\.", "\n".join(refuse_leaks(found, allowed=True)))
    assert said is not None
    pairs = pandas.read_csv(said[1])
    assert list(pairs.columns) == ["first", "second", "distance", "exact", "sides", "groups", "labels"]
    [pair] = pairs[pairs["labels"].str.contains("|", regex=False)].to_dict("records")
    assert {pair["first"], pair["second"]} == {name, f"copy, of {name}"}
    assert (pair["distance"], pair["exact"]) == (0, "yes")
    assert set(pair["labels"].split(" | ")) == {label, other} and group in pair["groups"].split(" | ")
    assert len(pairs) >= 30 and set(pairs["sides"].str.split(" | ", regex=False).explode()) == {"train", "val", "test"}


def test_copies_that_lie_beside_the_table_are_put_into_one_group_as_well(pictures: Path, tmp_path: Path) -> None:
    copied(pictures, tmp_path, "pictures")
    (tmp_path / "labels").mkdir()
    rows = (tmp_path / "train.csv").read_text().splitlines()
    moved = [row.replace('"copy', '"../copy') if row[0] == '"' else f"../{row}" for row in rows[1:]]
    (tmp_path / "labels" / "train.csv").write_text("\n".join([rows[0], *moved]))
    found = prepared(tmp_path / "labels", tmp_path / "cache")
    with pytest.raises(DataError, match="byte for byte") as error:
        refuse_leaks(found, allowed=False)
    said = re.search(r"--corrections (\S+),", str(error.value))
    assert said is not None
    refuse_leaks(prepared(tmp_path / "labels", tmp_path / "cache", Path(said[1])), allowed=False)


def test_a_cache_that_is_read_alone_costs_the_file_and_not_the_way_out(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(pictures, tmp_path / "data", "folders")
    found = prepared(tmp_path / "data", tmp_path / "cache")

    def shut(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "write_whole", shut)
    with pytest.raises(DataError, match="by --corrections FILE with lines such as PATH,group,NAME"):
        refuse_leaks(found, allowed=False)
    assert refuse_leaks(found, allowed=True)


@pytest.mark.parametrize(
    ("pairs", "named"), [(1, "left 0 and right 0."), (4, "left 2 and right 2, and 1 more pair."), (5, "2 more pairs.")]
)
def test_classes_that_are_mirror_images_are_named_with_the_way_out(pairs: int, named: str) -> None:
    classes = [f"{side} {number}" for number in range(pairs) for side in ("left", "right")]
    found: Any = SimpleNamespace(
        manifest=SimpleNamespace(classes=classes), split=SimpleNamespace(table=None), cache=None
    )
    said = say_mirror_classes(found, own_space=False)
    assert f"{named} No picture is mirrored in training (--flip search" in said
    assert f"{named} Your own space decides" in say_mirror_classes(found, own_space=True)


def test_only_decoding_goes_on_beside_what_starts_meanwhile(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []

    def noted(name: str) -> Callable[..., Any]:
        usual = getattr(module, name)
        return lambda *args, **more: (happened.append(name), usual(*args, **more))[1]

    @contextmanager
    def beside() -> Iterator[None]:
        happened.append("begins")
        yield
        happened.append("has begun")

    for name in ("split_by_group", "build_cache"):
        monkeypatch.setattr(module, name, noted(name))
    data = shutil.copytree(pictures, tmp_path / "data")
    next(data.glob("*.png")).write_bytes(b"no picture")
    config = DataConfig(data=data, skip_bad=True)
    places = {"cache_path": tmp_path / "cache", "console": Console()}
    prepare_data(config, SplitFlags(), seed=0, image_size=32, **places, beside=beside())
    # The second split, without the bad picture, may do linear algebra, which must not meet a fork.
    assert happened == ["split_by_group", "begins", "build_cache", "has begun", "split_by_group"]


@pytest.mark.parametrize(("kind", "whom"), [("pictures", "pictures"), ("groups", "people")])
def test_people_are_only_spoken_of_where_the_data_name_them(
    kind: str, whom: str, pictures: Path, tmp_path: Path
) -> None:
    copied(pictures, tmp_path / "data", kind)
    said = io.StringIO()
    places = {"cache_path": tmp_path / "cache", "console": Terminal(VoiceFlags(verbose=True), file=said, width=200)}
    data = DataConfig(data=tmp_path / "data")
    ready = prepare_data(data, SplitFlags(), seed=0, image_size=32, **places)
    assert f"dealing the {whom} out to train, val and test" in said.getvalue()
    weights = tmp_path / "model" / "model.safetensors"
    Split(ready.split.table.assign(split="val"), None, "another").save(weights.with_name("split.csv"))
    weights.with_name(DESCRIPTION).touch()
    [words] = seen_by_weights({"net": str(weights)}, ready)
    assert f"To keep its test {whom} unseen" in words


def test_weights_that_have_seen_who_they_are_scored_on_are_named(pictures: Path, tmp_path: Path) -> None:
    ready = prepared(pictures, tmp_path / "cache")
    weights = tmp_path / "model" / "model.safetensors"
    files = {"net": str(weights)}
    assert seen_by_weights(files, ready) == []
    table = ready.split.table
    Split(table.assign(split="test"), None, "another").save(weights.with_name("split.csv"))
    assert seen_by_weights(files, ready) == []
    (weights.parent / "model.json").write_text("{}")
    Split(table.assign(split="train"), None, "another").save(weights.with_name("split.csv"))
    counts = table["split"].value_counts()
    [said] = seen_by_weights(files, ready)
    assert f"by {counts['val']} of the validation and {counts['test']} of the test pictures" in said
