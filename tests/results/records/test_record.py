"""Tests of the records and of the strict JSON and the whole files that they are kept in."""

import json
import math
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from results.records.record import LOCAL_FIELDS, BestTrial, SearchRun, load_record
from tests import records
from trainables import atomic
from trainables.atomic import write_whole
from trainables.config import EARLIER, TaskConfig
from trainables.strict_json import RecordError, load_object

ROOT = Path(__file__).resolve().parents[3]

TASK = TaskConfig(
    cache_path="/home/me/cache",
    split_path="/home/me/runs/a/split.csv",
    checkpoint_dir="/home/me/runs/a/checkpoints",
    classes=("mask, young", "mask, old"),
    attributes={"age": ("young", "old")},
    weights={"resnet18": "/home/me/weights/resnet18.safetensors"},
)


def a_run(**changes: Any) -> SearchRun:
    """With paths of a machine wherever there may be some."""
    run = records.a_run(
        options={"trials": 8, "data": "/home/me/my data"},
        task=TASK,
        data={
            "source": "/home/me/my data",
            "pictures": 840,
            "skipped": ["/home/me/my data/x/1.jpg", "/elsewhere/2.png is not a picture"],
        },
        weights={"resnet18": "file /home/me/weights/resnet18.safetensors"},
        versions={"python": "3.11.7"},
        commit=None,
    )
    return replace(run, **changes)


def a_record(**changes: Any) -> BestTrial:
    """Of that run, with a number that is none."""
    run = a_run().portable()
    record = records.a_record(
        report=records.a_report(images_per_second=math.nan, seconds=2.5),
        task=run.task,
        data=run.data,
        versions=run.versions,
        commit="0123456789abcdef+dirty",
    )
    return replace(record, **changes)


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    a_run().save(tmp_path / "run.json")
    assert SearchRun.from_json(load_object(tmp_path / "run.json")) == a_run()


@pytest.mark.parametrize(
    ("groups", "split_by", "units"),
    [(12, "group", "people"), (840, "picture", "pictures"), (None, "group", "pictures")],
)
def test_intervals_are_over_people_where_the_data_name_them(groups: int | None, split_by: str, units: str) -> None:
    assert a_run(data={"groups": groups}, options={"split_by": split_by}).units == units
    assert a_run().units == "people", "of before that was noted"
    assert a_record(data={"groups": groups, "split": {"split_by": split_by}}).units == units


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    record = replace(a_record(), report=replace(a_record().report, images_per_second=10.0))
    record.save(tmp_path / "toy.json")
    assert load_record(tmp_path / "toy.json") == record


def test_nan_is_never_written(tmp_path: Path) -> None:
    a_record().save(tmp_path / "toy.json")
    text = (tmp_path / "toy.json").read_text()
    assert "NaN" not in text
    assert math.isnan(load_record(tmp_path / "toy.json").report.images_per_second)


def test_a_nan_outside_the_report_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    a_record().save(path)
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"toy\.json was not written"):
        a_record(wall_seconds=math.nan).save(path)
    assert path.read_bytes() == before


def test_a_record_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    a_record(weights=a_run().portable().weights["resnet18"]).save(tmp_path / "toy.json")
    text = (tmp_path / "toy.json").read_text()
    assert "/home" not in text
    assert "/elsewhere" not in text
    values = json.loads(text)
    assert not set(LOCAL_FIELDS) & set(values["task"])
    assert values["data"]["source"] == "my data"
    assert values["data"]["skipped"] == ["x/1.jpg", "2.png is not a picture"]
    assert values["weights"] == "file resnet18.safetensors"


def test_a_file_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    record = a_record(data={"skipped": ["caf\udce9.jpg", "마스크.jpg"]})
    record.save(tmp_path / "toy.json")
    assert load_record(tmp_path / "toy.json").data == record.data
    assert "마스크" in (tmp_path / "toy.json").read_text()


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (["seed"], "0", "seed is '0', it must be int"),
        (["seed"], True, "seed is True, it must be int"),
        (["wall_seconds"], None, "wall_seconds is None, it must be float"),
        (["commit"], 3, "commit is 3, it must be str | None"),
        (["versions"], {"python": 3}, "versions is {'python': 3}, it must be dict[str, str]"),
        (["trials"], {"asked": 1}, "trials counts asked: it must be asked, finished"),
        (["date"], "2026-10-24", "date is '2026-10-24': it must be an ISO 8601"),
        (["space"], "../toy", "space is '../toy': it names a file"),
        (["epochs_trained"], 2, "epochs_trained is 2, but the report is of epoch 3"),
        (["unheard_of"], 1, "unknown key 'unheard_of'"),
        (["config"], [], "config is [], it must be TrialConfig"),
        (["config", "lr"], "1e-3", "config: lr is '1e-3', it must be float"),
        (["config", "lr"], 7, "config: lr is 7: it must be more than 0"),
        (["config", "drop_out"], 0.1, "config: unknown key 'drop_out'"),
        (["task", "classes"], "ab", "task: classes is 'ab', it must be tuple"),
        (["task", "epochs"], 0, "task: epochs is 0"),
        (["task", "precision"], "float8", "task: precision is 'float8'"),
        (["task", "cache_path"], "/x", "task: unknown key 'cache_path'"),
        (["report", "class_f1"], [0.1, "x"], "report: class_f1 is [0.1, 'x']"),
        (["report", "epoch"], None, "report: epoch is None, it must be int"),
        (["report", "val_macro_f1"], None, "report: val_macro_f1 is not finite"),
    ],
)
def test_a_wrong_value_is_refused_by_key_and_file(tmp_path: Path, keys: list[str], value: Any, words: str) -> None:
    values = a_record().to_json()
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(values))
    with pytest.raises(RecordError) as caught:
        load_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("part", [None, "config", "task", "report"])
def test_a_missing_key_is_refused_unless_it_has_a_default_as_in_an_older_record(part: str | None) -> None:
    whole = a_record()
    defaults = {
        field.name: field.default
        for field in fields(getattr(whole, part) if part else whole)
        if field.default is not MISSING
    }
    for key in whole.to_json()[part] if part else whole.to_json():
        values = whole.to_json()
        del (values[part] if part else values)[key]
        if key in defaults:
            loaded = BestTrial.from_json(values, "toy.json")
            expected = EARLIER.get(key, defaults[key]) if part == "task" else defaults[key]
            if key in ("val_score", "best_val_score"):  # macro-F1, before there were other metrics
                expected = getattr(whole.report, key.replace("score", "macro_f1"))
            elif key == "highest_epoch":
                expected = whole.report.best_epoch
            assert getattr(getattr(loaded, part) if part else loaded, key) == expected
        elif key not in (
            "attributes",
            "attribute_weights",
            "attribute_macro_f1",
            "parts",
        ):  # these are empty by default
            with pytest.raises(RecordError, match=f"missing key '{key}'"):
                BestTrial.from_json(values, "toy.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": NaN}', "\xff", '{"a": 1e999}'])
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "toy.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordError, match=r"toy\.json"):
        load_record(path)


def test_an_exception_before_the_rename_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "toy.json"
    write_whole(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full_disk)
        with pytest.raises(OSError, match="no space left"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    write_whole(path, b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from trainables.atomic import write_whole\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(Path(sys.argv[1]), b'new')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, timeout=60)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"


def test_links_and_modes_survive_a_write(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "README.md", tmp_path / "README.md"
    write_whole(target, b"old")
    target.chmod(0o664)
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o664


def test_records_and_table_import_without_anything_heavy() -> None:
    code = (
        "import sys, results.records.run_folder, results.pages.table\n"
        "print(*sorted({'torch', 'ray', 'optuna', 'pandas', 'numpy', 'spaces', 'search'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "", done.stderr
    assert done.returncode == 0, done.stderr
