"""All runs in a table that keeps itself up to date, and two of them compared."""

from __future__ import annotations

import math
from asyncio import to_thread
from datetime import datetime
from typing import Any

from nicegui import ui

from results.records.cost import duration
from results.records.progress import knobs, shown
from results.records.summary import RunSummary
from search.service.commands_page import note_of
from search.service.frame import (
    PLAIN,
    REFRESH_SECONDS,
    STATE_COLOURS,
    attempt,
    chart_options,
    frame,
    heading,
    outlined,
    sheet,
)
from search.service.run_view import RunView
from search.service.service import Service
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.sizes import size_in_words


def _by(field: str) -> str:
    """Sorts a column by a number of its rows, of which it shows words."""
    return f"(one, other, a, b) => a.{field} - b.{field}"


COLUMNS: list[dict[str, Any]] = [
    {"name": "name", "label": "run", "field": "name", "align": "left", "sortable": True},
    {"name": "state", "label": "state", "field": "state", "align": "left", "sortable": True},
    {"name": "space", "label": "space", "field": "space", "align": "left", "sortable": True},
    {
        "name": "data",
        "label": "data",
        "field": "data",
        "align": "left",
        "sortable": True,
        "classes": "wrap",
        "style": "min-width: 130px",
    },
    {"name": "best", "label": "best val score", "field": "best", "sortable": True, ":sort": _by("score")},
    {"name": "test", "label": "test F1 [95%]", "field": "test", "sortable": True},
    {"name": "trials", "label": "trials", "field": "trials", "sortable": True, ":sort": _by("done")},
    {"name": "time", "label": "time", "field": "time", "sortable": True, ":sort": _by("seconds")},
    {"name": "size", "label": "size", "field": "size"},
    {"name": "began", "label": "began", "field": "began", "align": "left", "sortable": True},
]
LINK = """
<q-td :props="props"><a class="plain" :href="'/run/' + encodeURIComponent(props.value)">{{ props.value }}</a></q-td>
"""
STATE = """
<q-td :props="props"><q-badge :color="props.row.colour">{{ props.value }}</q-badge>
<div class="words" style="max-width: 220px; white-space: normal">{{ props.row.more }}</div></q-td>
"""
CARD = """
<div class="col-12 q-pa-xs"><q-card flat bordered class="q-pa-sm" style="border-radius: 10px">
<div class="row items-center no-wrap" style="gap: 8px">
<q-checkbox dense v-model="props.selected" :aria-label="'pick ' + props.row.name"/>
<a class="plain text-weight-bold" style="overflow-wrap: anywhere"
 :href="'/run/' + encodeURIComponent(props.row.name)">{{ props.row.name }}</a>
<q-space/><q-badge :color="props.row.colour">{{ props.row.state }}</q-badge></div>
<div class="words">{{ props.row.more }}</div>
<div>val {{ props.row.best ?? 'none yet' }} <span v-if="props.row.test">· test {{ props.row.test }}</span></div>
<div class="words">{{ props.row.space }} · {{ props.row.data }} · trials: {{ props.row.trials }} ·
{{ props.row.time }} · {{ props.row.size }}</div></q-card></div>
"""


def runs_page(service: Service) -> None:
    """The table of all runs."""
    with frame("Runs"):
        with ui.row().classes("w-full items-center").style("gap: 10px"):
            heading("Runs", 1)
            ui.space()
            wanted = ui.input(placeholder="Filter").props("dense outlined clearable").classes("w-48")
            compare = outlined("Compare two")
            ui.button("New search", on_click=lambda: ui.navigate.to("/new")).props("no-caps")
        note = ui.label().classes("words")
        table = ui.table(
            rows=[], columns=COLUMNS, row_key="name", selection="multiple", pagination={"rowsPerPage": 25}
        ).classes("w-full")
        table.props(":grid=Quasar.Screen.lt.md flat bordered dense")
        table.add_slot("body-cell-name", LINK)
        table.add_slot("body-cell-state", STATE)
        table.add_slot("item", CARD)
        compare.on_click(lambda: _go_compare(table))
        wanted.bind_value_to(table, "filter", forward=lambda value: value or "")

    async def refresh() -> None:
        rows = await to_thread(service.watcher.summaries)
        shown_rows = [_row(row, service) for row in rows]
        if shown_rows != table.rows:
            table.rows = shown_rows
        counted = f"{len(rows)} run{'s' * (len(rows) != 1)} in {service.places.storage}"
        note.set_text(f"{counted}. {note_of(service)}")

    ui.timer(REFRESH_SECONDS, refresh)


def compare_page(service: Service, first: str, second: str) -> None:
    """Two runs: their facts, how they went, and what their winners do differently."""
    with frame("Compare"):
        heading(f"{first} and {second}", 1)
        body = ui.column().classes("w-full").style("gap: 14px")

    async def fill() -> None:
        async def read() -> tuple[RunView, RunView]:
            for name in (first, second):
                service.places.run_dir(name)
            return (
                await to_thread(service.watcher.view, first),
                await to_thread(service.watcher.view, second),
            )

        if (views := await attempt(read)) is not None:
            with body:
                _compared(*views)

    ui.timer(0.1, fill, once=True)


def _compared(first: RunView, second: RunView) -> None:
    if first.run.split_hash != second.run.split_hash:
        ui.label("Other pictures, or other sides: the two scores cannot be compared.").classes("text-weight-bold")
    if first.summary.metric != second.summary.metric:
        ui.label("Other metrics: the two scores cannot be compared.").classes("text-weight-bold")
    with sheet("Facts"):
        columns = [
            {"name": name, "label": label, "field": name, "align": "left", "classes": "wrap", "headerClasses": "wrap"}
            for name, label in (("what", ""), ("first", first.summary.name), ("second", second.summary.name))
        ]
        rows = [
            {"what": name, "first": one, "second": other}
            for (name, one), (_, other) in zip(_facts(first.summary), _facts(second.summary), strict=True)
        ]
        ui.table(rows=rows, columns=columns, row_key="what").props(PLAIN).classes("narrow")
    with sheet("Best validation score over the epochs spent"):
        series = [
            {
                "type": "line", "name": view.summary.name, "step": "end", "showSymbol": False,
                "data": [[epochs, round(score, 4)] for epochs, score in view.best_curve],
            }
            for view in (first, second)
        ]  # fmt: skip
        ui.echart(chart_options(xAxis={"name": "epochs spent"}, series=series, tooltip={"trigger": "axis"})).style(
            "height: 320px"
        )
    winners = [view.winner for view in (first, second)]
    if winners[0] is None or winners[1] is None:
        return
    with sheet("Settings in which the best trials differ"):
        pairs = knobs(TrialConfig(**winners[0].config), TrialConfig(**winners[1].config))
        rows = [
            {"what": knob.name, "first": shown(knob.first), "second": shown(knob.second)}
            for knob in pairs
            if knob.differs
        ]
        if rows:
            ui.table(rows=rows, columns=columns, row_key="what").props(PLAIN)
        else:
            ui.label("None: it is the same configuration.")


def _facts(row: RunSummary) -> list[tuple[str, str]]:
    return [
        ("state", str(row.state)),
        ("space", row.space),
        ("data", f"{row.data}, {row.pictures:,} pictures, {row.classes} classes"),
        (
            "best validation score",
            f"{row.best_in_words} by {row.best_trial}, {row.backbone}" if _known(row) else "none yet",
        ),
        ("test macro-F1 [95%]", str(row.test) if row.test else "not re-trained yet"),
        ("trials", row.trials_in_words),
        ("time", duration(row.seconds)),
        ("size", size_in_words(row.size_bytes)),
    ]


def _go_compare(table: ui.table) -> None:
    names = [row["name"] for row in table.selected]
    if len(names) != 2:
        ui.notify("Pick two runs first, by the boxes at their left.", type="warning")
        return
    ui.navigate.to(f"/compare?first={names[0]}&second={names[1]}")


def _row(row: RunSummary, service: Service) -> dict[str, Any]:
    more = row.problem
    if row.presence is not None:
        asked = ", was asked to stop" if service.was_asked_to_stop(row.presence) else ""
        more = f"is being {row.presence.doing}{asked}"
    return {
        "name": row.name,
        "state": str(row.state),
        "colour": STATE_COLOURS.get(row.state, "blue-grey-7"),
        "more": more[:300],
        "space": row.space,
        "data": f"{row.data}, {row.pictures:,} pictures" if row.data else "",
        "best": row.best_in_words or None,
        "score": row.best if _known(row) else None,
        "test": str(row.test) if row.test else None,
        "trials": row.trials_in_words,
        "done": row.counted,
        "time": duration(row.seconds) if row.started else "",
        "seconds": row.seconds,
        "size": size_in_words(row.size_bytes),
        "began": f"{datetime.fromisoformat(row.started):%Y-%m-%d %H:%M}" if row.started else "",
    }


def _known(row: RunSummary) -> bool:
    return math.isfinite(row.best)


def named(name: str, service: Service) -> str | None:
    """The name of a run if there is one of it, else None."""
    try:
        service.places.run_dir(name)
    except UserError:
        return None
    return name
