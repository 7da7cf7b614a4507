"""The page of a trial: its curves, and by what it is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.service.run_view import Watcher
from tests.runs import a_line, a_run_dir, an_event

nicegui = pytest.importorskip("nicegui", reason="the page needs the extra ui")

from search.service.trial_page import _trial


@pytest.mark.parametrize(("metric", "names"), [("macro_f1", []), ("accuracy", ["Validation accuracy"])])
def test_another_metric_than_macro_f1_has_a_curve_of_its_name(metric: str, names: list[str], tmp_path: Path) -> None:
    lines = [{**a_line(0, epoch, 0.5), "val_score": 0.7 + epoch / 10} for epoch in (1, 2)]
    run_dir = a_run_dir(tmp_path / "a", lines, [an_event(0, "finished", after=1)])
    values = json.loads((run_dir / "run.json").read_text())
    values["task"]["metric"] = metric
    (run_dir / "run.json").write_text(json.dumps(values))
    view = Watcher(tmp_path).view("a")
    with nicegui.Client(nicegui.ui.page("/"), request=None) as browser:
        _trial(view, view.trials["00000"])
    shown: list[Any] = list(browser.elements.values())
    assert [each.text for each in shown if isinstance(each, nicegui.ui.label) and "Validation" in each.text] == names
    curves = [line["data"] for each in shown if isinstance(each, nicegui.ui.echart) for line in each.options["series"]]
    assert ([[1, 0.8], [2, 0.9]] in curves) == bool(names)
