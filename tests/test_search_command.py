"""The command line that a report gives for doing a search again says all that makes up its numbers."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields
from pathlib import Path

from macrotune.keywords import options_of
from results.pages.report import OPTIONS_NOT_SHOWN, OPTIONS_SHOWN, search_command
from results.records.record import SearchRun
from search.run import parse, settled
from search.study import AskedStudy
from tests.records import a_run, a_task
from trainables.called import calls_from_python, command_as_called
from trainables.data.manifest import DataConfig

NAMES = {*AskedStudy().flat(), *(field.name for field in fields(DataConfig))}


def as_saved(study: AskedStudy, data: DataConfig) -> SearchRun:
    """A run with these options as `run.json` holds them."""
    options = json.loads(json.dumps({**study.flat(), **asdict(data)}, default=str))
    asked = study.search
    task = a_task(epochs=asked.epochs, image_size=asked.image_size, batch_size=asked.batch_size, seed=asked.seed)
    return a_run(space=asked.space, options=options, task=task, trials_asked=asked.trials)


def test_every_option_is_shown_or_it_is_said_why_not() -> None:
    assert sorted([*OPTIONS_SHOWN, *OPTIONS_NOT_SHOWN]) == sorted(NAMES)
    assert all(OPTIONS_NOT_SHOWN.values())


def test_the_command_line_is_read_back_as_the_search_that_it_describes(tmp_path: Path) -> None:
    study = AskedStudy.of(
        space="resnet",
        backbones="resnet18,resnet34",
        attribute_weights=("mask=2.0", "age=0.5"),
        formulation="heads",
        flip="never",
        trials=7,
        epochs=3,
        time_budget="15m",
        image_size=64,
        batch_size=16,
        concurrency=2,
        cpus_per_trial=1,
        gpus_per_trial=0.0,
        compile=True,
        precision="bfloat16",
        grace_period=2,
        reduction_factor=2.5,
        seed=11,
        val_share=0.25,
        test_share=0.15,
        split_by="picture",
        allow_leak=True,
        weights="none",
        history="none",
        parts=tmp_path / "my parts.py",
        metric="balanced_accuracy",
        max_parameters="5M",
        max_ms=10.0,
        ms_device="cpu",
        objective="f1,ms",
    ).absolute()
    data = DataConfig(
        data=tmp_path / "two words" / "faces.csv",
        attributes=("mask", "gender", "age"),
        group_regex=r"(\d+)_",
        corrections=tmp_path / "corrections.csv",
        skip_bad=True,
        path_column="file",
        label_column="what",
        group_column="who",
        label_names=tmp_path / "names.csv",
        strict=True,
        max_picture_gb=2.0,
    )
    usual = AskedStudy().absolute().flat()
    changed = {name for name in OPTIONS_SHOWN if name in usual and study.flat()[name] != usual[name]}
    assert changed == set(OPTIONS_SHOWN) - set(vars(data))  # each of them is put to the test
    python, script, *words = shlex.split(search_command(as_saved(study, data)))
    assert (python, script) == ("python", "search/run.py")
    read = parse(words)
    assert read.data == data
    given = read.study.flat()
    assert read.study == study.replace(**{name: given[name] for name in OPTIONS_NOT_SHOWN if name in given})
    with calls_from_python():
        call = command_as_called(search_command(as_saved(study, data)))
    keywords = eval(call.replace("search(", "dict(", 1), {"dict": dict})
    called = settled(lambda default: options_of(default, keywords, "search"))
    assert (called.study, called.data) == (read.study, data)


def test_what_was_left_at_its_default_is_left_out() -> None:
    study = AskedStudy.of(trials=1, epochs=1, image_size=16, batch_size=2)
    assert not {"--attribute-weights", "--compile", "--backbones", "--attributes", "--formulation"} & set(
        shlex.split(search_command(as_saved(study, DataConfig())))
    )
