"""What a call says in a notebook: plain lines, and one output that is drawn anew in its place while it runs."""

from __future__ import annotations

import html
import io
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType

from search.terminal import Drawing, Terminal, VoiceFlags

WIDTH = 110
"""Characters of a line of the table."""
SECONDS = 2.0
"""Between two drawings: each is a message to the browser."""
FORMAT = "<pre style='line-height:1.25;font-family:monospace'>{code}</pre>"


def console_here(voice: VoiceFlags) -> Terminal:
    """The console of this process: a notebook's, or that of a script or prompt."""
    return NotebookConsole(voice) if in_notebook() else Terminal(voice, time.monotonic())


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None  # type: ignore[attr-defined]  # IPython's own
    return getattr(shell, "kernel", None) is not None


class NotebookConsole(Terminal):
    """Prints into the cell, and draws below it what ticks."""

    def __init__(self, voice: VoiceFlags) -> None:
        """Shows nothing yet."""
        super().__init__(
            voice, time.monotonic(), file=sys.stdout, force_jupyter=False, force_terminal=False, width=WIDTH
        )

    @property
    def is_alive(self) -> bool:
        """Always: an output of a notebook can be drawn again."""
        return True

    def drawing(
        self, draw: Callable[[], RenderableType], *, per_second: float, transient: bool = False
    ) -> Drawing | None:
        """`Terminal.drawing` in an output of its own."""
        return None if self.voice.quiet else CellDrawing(draw, transient=transient)


class CellDrawing:
    """An output of the cell that a thread draws every other second."""

    def __init__(self, draw: Callable[[], RenderableType], *, transient: bool) -> None:
        self._draw, self._transient = draw, transient
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._handle: Any = None

    @property
    def is_started(self) -> bool:
        """Whether it is being drawn."""
        return self._thread is not None

    def start(self) -> None:
        """Opens the output and begins."""
        from IPython.display import display

        self._handle = display(_Drawn(self._draw()), display_id=True)
        self._over.clear()
        self._thread = threading.Thread(target=self._tick, name="notebook", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leaves the last drawing standing, or nothing."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        self._handle.update(_Drawn("" if self._transient else self._draw()))

    def _tick(self) -> None:
        while not self._over.wait(SECONDS):
            self._handle.update(_Drawn(self._draw()))


class _Drawn:
    """Something of rich as a notebook takes it: HTML for the browser, text for whoever reads the file."""

    def __init__(self, shown: RenderableType) -> None:
        console = Console(
            file=io.StringIO(),
            record=True,
            width=WIDTH,
            force_jupyter=False,
            force_terminal=True,
            color_system="truecolor",
        )
        console.print(shown, end="")
        self._html = console.export_html(inline_styles=True, code_format=FORMAT, clear=False)
        self._text = console.export_text()

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def as_html(rows: dict[str, str]) -> str:
    """A table of two columns; values that begin with < are HTML already."""
    lines = [
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td style='text-align:left'>"
        f"{value if value.startswith('<') else html.escape(value)}</td></tr>"
        for name, value in rows.items()
    ]
    return f"<table>{''.join(lines)}</table>"
