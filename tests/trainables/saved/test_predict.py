from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.out_of_memory import room_for
from tests.saved_models import CLASSES, save_network
from trainables.data.batches import Side
from trainables.data.cache import build_cache
from trainables.networks.model import Normalizer, centre_crop
from trainables.saved.predict import predict_probabilities
from trainables.saved.saved_model import ModelError, SavedModel, load_model
from trainables.training.metrics import score


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    return load_model(save_network(tmp_path_factory.mktemp("model")), "cpu")


@pytest.fixture
def paths(pictures: Path) -> list[str]:
    return [str(path) for path in sorted(pictures.glob("*.png"))[:10]]


def test_answers_stand_in_the_order_asked_for_whatever_the_batch(
    model: SavedModel, paths: list[str], tmp_path: Path
) -> None:
    forwards = predict_probabilities([model], paths, cache_dir=tmp_path)
    backwards = predict_probabilities([model], [*paths[::-1], paths[3]], cache_dir=tmp_path, batch_size=3)
    assert forwards.classes == CLASSES
    assert forwards.paths == tuple(paths)
    assert forwards.probabilities.dtype == np.float32
    np.testing.assert_allclose(forwards.probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(backwards.probabilities[:-1], forwards.probabilities[::-1], atol=1e-5)
    np.testing.assert_allclose(backwards.probabilities[-1], forwards.probabilities[3], atol=1e-5)
    assert forwards.probabilities.std(axis=0).max() > 1e-3


def test_answers_are_those_a_trial_is_scored_by(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    side = Side(build_cache(paths, 32, tmp_path), paths, [0] * len(paths), model.device)
    pictures = centre_crop(next(iter(side.batches(64)))[0], 32).float().div_(255)
    with torch.inference_mode():
        logits = model.network(Normalizer(model.network, model.device)(pictures))
    answers = predict_probabilities([model], paths, cache_dir=tmp_path)
    np.testing.assert_allclose(answers.probabilities, logits.softmax(1).numpy(), atol=1e-5)
    chosen = answers.probabilities[:, 0].clip(1e-30)
    assert -np.log(chosen).mean() == pytest.approx(score(logits, side.labels).loss, abs=1e-4)


def test_a_model_answers_in_the_precision_that_its_trials_had(
    model: SavedModel, paths: list[str], tmp_path: Path
) -> None:
    description = save_network(tmp_path / "half") / "model.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "precision": "float16"}))
    half = load_model(tmp_path / "half", "cpu")
    assert half.description.precision == "float16"
    exact, answers = (predict_probabilities([one], paths, cache_dir=tmp_path).probabilities for one in (model, half))
    assert 0 < np.abs(answers - exact).max() < 0.01


def test_what_is_too_large_for_float16_is_answered_in_float32(
    model: SavedModel, paths: list[str], tmp_path: Path
) -> None:
    save_network(tmp_path / "large")
    large = load_model(tmp_path / "large", "cpu")
    with torch.no_grad():
        classifier = large.network.get_classifier()
        classifier.weight.mul_(1e6)
    exact = predict_probabilities([large], paths, cache_dir=tmp_path).probabilities
    half = replace(large, description=replace(large.description, precision="float16"))
    np.testing.assert_array_equal(predict_probabilities([half], paths, cache_dir=tmp_path).probabilities, exact)
    assert np.isfinite(exact).all()


def test_a_second_call_decodes_nothing(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def note(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    predict_probabilities([model], paths, cache_dir=tmp_path, on_progress=note)
    assert ("decoding pictures", 10, 10) in told
    assert told[-1] == ("predicting", 10, 10)
    told.clear()
    predict_probabilities([model], paths, cache_dir=tmp_path, on_progress=note)
    assert told == [("predicting", 10, 10)]


def test_mirrored_pictures_are_averaged(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    mirrored = []
    for number, path in enumerate(paths):
        mirrored.append(str(tmp_path / f"{number}.png"))
        with Image.open(path) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored[-1])
    plain, mirror = (predict_probabilities([model], p, cache_dir=tmp_path / "c") for p in (paths, mirrored))
    both = predict_probabilities([model], paths, cache_dir=tmp_path / "c", flip=True)
    assert np.abs(plain.probabilities - mirror.probabilities).max() > 1e-3
    # The centre square of 40 by 48 px has no fraction, so bicubic resizing commutes with mirroring up to rounding.
    np.testing.assert_allclose(both.probabilities, (plain.probabilities + mirror.probabilities) / 2, atol=0.02)


def test_models_of_other_sizes_and_class_orders_are_averaged_in_the_order_of_the_first(
    model: SavedModel, paths: list[str], tmp_path: Path
) -> None:
    options = {"backbone": "test_resnet", "classes": CLASSES[::-1], "image_size": 48}
    other = load_model(save_network(tmp_path / "other", **options), "cpu")
    first, second, both = (
        predict_probabilities(models, paths, cache_dir=tmp_path) for models in ([model], [other], [model, other])
    )
    assert both.classes == CLASSES
    np.testing.assert_allclose(both.probabilities, (first.probabilities + second.probabilities[:, ::-1]) / 2, atol=1e-5)


def test_models_of_other_classes_are_not_averaged(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    other = load_model(save_network(tmp_path / "other", classes=("circle", "square", "star")), "cpu")
    with pytest.raises(ModelError, match="only one of them knows 'star'"):
        predict_probabilities([model, other], paths, cache_dir=tmp_path)
    with pytest.raises(ModelError, match="no model"):
        predict_probabilities([], paths, cache_dir=tmp_path)


def test_every_kind_of_picture_is_answered_and_bad_ones_are_named(model: SavedModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    for mode in ("RGB", "L", "RGBA", "CMYK", "P", "1", "LA"):
        colours.convert(mode).save(tmp_path / (f"{mode}.jpg" if mode == "CMYK" else f"{mode}.png"))
    Image.fromarray(rng.integers(0, 65535, (40, 50), dtype=np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "words.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "RGB.png").read_bytes()[:900])
    names = ["RGB.png", "words.jpg", "L.png", "RGBA.png", "CMYK.jpg", "P.png", "1.png", "LA.png", "deep.png"]
    names += ["cut.png", "missing.png"]
    answers = predict_probabilities([model], [str(tmp_path / n) for n in names], cache_dir=tmp_path / "cache")
    assert [Path(path).name for path in answers.bad] == ["words.jpg", "cut.png", "missing.png"]
    assert answers.bad[str(tmp_path / "missing.png")] == "missing"
    assert [Path(path).name for path in answers.paths] == [n for n in names if str(tmp_path / n) not in answers.bad]
    assert answers.probabilities.shape == (8, 3)
    assert np.isfinite(answers.probabilities).all()


def test_no_picture_and_no_readable_picture_give_no_answer(model: SavedModel, tmp_path: Path) -> None:
    assert predict_probabilities([model], [], cache_dir=tmp_path).probabilities.shape == (0, 3)
    answers = predict_probabilities([model], [str(tmp_path / "missing.png")], cache_dir=tmp_path)
    assert answers.probabilities.shape == (0, 3)
    assert len(answers.bad) == 1


def test_pictures_that_cannot_be_read_are_told_before_any_is_answered(
    model: SavedModel, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"none")

    def refuse(bad: Mapping[str, str]) -> None:
        raise InterruptedError(*bad)

    def answer(*_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("a picture is answered")

    asked = [*paths, str(tmp_path / "bad.png")]
    with pytest.raises(InterruptedError, match=r"bad\.png"):
        predict_probabilities([model], asked, cache_dir=tmp_path / "cache", on_bad=refuse, answer=answer)
    predict_probabilities([model], paths, cache_dir=tmp_path / "cache", on_bad=refuse)


def test_a_batch_of_no_picture_is_refused(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size is 0: it must be at least 1"):
        predict_probabilities([model], paths, cache_dir=tmp_path, batch_size=0)


@pytest.mark.parametrize("room", [1, 3])
def test_a_batch_that_does_not_fit_into_the_memory_is_halved(
    model: SavedModel, paths: list[str], tmp_path: Path, room: int
) -> None:
    whole = predict_probabilities([model], paths, cache_dir=tmp_path)
    with room_for(room, learning=False):
        parts = predict_probabilities([model], paths, cache_dir=tmp_path, batch_size=8)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-6)
    with (
        room_for(0, learning=False),
        pytest.raises(ModelError, match=r"no memory to answer a single picture .*--device cpu"),
    ):
        predict_probabilities([model], paths, cache_dir=tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_answers_almost_as_the_cpu_does(model: SavedModel, paths: list[str], tmp_path: Path) -> None:
    fast = load_model(model.path, "cuda")
    slow, quick = (predict_probabilities([one], paths, cache_dir=tmp_path, flip=True) for one in (model, fast))
    np.testing.assert_allclose(quick.probabilities, slow.probabilities, atol=0.05)
