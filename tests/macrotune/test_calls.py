"""Calls from Python: cheap to import, the flags as keywords, the same words as the commands."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import macrotune
from macrotune.endings import NOT_BEGUN, Interrupted, in_python, raise_unless_done
from macrotune.keywords import flags_of, options_of
from macrotune.loaded import _as_image, _paths, _refuse_bad
from results.records.run_folder import load_run
from results.records.trials import load_trials
from results.statistics.ranking import Candidate, Ranked
from scripts import retrain as retraining
from search import run as searching
from search.say_front import say_front
from tests.conftest import Searched
from tests.final_models import a_final
from tests.results.records.test_front import a_priced_run_dir
from tests.runs import a_line, a_run_dir, an_event
from trainables.called import as_called, calls_from_python
from trainables.config import TrialConfig
from trainables.data.decoding import decode_noted
from trainables.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"space": "toy", "epochs": 1, "image_size": 32, "batch_size": 16}


def test_an_import_loads_nothing_heavy_whatever_the_users_script_is_called(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(
        "import sys, macrotune\n"
        "assert not {'torch', 'ray', 'pandas', 'tyro', 'rich'} & set(sys.modules)\n"
        "from macrotune import load, retrain, search\n"
        "assert not {'torch', 'ray', 'timm'} & set(sys.modules), sys.modules\n"
        "print(search.__module__)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout == "macrotune.calls\n", done.stderr


def test_another_package_of_a_rooms_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "__init__.py").touch()
    code = "import results\nfrom macrotune import load"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "of the same name was imported before it: rename that, or import macrotune first" in done.stderr


def test_keywords_are_the_flags_and_a_wrong_one_is_told_the_nearest() -> None:
    assert "time_budget" in inspect.signature(macrotune.search).parameters
    assert set(inspect.signature(macrotune.search).parameters) == set(flags_of(searching.Options))
    for given, words in (
        ({"time_budgt": "5m"}, "search() has no argument 'time_budgt': did you mean time_budget?"),
        ({"trials": "many"}, "search(trials='many'): it must be int | None"),
        ({"trials": 0}, "--trials is 0: it must be at least 1"),
        ({"formulation": "heds"}, "search(formulation='heds'): it must be Literal"),
        ({"space": lambda trial: None}, "which is in no file"),
        ({"quiet": True, "verbose": True}, "--quiet and --verbose contradict each other"),
    ):
        with pytest.raises(UserError) as error:
            macrotune.search(**given)
        assert words in str(error.value)


def test_values_of_python_and_numpy_are_taken_as_they_are() -> None:
    given = {
        "trials": np.int64(3),
        "time_budget": 900,
        "backbones": ["resnet18", "resnet34"],
        "data": "pictures",
        "readme": Path("R.md"),
        "attributes": ["mask", "age"],
        "attribute_weights": {"mask": 2},
        "space": _space,
        "val_share": 0.25,
    }
    options = options_of(searching.Options(), given, "search")
    assert (options.study.search.trials, options.study.search.time_budget_seconds) == (3, 900)
    assert options.study.search.backbone_names == ("resnet18", "resnet34")
    assert options.study.search.weight_of_attribute == {"mask": 2.0}
    assert options.study.search.space == f"{__file__}:_space"
    assert (options.data.data, options.data.attributes) == (Path("pictures"), ("mask", "age"))
    assert (options.study.places.readme, options.study.split.val_share) == (Path("R.md"), 0.25)


def _space(trial: object) -> None:
    """Stands for a user's space."""


def test_messages_speak_of_calls_while_one_runs() -> None:
    said = (
        "Go on with: python search/run.py --resume a-1 --storage '/my runs', then python scripts/retrain.py --run a-1. "
        "To answer pictures: python scripts/predict.py runs/a-1 --data DIR, see python scripts/runs.py"
    )
    with calls_from_python():
        assert as_called(said) == (
            "Go on with: search(resume='a-1', storage='/my runs'), then retrain(run='a-1'). "
            "To answer pictures: load('runs/a-1').predict('DIR'), see macrotune runs"
        )
    assert as_called(said) == said


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("--trials 3", "trials=3"),
        ("--seed 0", "seed=0"),
        ("--run a --pick 00003", "run='a', pick='00003'"),
        ("--run a --pick ms=7.6", "run='a', pick='ms=7.6'"),
        ("--run 2², now", "run='2²'"),
        ("--run a --storage s3://b/my,runs, now", "run='a', storage='s3://b/my,runs'"),
        ("--time-budget 0.5", "time_budget=0.5"),
    ],
)
def test_values_in_a_call_are_what_python_reads(flags: str, keywords: str) -> None:
    with calls_from_python():
        said = as_called(f"python scripts/retrain.py {flags}")
    assert said.startswith(f"retrain({keywords})")
    compile(said.removesuffix(", now"), "said", "eval")


def test_both_ways_to_take_a_point_are_calls(tmp_path: Path) -> None:
    run_dir = a_priced_run_dir(tmp_path / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective="f1,ms")
    console = Console(width=400, quiet=False)
    with calls_from_python(), console.capture() as said:
        say_front(load_run(run_dir), load_trials(run_dir), "python scripts/retrain.py --run a-1", console)
    ways = "retrain(run='a-1', pick='00001'), or the best within a cost: retrain(run='a-1', pick='ms=8')"
    assert f"To take a point: {ways}" in said.get()


def test_ends_are_exceptions(tmp_path: Path) -> None:
    again = "python search/run.py --resume a"
    with pytest.raises(Interrupted, match=r"is whole, nothing is lost. Go on with: search\(resume='a'\)"), in_python():
        raise_unless_done(130, tmp_path / "a", again)
    with pytest.raises(Interrupted, match="before the first trial could begin"), in_python(NOT_BEGUN):
        raise KeyboardInterrupt
    with pytest.raises(Interrupted, match="no answer was written: the same call begins again"), in_python():
        raise KeyboardInterrupt
    with pytest.raises(UserError, match="No such file or directory"), in_python():
        (tmp_path / "gone").read_text()
    with pytest.raises(OSError, match="a fault of ours"), in_python():
        raise OSError("a fault of ours")
    with pytest.raises(SystemExit):
        raise_unless_done(143, tmp_path, again)
    with pytest.raises(macrotune.RunFailedError, match="nothing came of"):
        raise_unless_done(1, tmp_path, again)
    with pytest.raises(ZeroDivisionError):
        raise_unless_done(1, tmp_path, again, crash=ZeroDivisionError())


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((8, 8)), np.zeros((8, 8, 2), np.uint8), np.zeros((2, 8, 8, 3), np.uint8), np.zeros((0, 8, 3), np.uint8)],
)
def test_pixels_that_are_no_picture_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(UserError, match="picture 3 is an array of shape"):
        _as_image(pixels, 3)


@pytest.mark.slow
def test_a_run_answers_files_folders_tables_and_pixels_alike(
    searched: Searched, pictures: Path, tmp_path: Path
) -> None:
    run, cache = searched.folder / "runs" / "first", tmp_path / "cache"
    result = macrotune.SearchResult(run)
    assert result.trials["val_macro_f1"].is_monotonic_decreasing
    assert result.best.trial_id == result.trials.index[0]
    assert result.report.is_file() and result.model.classes == ("circle", "square", "stripes")
    assert "validation macro-F1" in repr(result) and "<table>" in result._repr_html_()
    files = sorted(pictures.glob("*.png"))[:6]
    by_path = result.model.predict(files, cache_dir=cache)
    by_table = result.model.predict_proba(pictures / "train.csv", cache_dir=cache)
    by_folder = result.model.predict(pictures, cache_dir=cache, proba=True)
    arrays = [np.array(Image.open(file)) for file in files]
    by_pixels = result.model.predict([*arrays[:5], Image.open(files[5])], proba=True)
    assert list(by_path.index) == list(map(str, files)) and list(by_folder.index[:6]) == [file.name for file in files]
    for other in (by_folder[:6], by_pixels):
        assert list(other["answer"]) == list(by_path["answer"])
        np.testing.assert_allclose(other["probability"], by_path["probability"], atol=1e-5)
    np.testing.assert_allclose(by_table.sum(axis=1), 1, atol=1e-5)
    single = result.model.predict(np.stack(arrays))
    assert list(single["answer"]) == list(by_path["answer"][:6])


@pytest.mark.slow
def test_pictures_that_cannot_be_read_are_named_or_left_empty(
    searched: Searched, pictures: Path, tmp_path: Path
) -> None:
    model = macrotune.load(searched.folder / "runs" / "first")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    asked = [bad, pictures / "p00_0.png"]
    with pytest.raises(UserError, match=r"cannot be read: \S+bad.png"):
        model.predict(asked, cache_dir=tmp_path)
    table = model.predict(asked, cache_dir=tmp_path, skip_bad=True)
    assert table["answer"].isna().tolist() == [True, False]
    with pytest.raises(UserError, match="the list is empty"):
        model.predict([])
    with pytest.raises(UserError, match="no such file or folder"):
        macrotune.load(tmp_path / "gone")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                                  "LAB", "HSV", "I", "F", "I;16", "I;16B"])  # fmt: skip
def test_an_image_of_any_mode_of_pillow_becomes_a_file_that_is_decoded(mode: str, tmp_path: Path) -> None:
    asked = _paths([Image.new(mode, (9, 5))], tmp_path)
    assert asked.names == [0]
    decode_noted(asked.paths[0], 8, 10**9)


def test_an_image_is_answered_upright_as_its_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (9, 5), "red").save(tmp_path / "phone.jpg", exif=exif)
    with Image.open(tmp_path / "phone.jpg") as lying:
        [path] = _paths(lying, tmp_path).paths
    with Image.open(path) as upright:
        assert upright.size == (5, 9)


def test_what_the_command_says_of_a_folder_or_a_table_is_known_here_too(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (9, 5)).save(tmp_path / folder / "img.png")
    (tmp_path / "phone.heic").write_bytes(b"none")
    [said] = _paths(tmp_path, tmp_path / "aside").said
    assert said.startswith("left out: 1 .heic")
    (tmp_path / "list.csv").write_text("path\nimg.png\na/img.png\n")
    asked = _paths(tmp_path / "list.csv", tmp_path / "aside")
    with pytest.raises(UserError, match=r"'img.png' fits a/img.png and b/img.png.*give skip_bad=True"):
        _refuse_bad(asked.problems, False, dict.fromkeys(asked.problems, "missing"))
    _refuse_bad(asked.problems, True, {"a": "missing"})


def test_data_that_are_no_path_are_refused_with_what_answers_them() -> None:
    with pytest.raises(UserError, match=r"data is \['a.jpg'\]: give one path. For a list, or pixels: load\('runs/x'\)"):
        macrotune.predict("runs/x", data=["a.jpg"])  # type: ignore[arg-type]


def test_a_ranking_is_the_best_first_whatever_was_picked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"cheap": 0.7, "default": 0.85, "dear": 0.8}
    ranking = [Ranked(Candidate(name, TrialConfig(backbone=name), None), 1, (score,)) for name, score in names.items()]
    [entry] = a_final().ranking
    entries = [{**entry, "trial_id": name, "mean": score} for name, score in names.items()]
    final = a_final(trial_id="cheap", ranking=entries)
    monkeypatch.setattr(retraining, "retrain", lambda *_: retraining.Ended(0, tmp_path, final, ranking))
    retrained = macrotune.retrain(run="a")
    assert [ranked.candidate.name for ranked in retrained.ranking] == ["default", "dear", "cheap"]
    assert "ranking: default 0.8500, dear 0.8000, cheap 0.7000" in repr(retrained)
    assert "pick: cheap, resnet18 (for its cost, not its rank), 3 epochs" in repr(retrained)


def test_trials_without_a_score_and_those_that_failed_come_last(tmp_path: Path) -> None:
    lines = [a_line(0, 1, 0.5), a_line(1, 1, 0.4), a_line(2, 1, 0.9), a_line(3, 1, 0.7)]
    nothing = {"val_score": None, "val_macro_f1": None}
    lines[1] |= nothing
    events = [an_event(2, "failed", after=9, reason="RuntimeError: no")]
    trials = macrotune.SearchResult(a_run_dir(tmp_path / "a", lines, events)).trials
    assert list(trials.index[:2]) == ["00003", "00000"]
    assert set(trials.index[2:]) == {"00001", "00002"}
