"""The parts of a run's page that take longer to find out: which knobs matter, the worst mistakes, the re-training."""

from __future__ import annotations

import math
from asyncio import to_thread
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from search.service.commands import Places
from search.service.findings import FEWEST_FOR_IMPORTANCE, Mistake, mistakes, retraining
from search.service.frame import PLAIN, chart_options, half, sheet
from search.service.run_charts import BEST
from search.service.run_view import RunView, number
from search.service.service import Service
from trainables.errors import UserError

BAR_PX, GREY = 24, "#7d8894"


def importance_options(shares: list[tuple[str, float]]) -> dict[str, Any]:
    """Bars, the largest on top."""
    data = [round(share, 3) for _, share in shares]
    label = {"show": True, "position": "right", "color": GREY}
    options = chart_options(
        yAxis={"type": "category", "inverse": True, "data": [name for name, _ in shares]},
        xAxis={"name": "share of the differences in score", "minInterval": 0, "splitNumber": 3},
        series=[{"type": "bar", "color": BEST, "data": data, "label": label}],
        legend={"show": False},
        grid={"left": 150, "right": 50, "top": 8, "bottom": 46},
    )
    return {**options, "tooltip": {"show": False}}


async def importance_card(service: Service, view: RunView) -> None:
    """Which knobs matter."""
    shares = await to_thread(service.importances.of, view)
    with half("Which knobs matter"):
        if not shares:
            ui.label(f"It takes {FEWEST_FOR_IMPORTANCE} trials with different scores to tell.").classes("words")
            return
        words = "By Optuna's fANOVA. With a few dozen trials a rough hint; it does not say which value is good."
        ui.label(words).classes("words")
        ui.echart(importance_options(shares)).style(f"height: {70 + BAR_PX * len(shares)}px")


async def mistakes_card(service: Service, view: RunView) -> None:
    """The pictures that the best trial got wrong, the worst first; of those that may not be shown, why."""
    found = await to_thread(mistakes, view)
    if not found:
        return
    hidden = await to_thread(not_shown, service.places, found)
    words = "Validation pictures that the best trial got wrong in its best epoch, the least likely true class first."
    if hidden:
        words += f" {len(hidden)} of them cannot be shown: {next(iter(hidden.values()))}."
    with sheet("The worst mistakes", words), ui.row().classes("w-full").style("gap: 12px"):
        for mistake in found:
            with ui.column().style("width: 136px; gap: 2px"):
                if mistake.place not in hidden:
                    picture = ui.element("img").props('alt="a picture answered wrongly"')
                    picture.props["src"] = f"/mistake/{view.summary.name}/{mistake.place}?split={view.run.split_hash}"
                    picture.style("width: 136px; height: 136px; object-fit: cover; border-radius: 6px")
                ui.label(f"{mistake.answer} {mistake.share:.0%}").style("overflow-wrap: anywhere")
                ui.label(f"is {mistake.truth}, {mistake.truth_share:.0%}").classes("words")


def not_shown(places: Places, found: Sequence[Mistake]) -> dict[int, str]:
    """Why a picture is not shown, by its place in the validation side: it is gone, or lies where none may be read."""
    hidden = {}
    for mistake in found:
        try:
            places.pictures(mistake.path)
        except UserError as error:
            hidden[mistake.place] = str(error)
    return hidden


async def retraining_card(view: RunView) -> None:
    """What a re-training said: its pick, its score on new people, the verdict and the ranking."""
    record, test = retraining(view.folder), view.summary.test
    ranking = record.get("ranking")
    if test is None or not isinstance(ranking, list):
        return
    with sheet("What the re-training said", f"Picked {test.trial_id}: macro-F1 {test} on {view.run.units} never seen."):
        if isinstance(record.get("verdict"), str) and record["verdict"]:
            ui.label(f"Against the default configuration: {record['verdict']}.")
        rows = [
            {
                "place": place,
                "trial": str(entry.get("trial_id", "")),
                "backbone": str(entry.get("backbone", "")),
                "again": " ± ".join(filter(None, (_score(entry.get("mean")), _score(entry.get("std"))))),
                "search": _score(entry.get("search")),
            }
            for place, entry in enumerate((entry for entry in ranking if isinstance(entry, dict)), start=1)
        ]
        columns = [
            {"name": key, "label": label, "field": key, "align": "left"}
            for key, label in (
                ("place", ""), ("trial", "trial"), ("backbone", "backbone"),
                ("again", f"val {view.summary.metric}, trained again"), ("search", "in the search"),
            )
        ]  # fmt: skip
        ui.table(rows=rows, columns=columns, row_key="place").props(PLAIN).classes("w-full").style("max-width: 760px")


def _score(value: object) -> str:
    known = number(value)
    return "" if known is None or math.isnan(known) else f"{known:.4f}"
