"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.atomic import TORN, replacing, write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_what_was_written_takes_the_place_of_what_was_there(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert list(tmp_path.glob(TORN)) == [temporary]
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_content_and_no_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    write_whole(Path("/dev/null"), b"answers")
    with pytest.raises(FileExistsError, match="is a device"), replacing(Path("/dev/null")):
        pass
    assert Path("/dev/null").is_char_device()
