from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trainables.supply import copies
from trainables.supply.copies import UNUSED_SECONDS, NoRoomError, find_copy, write_copy
from trainables.supply.keeper import Keeper, Parcel


def a_cache(folder: Path, pixels: bytes = b"pixels") -> Path:
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(pixels)
    (folder / "meta.json").write_text("{}")
    return folder


def described(keeper: Keeper, path: Path) -> Parcel:
    parcel = keeper.describe(str(path))
    assert parcel is not None
    return parcel


def reader(keeper: Keeper, path: Path, part: int = 4):
    def read(name: str, size: int) -> Iterator[np.ndarray]:
        file = path / name if path.is_dir() else path
        for offset in range(0, size, part):
            yield keeper.read(str(file), offset, min(part, size - offset))

    return read


def test_what_has_the_same_content_has_the_same_key_wherever_it_lies(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path / "facts"))
    first, same, other = a_cache(tmp_path / "a"), a_cache(tmp_path / "b"), a_cache(tmp_path / "c", b"others")
    assert described(keeper, first) == described(keeper, same)
    assert described(keeper, first).key != described(keeper, other).key
    assert keeper.describe(str(tmp_path / "nowhere")) is None


def test_a_large_file_of_another_content_has_another_key_though_its_hash_was_kept(tmp_path: Path) -> None:
    keeper, file = Keeper(str(tmp_path / "facts")), tmp_path / "weights.pth"
    file.write_bytes(bytes(2**20))
    before = described(keeper, file).key
    assert described(Keeper(str(tmp_path / "facts")), file).key == before
    file.write_bytes(bytes(2**20 - 1) + b"1")
    assert described(keeper, file).key != before


def test_a_folder_and_a_file_are_copied_once_and_found_again(tmp_path: Path) -> None:
    keeper, sent = Keeper(str(tmp_path / "facts")), tmp_path / "sent"
    for path in (a_cache(tmp_path / "cache"), tmp_path / "cache" / "images.npy"):
        parcel = described(keeper, path)
        assert find_copy(parcel, sent) is None
        copy = write_copy(parcel, sent, reader(keeper, path))
        found = copy / "images.npy" if path.is_dir() else copy
        assert found.read_bytes() == b"pixels"
        assert find_copy(parcel, sent) == copy
        assert write_copy(parcel, sent, lambda name, size: pytest.fail("it was sent again")) == copy


def test_a_copy_that_was_cut_short_is_none(tmp_path: Path) -> None:
    keeper, cache, sent = Keeper(str(tmp_path / "facts")), a_cache(tmp_path / "cache"), tmp_path / "sent"
    parcel = described(keeper, cache)

    def cut(name: str, size: int) -> Iterator[np.ndarray]:
        yield np.zeros(1, np.uint8)
        raise OSError("the line is cut")

    with pytest.raises(OSError, match="cut"):
        write_copy(parcel, sent, cut)
    assert find_copy(parcel, sent) is None
    assert not [path for path in sent.iterdir() if path.is_dir()]


def test_copies_that_nobody_used_for_a_day_make_room_and_others_do_not(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    old, new = sent / "old", sent / "new"
    for copy in (old, new):
        copy.mkdir(parents=True)
        (copy / "images.npy").write_bytes(b"pixels")
    day = time.time() - UNUSED_SECONDS - 1
    os.utime(old, (day, day))
    too_much = Parcel("key", (("images.npy", 2 * shutil.disk_usage(tmp_path).total),), True)
    with pytest.raises(NoRoomError, match=r"GB are free.*--cache-dir"):
        write_copy(too_much, sent, lambda name, size: iter(()))
    assert not old.exists() and new.exists()


def an_unused_copy(sent: Path) -> Parcel:
    """Writes a copy that nobody has opened for a day."""
    (sent / "old").mkdir(parents=True)
    (sent / "old" / "images.npy").write_bytes(b"pixels")
    day = time.time() - UNUSED_SECONDS - 1
    os.utime(sent / "old", (day, day))
    return Parcel("old", (("images.npy", 6),), True)


TOO_MUCH = Parcel("key", (("images.npy", 2**60),), True)


def test_what_is_left_of_a_copy_whose_deletion_was_cut_short_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = an_unused_copy(tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(NoRoomError):
        write_copy(TOO_MUCH, tmp_path, lambda name, size: iter(()))
    assert find_copy(parcel, tmp_path) is None


def test_a_copy_that_a_trial_opens_while_room_is_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = an_unused_copy(tmp_path)

    def room_for(folder: Path) -> int:
        find_copy(parcel, folder)
        return 0

    monkeypatch.setattr(copies, "room_for", room_for)
    with pytest.raises(NoRoomError):
        write_copy(TOO_MUCH, tmp_path, lambda name, size: iter(()))
    assert (tmp_path / "old" / "images.npy").read_bytes() == b"pixels"


def test_the_keeper_writes_parts_in_any_order_and_nothing_for_a_trial_that_nobody_wants(tmp_path: Path) -> None:
    keeper, folder = Keeper(str(tmp_path / "facts")), tmp_path / "checkpoints" / "00000"
    best = str(folder / "best.pt")
    assert not keeper.write(best, "best.pt.tmp-1", 0, np.frombuffer(b"never", np.uint8))
    keeper.begin(str(folder), str(tmp_path / "answers"))
    assert keeper.quiet_seconds().keys() == {str(folder)}
    (folder / "last.pt.tmp-9").write_bytes(b"torn")
    keeper.begin(str(folder))
    assert keeper.write(best, "best.pt.tmp-1", 3, np.frombuffer(b"456", np.uint8))
    assert keeper.write(best, "best.pt.tmp-1", 0, np.frombuffer(b"123", np.uint8))
    assert [path.name for path in folder.iterdir()] == ["best.pt.tmp-1"]
    keeper.commit(best, "best.pt.tmp-1")
    assert Path(best).read_bytes() == b"123456" and keeper.size(best) == 6
    assert keeper.write(best, "best.pt.tmp-2", 0, np.frombuffer(b"new", np.uint8), is_whole=True)
    assert Path(best).read_bytes() == b"new"
    keeper.remove(best)
    keeper.end(str(folder))
    assert keeper.size(best) is None and not keeper.quiet_seconds()
