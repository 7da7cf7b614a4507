"""Batches: full, in an order of torch's generator, and drawn by class where that is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import TaskConfig
from trainables.data.batches import READERS, Side, drawn_evenly, load_side, one_ahead, sampling_weights, take_rows


@pytest.fixture
def side(task: TaskConfig) -> Side:
    return load_side(task, ("train",), torch.device("cpu"))


@pytest.mark.parametrize("sampling", ["natural", "balanced", "sqrt"])
def test_an_epoch_has_as_many_full_batches_and_follows_the_seed(side: Side, sampling: str) -> None:
    def labels(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return [batch.tolist() for _, batch in side.batches(24, shuffled=True, sampling=sampling)]

    assert [len(batch) for batch in labels(0)] == [24, 24]
    assert labels(0) == labels(0) != labels(1)


def test_pictures_come_with_their_own_labels(side: Side) -> None:
    known = {picture.numpy().tobytes(): int(label) for picture, label in zip(*next(side.batches(64)), strict=True)}
    torch.manual_seed(0)
    for pictures, labels in side.batches(16, shuffled=True, sampling="balanced"):
        assert [known[picture.numpy().tobytes()] for picture in pictures] == labels.tolist()


@pytest.mark.parametrize(("sampling", "shares"), [("balanced", (1 / 3,) * 3), ("sqrt", (8 / 15, 4 / 15, 3 / 15))])
def test_classes_are_drawn_as_often_as_the_sampling_says(sampling: str, shares: tuple[float, ...]) -> None:
    labels = torch.tensor([0] * 64 + [1] * 16 + [3] * 9)  # no picture of class 2
    torch.manual_seed(0)
    weights = sampling_weights(labels, sampling)
    drawn = torch.cat([labels[drawn_evenly(weights)] for _ in range(200)])
    counts = torch.bincount(drawn, minlength=4)[[0, 1, 3]] / len(drawn)
    assert counts.tolist() == pytest.approx(shares, abs=0.015)


@pytest.mark.parametrize("sampling", ["balanced", "sqrt"])
def test_a_picture_comes_as_often_as_its_share_says_or_once_more(sampling: str) -> None:
    labels = torch.tensor([0] * 64 + [1] * 16 + [3] * 9)
    weights = sampling_weights(labels, sampling)
    wanted = weights / weights.sum() * len(labels)
    torch.manual_seed(0)
    epochs = torch.stack([torch.bincount(drawn_evenly(weights), minlength=len(labels)) for _ in range(400)])
    assert epochs.sum(1).tolist() == [len(labels)] * 400
    assert ((epochs - wanted).abs() < 1).all()
    means = epochs.double().mean(0).tolist()
    assert means == pytest.approx(wanted.tolist(), abs=0.12), "nearly five standard errors of .025"


def test_classes_of_one_size_are_seen_picture_by_picture() -> None:
    weights = sampling_weights(torch.arange(21) % 3, "balanced")
    assert sorted(drawn_evenly(weights).tolist()) == list(range(21))


def test_pictures_are_counted_by_class(side: Side) -> None:
    assert side.class_counts(4) == [32, 16, 16, 0]


def test_the_next_item_is_made_while_one_is_in_use_and_none_is_lost() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    taken = []
    for item in one_ahead(items()):
        assert second.wait(5)  # the second is made before the first is done with
        assert len(made) <= item + 2
        taken.append(item)
    assert taken == [0, 1, 2, 3, 4]


def test_what_goes_wrong_in_the_thread_is_raised_and_no_thread_stays() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(one_ahead(items()))
    for _ in one_ahead(range(3)):
        break  # left early
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("one_ahead")]


@pytest.mark.parametrize("num_rows", [0, 3, 50])
def test_rows_read_by_several_threads_are_those_that_numpy_takes(num_rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8))
    images, rows = np.load(tmp_path / "images.npy", mmap_mode="r"), rng.integers(0, 20, num_rows)
    with ThreadPoolExecutor(READERS) as threads:
        got = take_rows(images, rows, threads)
    assert got.dtype == np.uint8
    assert np.array_equal(got, images[rows])


def test_all_readers_wait_for_the_disk_at_the_same_time() -> None:
    together = threading.Barrier(READERS, timeout=5)

    class OnDisk(np.ndarray):
        def take(self, *given: object, **more: object) -> np.ndarray:
            together.wait()
            return super().take(*given, **more)

    images = np.arange(60, dtype=np.uint8).reshape(20, 3)
    with ThreadPoolExecutor(READERS) as threads:
        assert np.array_equal(take_rows(images.view(OnDisk), np.arange(19, -1, -1), threads), images[::-1])


def test_what_is_read_ahead_for_a_gpu_is_what_a_cpu_gets_and_no_thread_stays(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda pictures: pictures)  # which needs CUDA
    expected = [pictures.permute(0, 2, 3, 1) for pictures, _ in side.batches(5)]
    order = torch.arange(len(side)).split(5)
    got = list(side._read_ahead(order))
    assert len(got) == len(expected)
    assert all(map(torch.equal, got, expected))
    for _ in side._read_ahead(order):
        break  # left early
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("one_ahead", "reader"))]


def test_a_split_that_another_run_has_put_in_its_place_is_read_again(task: TaskConfig, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    text = Path(task.split_path).read_text()
    split.write_text(text)
    moved = replace(task, split_path=str(split))
    before = len(load_side(moved, ("test",), torch.device("cpu")))
    split.write_text(text.replace(",val", ",test"))
    assert len(load_side(moved, ("test",), torch.device("cpu"))) > before
