"""The picture cache: right pixels, once, whoever asks and however they were interrupted."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.data import cache as module
from trainables.data.cache import CacheError, ImageCache, _key, build_cache, find_unreadable, stored_size
from trainables.data.decoding import decode
from trainables.data.duplicates import find_duplicates


def test_a_picture_is_resized_by_its_short_side_and_cropped_in_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((300, 100, 3), np.uint8)
    pixels[100:200] = (10, 200, 30)  # the middle square
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cache = build_cache([str(tmp_path / "a.png")], 32, tmp_path / "cache")
    assert cache.images.shape == (1, stored_size(32), stored_size(32), 3)
    inner = cache.images[0, 2:-2]  # the bicubic filter looks past the edge of the square
    assert np.array_equal(inner, np.broadcast_to((10, 200, 30), inner.shape))


def test_a_picture_is_turned_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:30] = 255
    upright = Image.fromarray(pixels)
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the top lies at the right
    upright.rotate(90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    straight, turned = decode(str(tmp_path / "upright.png"), 20), decode(str(tmp_path / "turned.jpg"), 20)
    assert np.abs(straight.astype(int) - turned.astype(int)).mean() < 5


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.full((40, 40), 128, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) << 8)
    else:
        image = Image.fromarray(grey).convert("RGB" if mode in ("CMYK", "RGBA", "P") else "L").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    got = decode(str(path), 20)
    assert got.shape == (20, 20, 3)
    assert got.dtype == np.uint8
    if mode != "1":
        assert abs(got.mean() - 128) < 3


def test_bad_pictures_are_told_apart_and_told_again(tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    Image.effect_noise((80, 80), 90).convert("RGB").save(good)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:900])
    (tmp_path / "empty.jpg").touch()
    paths = [str(tmp_path / name) for name in ("good.jpg", "text.jpg", "cut.jpg", "empty.jpg", "gone.jpg")]
    for _ in range(2):  # the second time from the cache
        bad = build_cache(paths, 32, tmp_path / "cache").bad
        assert set(bad) == set(paths[1:])
        assert "not a picture" in bad[paths[1]]
        assert "broken picture" in bad[paths[2]]
        assert bad[paths[4]] == "missing"


def test_a_second_start_decodes_nothing_and_a_changed_picture_makes_a_new_cache(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes((pictures / "p00_0.png").read_bytes())
    decoded: list[int] = []

    def build(size: int = 32) -> ImageCache:
        return build_cache([str(path)], size, tmp_path / "cache", on_progress=lambda done, total: decoded.append(done))

    first = build()
    assert build().path == first.path
    assert decoded == [1]
    assert build(40).path != first.path
    os.utime(path, (1, 1))
    assert build().path != first.path
    assert len(decoded) == 3


def test_pictures_are_given_to_the_threads_a_few_at_a_time(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(path) for path in pictures.glob("*.png")]
    whole = build_cache(paths, 32, tmp_path / "whole")
    monkeypatch.setattr(module, "AT_ONCE", 7)
    done: list[int] = []
    parts = build_cache(paths, 32, tmp_path / "parts", on_progress=lambda number, total: done.append(number))
    assert done == list(range(1, len(paths) + 1)) and np.array_equal(parts.images, whole.images)


def test_two_that_start_together_decode_once(pictures: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in pictures.glob("*.png")]
    decoded: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        caches = list(
            pool.map(
                lambda _: build_cache(paths, 32, tmp_path, on_progress=lambda done, total: decoded.append(done)),
                range(2),
            )
        )
    assert caches[0].path == caches[1].path
    assert len(decoded) == len(paths)


def test_what_a_killed_process_left_is_cleared(pictures: Path, tmp_path: Path) -> None:
    paths = [str(pictures / "p00_0.png")]
    path = build_cache(paths, 32, tmp_path).path
    half = path.rename(path.with_name(f"{path.name}.tmp-99999"))
    (half / "meta.json").unlink()
    assert build_cache(paths, 32, tmp_path).path == path
    assert not half.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"cannot write the picture cache .*--cache-dir"):
        build_cache([str(tmp_path / "a.png")], 32, tmp_path / "file" / "cache")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Has the disk refuse to read the files whose name contains `name`."""
    usual = Image.open

    def opened(path: str, *args: Any, **more: Any) -> Image.Image:
        if name in path:
            raise OSError(number, os.strerror(number), path)
        return usual(path, *args, **more)

    monkeypatch.setattr(Image, "open", opened)


def test_a_picture_that_its_disk_cannot_read_is_named_and_tried_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(str(path) for path in pictures.glob("p00_*.png"))
    with monkeypatch.context() as broken:
        failing(broken, "p00_1", errno.EIO)
        for _ in range(2):
            cache = build_cache(paths, 32, tmp_path)
            reason = "cannot be read (Input/output error): the disk or share that it lies on fails"
            assert cache.bad == {paths[1]: reason}
        assert find_unreadable(paths) == cache.bad
        before = find_duplicates(cache, paths)
    mended = build_cache(paths, 32, tmp_path)
    assert mended.path == cache.path and not mended.bad
    assert np.array_equal(mended.images, build_cache(paths, 32, tmp_path / "another").images)
    assert find_duplicates(mended, paths) == find_duplicates(build_cache(paths, 32, tmp_path / "another"), paths)
    assert before == []


def test_a_disk_that_fails_altogether_and_a_machine_without_room_are_no_fault_of_pictures(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(str(path) for path in pictures.glob("*.png"))
    monkeypatch.setattr(module, "MOST_FAILED", 5)
    with monkeypatch.context() as broken:
        failing(broken, "p", errno.ESTALE)
        with pytest.raises(CacheError, match=r"p00_0.png and 4 other pictures: cannot be read \(Stale file handle\)"):
            build_cache(paths, 32, tmp_path)
    failing(monkeypatch, "p00_1", errno.EMFILE)
    with pytest.raises(CacheError, match=r"p00_1.png cannot be read \(Too many open files\)"):
        build_cache(paths, 32, tmp_path)
    assert not list(tmp_path.glob("*/meta.json"))


def test_a_cache_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="every node sees"):
        ImageCache.open(tmp_path / "nowhere")


def test_a_picture_that_could_not_be_read_is_decoded_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    with monkeypatch.context() as shut:
        shut.setattr(os, "access", lambda *_: False)
        before = _key([str(path)], 32)
    assert _key([str(path)], 32) != before
