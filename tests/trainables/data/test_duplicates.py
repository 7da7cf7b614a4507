"""Copies of pictures are found, whatever was done to them, and other pictures are not taken for copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image, ImageEnhance

from trainables.data import duplicates
from trainables.data.cache import ImageCache, build_cache
from trainables.data.demo.draw import make_demo_data
from trainables.data.duplicates import FILE_NAME, Duplicate, across, check_leaks, find_duplicates


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture each of six people, and copies of the first."""
    root = tmp_path_factory.mktemp("people")
    demo = make_demo_data(root / "demo", people=6, eval_people=1, height=128, workers=1)
    for number, folder in enumerate(sorted((demo / "train" / "images").iterdir())):
        shutil.copy(folder / "normal.jpg", root / f"person{number}.jpg")
    with Image.open(root / "person0.jpg") as picture:
        picture.save(root / "again.jpg", quality=50)
        picture.resize((60, 80)).save(root / "small.png")
        ImageEnhance.Brightness(picture).enhance(1.1).save(root / "bright.jpg")
    shutil.copy(root / "person1.jpg", root / "same.jpg")
    return root


@pytest.fixture
def cache(people: Path, tmp_path: Path) -> ImageCache:
    return build_cache([str(path) for path in people.glob("*.*g")], 64, tmp_path)


def pairs(found: list[Duplicate]) -> set[frozenset[str]]:
    return {frozenset((Path(pair.first).stem, Path(pair.second).stem)) for pair in found}


def test_copies_are_found_and_other_people_are_not(cache: ImageCache) -> None:
    found = find_duplicates(cache, list(cache.rows))
    copies = ("person0", "again", "small", "bright")
    assert pairs([pair for pair in found if pair.exact]) == {frozenset(("person1", "same"))}
    assert {frozenset(("person0", name)) for name in copies[1:]} <= pairs(found)
    assert all(pair <= set(copies) for pair in pairs([pair for pair in found if not pair.exact]))


def test_what_was_found_is_kept_and_a_broken_file_is_replaced(cache: ImageCache) -> None:
    paths = list(cache.rows)
    found = find_duplicates(cache, paths)
    kept = cache.path / FILE_NAME
    before = kept.stat().st_mtime_ns
    assert find_duplicates(cache, paths) == found
    assert kept.stat().st_mtime_ns == before
    kept.write_text("{")
    assert find_duplicates(cache, paths) == found
    assert kept.read_text() != "{"


def test_a_folder_that_cannot_be_written_is_no_trouble(cache: ImageCache) -> None:
    (cache.path / FILE_NAME).mkdir()
    assert find_duplicates(cache, list(cache.rows))
    assert not list(cache.path.glob("*.tmp-*"))


def test_only_the_pictures_asked_for_are_paired(cache: ImageCache, people: Path) -> None:
    for names in (("person2", "person3"), ("same", "person2")):
        assert not find_duplicates(cache, [str(people / f"{name}.jpg") for name in names])
    assert pairs(find_duplicates(cache, [str(people / "again.jpg"), str(people / "bright.jpg")])) == {
        frozenset(("again", "bright"))
    }


def test_across_keeps_the_pairs_that_differ() -> None:
    one, two = Duplicate("a", "b", 0, True), Duplicate("a", "c", 3, False)
    assert across([one, two], {"a": "train", "b": "train", "c": "val"}) == [two]


def split(cache: ImageCache, val: set[str]) -> pandas.DataFrame:
    rows = [
        (path, "x" if Path(path).stem == "same" else "y", Path(path).stem, "val" if Path(path).stem in val else "train")
        for path in cache.rows
    ]
    return pandas.DataFrame(rows, columns=["path", "label", "group", "split"], dtype=str)


def test_a_copy_on_another_side_is_an_error_with_a_way_out(cache: ImageCache, people: Path) -> None:
    leaks = check_leaks(split(cache, {"same"}), cache, people)
    error = leaks.error(Path("lines.csv"))
    assert error is not None
    assert "person1.jpg (train, group person1, y) and same.jpg (val, group same, x)" in error
    assert "--corrections lines.csv" in error
    assert leaks.same_groups().decode().splitlines()[:2] == ["key,column,value", "same.jpg,group,person1"]
    assert "--allow-leak" in error
    assert not leaks.near
    assert any("another label" in line for line in leaks.warnings())


def test_near_copies_on_another_side_are_a_warning(cache: ImageCache) -> None:
    leaks = check_leaks(split(cache, {"again"}), cache)
    assert not leaks.exact
    assert any("nearly the same picture on two sides" in line and "again.jpg (val" in line for line in leaks.warnings())


def test_pictures_without_number_that_all_look_the_same_do_not_make_pairs_without_number() -> None:
    hashes = np.zeros((1000, 4), dtype=np.uint64)
    assert len(duplicates._near_pairs(hashes)) <= 1000 * duplicates.MOST_NEIGHBOURS


def test_pairs_of_hashes_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (600, 4), dtype=np.uint64)
    hashes[500] = hashes[3] ^ np.array([7, 0, 0, 1 << 40], dtype=np.uint64)
    assert duplicates._near_pairs(hashes).tolist() == [[3, 500, 4]]


def plain_pairs(hashes: np.ndarray) -> list[list[int]]:
    """Every hash with all that come later, the nearest first."""
    found = []
    for first in range(len(hashes)):
        bits = np.bitwise_count(hashes[first] ^ hashes[first + 1 :]).sum(axis=1, dtype=int)
        near = [(int(bits[i]), first + 1 + int(i)) for i in np.flatnonzero(bits <= duplicates.MOST_BITS)]
        found += [[first, second, distance] for distance, second in sorted(near)[: duplicates.MOST_NEIGHBOURS]]
    return found


@pytest.mark.parametrize("flips", [2, 8, 20])
def test_pairs_are_the_same_however_the_hashes_are_cut_into_blocks(flips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(flips)
    kinds = rng.integers(0, 2**63, (5, 4), dtype=np.uint64)[rng.integers(5, size=700)]
    for _ in range(flips):  # each one a bit, in any of its words
        kinds[np.arange(700), rng.integers(4, size=700)] ^= np.uint64(1) << rng.integers(64, size=700, dtype=np.uint64)
    expected = plain_pairs(kinds)
    assert len(expected) > 10_000 and duplicates._near_pairs(kinds).tolist() == expected
    monkeypatch.setattr(duplicates, "BLOCK", 17)
    monkeypatch.setattr(duplicates, "TILE", 100)
    assert duplicates._near_pairs(kinds).tolist() == expected


def test_white_and_grey_walls_are_not_the_same_picture(tmp_path: Path) -> None:
    for name, grey in (("white", 250), ("grey", 90), ("also_grey", 91)):
        Image.new("RGB", (80, 80), (grey,) * 3).save(tmp_path / f"{name}.png")
    walls = build_cache([str(path) for path in tmp_path.glob("*.png")], 64, tmp_path / "cache")
    assert pairs(find_duplicates(walls, list(walls.rows))) == {frozenset(("grey", "also_grey"))}
