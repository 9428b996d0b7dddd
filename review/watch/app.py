"""The session in progress in the terminal, on Textual. It draws what `lines` lays out, once a second.

Only this file needs Textual; `command` imports it when a terminal is to be drawn on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from entry import EXIT_INTERRUPTED, EXIT_OK
from events import SECOND
from review.watch import lines
from review.watch.frame import Frame, Mood, frame_of
from review.watch.plot import Spans
from review.watch.recent import Recent
from review.watch.watcher import Watcher

FRAME_S = 1.0
"""Pause between two frames."""

PLOT_EVERY_S = 5
"""How long a plot stands: a column of its dots is some 9 s."""

TALL, SAID_TALL = 34, 8
"""From this height on the parts stand apart, and what happened has so many lines."""

STYLES: dict[Mood, str] = {
    Mood.PLAIN: "",
    Mood.QUIET: "bright_black",
    Mood.TITLE: "bold",
    Mood.GOOD: "green",
    Mood.WARN: "yellow",
    Mood.BAD: "bold red",
    Mood.PRICE: "bright_white",
    Mood.SHORT: "cyan",
    Mood.LONG: "magenta",
}
"""The terminal's own colours: its owner has chosen them, and they work on sixteen colours."""

KEYS = "q quit   ? help"

HELP = """\
The session in progress, from its record. The worker is only read.

Feed        whether bars come in time; the median lag of the last ones;
            how long ago the newest second of each symbol ended
Plot        price with the 1-minute and 5-minute VWAP, every second
            with a bar in the last 20 minutes
Gate        what else must hold for an entry; the first that is closed
Conditions  ✓ met, ✗ not, – left out; value, limit, and the last 60 s:
            ▄ met, · not met, blank where no second was evaluated.
            In a narrow terminal a cell stands for two seconds:
            ▖ only the first was met, ▗ only the second
P&L         against the entry of the BUY: at the bid, as closing would
            bring; at the mark, the mid of the newest usable quote
Sells at    stop, giveback from the peak, giveback while the price is
            below its 1-minute VWAP, time stop (New York)

q or Ctrl-C ends this view, not the worker. Any key closes this help.
"""

Part = Callable[[Frame, int, int], list[Spans]]
"""A part of the frame for a width and a height."""


def rich_text(line: Spans) -> Text:
    """Returns a line as Textual draws it. No text is read as markup: it may be a vendor's."""
    return Text.assemble(*((text, STYLES[mood]) for text, mood in line), no_wrap=True, end="")


class Panel(Widget):
    """One part of the frame. It is drawn again when its lines have changed."""

    def __init__(self, name: str, part: Part) -> None:
        super().__init__(id=name)
        self._part = part
        self._frame: Frame | None = None
        self._shown: list[Spans] = []

    def show(self, frame: Frame) -> None:
        """Shows its part of a frame."""
        self._frame = frame
        width, height = self.content_size
        made = [lines.fitted(line, width) for line in self._part(frame, width, height)[:height]]
        if made != self._shown:
            self._shown = made
            self.refresh()

    def on_resize(self) -> None:
        """Shows the same at the new size."""
        if self._frame is not None:
            self.show(self._frame)

    def render(self) -> Text:
        """Returns what is shown."""
        return Text("\n", end="", no_wrap=True).join(map(rich_text, self._shown))


class Help(ModalScreen[None]):
    """What the frame shows, over it, until a key is pressed."""

    def compose(self) -> ComposeResult:
        """Yields the text."""
        yield Static(HELP, markup=False)

    def on_key(self) -> None:
        """Closes the help."""
        self.dismiss()

    def on_click(self) -> None:
        """Closes the help."""
        self.dismiss()


class WatchApp(App[int]):
    """The view: follows the record, and shows a frame every second. Returns the exit status."""

    TITLE = "IWM-5-VWAP"
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-low"), (TALL, "-tall")]  # noqa: RUF012 - Textual declares it so
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit", priority=True),
        Binding("ctrl+c", "interrupt", "quit", priority=True, show=False),
        Binding("question_mark", "help", "help", key_display="?"),
    ]
    CSS = f"""
    Screen {{ layout: vertical; background: ansi_default; color: ansi_default; overflow: hidden; }}
    Panel {{ width: 1fr; }}
    #head {{ height: {lines.HEAD}; }}
    #chart {{ height: 1fr; min-height: {lines.PLOT_LEAST}; }}
    #conditions {{ height: {lines.CONDITIONS}; }}
    #position {{ height: {lines.POSITION}; }}
    #said {{ height: {lines.SAID_LEAST}; }}
    #notice {{ display: none; height: 1fr; }}
    #keys {{ height: {lines.KEYS}; color: ansi_bright_black; }}
    .-tall Panel {{ margin-bottom: 1; }}
    .-tall #said {{ height: {SAID_TALL}; }}
    Help {{ align: center middle; background: ansi_default; }}
    Help Static {{ width: 78; height: auto; border: round ansi_bright_black; padding: 0 1; background: ansi_default; }}
    """

    def __init__(self, watcher: Watcher[Recent], now: Callable[[], int]) -> None:
        super().__init__(ansi_color=True)
        self.animation_level = "none"
        self._watcher = watcher
        self._now = now
        self._is_reading = False
        """Whether the record is read on beside the timer, because there is much of it."""
        self._plotted: int | None = None

    def compose(self) -> ComposeResult:
        """Yields the parts."""
        with Vertical(id="frame"):
            yield Panel("head", lambda frame, width, _: lines.head(frame, width))
            yield Panel("chart", lines.chart)
            yield Panel("conditions", lambda frame, width, _: lines.conditions(frame, width))
            yield Panel("position", lambda frame, width, _: lines.position(frame, width))
            yield Panel("said", lines.said)
        yield Static(id="notice", markup=False)
        yield Static(KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Begins to follow."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, EXIT_OK)
        self.call_after_refresh(self._turn)
        self.set_interval(FRAME_S, self._turn)

    def _turn(self) -> None:
        """Derives what has come, and shows it. While there is much, the keys are heeded in between."""
        if not self._is_reading:
            self._read_on()
        self._draw()

    def _read_on(self) -> None:
        self._watcher.turn(self._now())
        self._is_reading = self._watcher.is_behind
        if self._is_reading:
            self.call_later(self._read_on)

    def _draw(self) -> None:
        kept, now = self._watcher.kept, self._now()
        notice = notice_of(self._watcher)
        self.query_one("#frame").display = not notice
        self.query_one("#notice", Static).display = bool(notice)
        if notice or kept is None:
            self.query_one("#notice", Static).update(Text(notice))
            return
        due = now // (PLOT_EVERY_S * SECOND)
        frame = frame_of(kept, now, self._watcher.fault, is_plotted=due != self._plotted)
        for panel in self.query(Panel):
            if panel.id != "chart" or due != self._plotted:
                panel.show(frame)
        self._plotted = due

    def action_leave(self) -> None:
        """Ends the view."""
        self.exit(EXIT_OK)

    def action_interrupt(self) -> None:
        """Ends the view as Ctrl-C ends a command."""
        self.exit(EXIT_INTERRUPTED)

    def action_help(self) -> None:
        """Shows the help."""
        self.push_screen(Help())


def notice_of(watcher: Watcher[Recent]) -> str:
    """Returns what is shown instead of a frame: there is no record yet, it is damaged, or it is being read."""
    if watcher.kept is None and watcher.fault:
        return (
            f"{watcher.fault}\n\n{'Waiting for it.' if watcher.is_waiting else 'Looking again every second.'}"
        )
    done, total = watcher.progress
    if watcher.kept is None or (watcher.is_behind and done < total):
        return f"Reading the record: {done * 100 // max(1, total)}%"
    return ""
