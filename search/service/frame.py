"""What every page has around it: the head with its links, the looks, and how a mistake is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nicegui import ui

from trainables.errors import UserError

Answer = TypeVar("Answer")
LINKS = (("Runs", "/"), ("New search", "/new"), ("Commands", "/commands"))
STATE_COLOURS = {
    "running here": "blue-8",
    "running elsewhere": "blue-8",
    "running": "blue-8",
    "finished": "green-9",
    "time used": "green-9",
    "done": "green-9",
    "stopped": "amber-10",
    "interrupted": "amber-10",
    "waiting": "blue-grey-7",
    "ended": "blue-grey-7",
    "cancelled": "blue-grey-7",
    "failed": "red-9",
    "cannot be read": "red-9",
}
"""State of a run, trial or command to a colour on which white can be read."""
REFRESH_SECONDS = 2.0
PLAIN = "flat dense hide-pagination :rows-per-page-options=[0]"
"""Looks of a table that shows all its rows."""
SORT_KEYS = """
<script>
new MutationObserver(() => {
  for (const head of document.querySelectorAll("th.sortable:not([tabindex])")) head.tabIndex = 0;
}).observe(document, {childList: true, subtree: true});
document.addEventListener("keydown", event => {
  if (!event.target.matches?.("th.sortable") || !["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  event.target.click();
});
</script>
"""
"""Has tables sorted from the keyboard, as Quasar's heads listen to the mouse alone. A head of our own, in a slot, is
made anew whenever the table is brought up to date, and loses its focus."""
CSS = """
:root { --soft: #55606d; --line: #d5dbe2; --mark: #e7eefb; }
.body--dark { --soft: #a3afbc; --line: #37414c; --mark: #22304a; }
body { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
.body--light { background: #f3f5f8; }
.nicegui-content { padding: 0; }
.words { color: var(--soft); overflow-wrap: anywhere; }
.q-table td.wrap, .q-table th.wrap { white-space: normal; overflow-wrap: anywhere; }
@media (max-width: 600px) { .narrow .q-table th, .narrow .q-table td { padding: 4px 5px; font-size: 12px; } }
.q-table th { color: var(--soft); }
.sheet { width: 100%; border: 1px solid var(--line); border-radius: 10px; box-shadow: none; gap: .5rem; }
.log, .command { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; width: 100%;
  max-height: 340px; overflow: auto; }
h1 { font-size: 1.5rem; font-weight: 700; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.12rem; font-weight: 600; line-height: 1.3; margin: 0; }
.body--dark .text-negative { color: #ff8a7d !important; }
.q-table__container { max-width: 100%; }
tr.differs td { background: var(--mark); font-weight: 600; }
a.plain { color: inherit; text-decoration: underline; text-underline-offset: 3px; }
a:focus-visible, button:focus-visible, th:focus-visible { outline: 2px solid #5b8def; outline-offset: 2px; }
th:focus-visible { outline-offset: -2px; }
"""


@contextmanager
def frame(title: str) -> Iterator[None]:
    """The head of a page, and a column for what it shows."""
    ui.page_title(f"{title} – macrotune")
    ui.add_css(CSS)
    ui.add_head_html(SORT_KEYS)
    ui.colors(primary="#1f4e9c")
    with ui.header().classes("items-center q-px-md q-py-sm").style("gap: 4px 18px"):
        ui.label("macrotune").classes("text-weight-bold").style("font-size: 1.1rem")
        for words, address in LINKS:
            ui.link(words, address).classes("text-white").style("text-underline-offset: 4px")
    with ui.column().classes("w-full q-mx-auto q-pa-md").style("max-width: 1400px; gap: 14px"):
        yield


def sheet(title: str = "", words: str = "") -> ui.card:
    """A part of a page with its heading, to be filled."""
    card = ui.card().classes("sheet")
    with card:
        if title:
            heading(title, 2)
        if words:
            ui.label(words).classes("words")
    return card


def half(title: str, words: str = "") -> ui.card:
    """A part of a page that shares its row with another where there is room."""
    return sheet(title, words).style("flex: 1 1 360px; width: auto; min-width: 0")


def heading(words: str, level: int) -> ui.element:
    """A heading of which the words are text, whatever is in them."""
    with ui.element(f"h{level}") as element:
        ui.label(words)
    return element


def outlined(words: str, on_click: Callable[[], Any] | None = None) -> ui.button:
    """A button beside the main one, in the colour of the text, so that it can be read in the dark too."""
    return ui.button(words, on_click=on_click, color=None).props("outline no-caps")


def badge(state: str) -> ui.badge:
    """A state in its colour."""
    return ui.badge(state, color=STATE_COLOURS.get(state, "blue-grey-7")).style("font-size: .82rem; padding: 4px 9px")


async def attempt(action: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """Does what a button is for; a user's mistake, or a file that is gone, becomes one message on the page."""
    try:
        return await action()
    except (UserError, OSError) as error:
        ui.notify(str(error), type="negative", multi_line=True, timeout=9000, close_button="OK")
        return None


PALETTE = ("#2f6fd0", "#d98a1f", "#1b7f5c", "#8e5bb5", "#c0392b", "#7f8c9b")
"""Colours of lines that have none of their own, in their order."""


def chart_options(**more: Any) -> dict[str, Any]:
    """What all charts have in common: readable in the light and in the dark."""
    grey = "#7d8894"
    axis = {
        "axisLabel": {"color": grey},
        "nameTextStyle": {"color": grey},
        "splitLine": {"lineStyle": {"color": "#7d889433"}},
    }
    base: dict[str, Any] = {
        "animation": False,
        "color": list(PALETTE),
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "grid": {"left": 56, "right": 18, "top": 36, "bottom": 46},
        "tooltip": {"confine": True, "renderMode": "richText"},  # which draws names as text, never as markup
        "legend": {"textStyle": {"color": grey}, "type": "scroll", "top": 0},
        "xAxis": {"type": "value", "minInterval": 1, "nameLocation": "middle", "nameGap": 28, **axis},
        "yAxis": {"type": "value", "scale": True, **axis},
    }
    for name, value in more.items():
        base[name] = {**base[name], **value} if isinstance(value, dict) and name in base else value
    return base
