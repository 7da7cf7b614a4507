"""The leaderboard of a run: every trial with every knob, of which a page travels at a time."""

from __future__ import annotations

from typing import Any

from nicegui import events, ui

from search.service.run_view import KNOBS, RunView

ROWS_SHOWN = 25
"""Rows that travel at once: a run may have thousands."""
TRIAL_LINK = """
<q-td :props="props"><a class="plain" :href="props.row.address">{{ props.value }}</a></q-td>
"""
FOUR_DIGITS = "value => value === null ? '' : value.toFixed(4)"
LABELS = {"best": "best val score", "epoch": "epoch best/trained"}
COLUMNS = ("trial", "state", "best", "epoch", "seconds", "backbone", *KNOBS)


class Leaderboard:
    """One browser's table, sorted and filtered as it asked for; filled again as the run goes on."""

    def __init__(self, name: str) -> None:
        """Draws it empty.

        Args:
            name: Of the run.
        """
        self._name = name
        self._view: RunView | None = None
        self._order: dict[str, Any] = {"sortBy": "best", "descending": True, "page": 1, "rowsPerPage": ROWS_SHOWN}
        columns = [
            {"name": column, "label": LABELS.get(column, column), "field": column, "sortable": column != "epoch",
             "align": "left", **({":format": FOUR_DIGITS} if column == "best" else {})}
            for column in COLUMNS
        ]  # fmt: skip
        self._wanted = ui.input(placeholder="Filter", on_change=self._seek)
        self._wanted.props("dense outlined clearable debounce=300").classes("w-48")
        self._table = ui.table(rows=[], columns=columns, row_key="trial", pagination=dict(self._order))
        self._table.props("flat dense binary-state-sort :rows-per-page-options=[25]").classes("w-full")
        self._table.add_slot("body-cell-trial", TRIAL_LINK)
        self._table.on("request", self._turn)

    def fill(self, view: RunView) -> None:
        """Shows the trials as they are now."""
        self._view = view
        rows = view.leaderboard(
            str(self._order["sortBy"]), descending=bool(self._order["descending"]), wanted=self._wanted.value or ""
        )
        first = (int(self._order["page"]) - 1) * ROWS_SHOWN
        shown = rows[first : first + ROWS_SHOWN]
        self._table.rows = [{**row, "address": f"/run/{self._name}/trial/{row['trial']}"} for row in shown]
        self._table.pagination = {**self._order, "rowsNumber": len(rows)}

    def _again(self) -> None:
        if self._view is not None:
            self.fill(self._view)

    def _turn(self, event: events.GenericEventArguments) -> None:
        """Takes a column's head or a page that was clicked; what no table sends is passed over."""
        asked = event.args.get("pagination", {}) if isinstance(event.args, dict) else {}
        column, page = asked.get("sortBy"), asked.get("page")
        self._order["sortBy"] = column if column in COLUMNS else "best"
        self._order["descending"] = bool(asked.get("descending"))
        self._order["page"] = page if isinstance(page, int) and page > 0 else 1
        self._again()

    def _seek(self) -> None:
        self._order["page"] = 1
        self._again()
