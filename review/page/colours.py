"""The colours of the charts, of their keys and of the funnel's bars, on a light page.

A dark page shows the same charts inverted (`page.css`), so that there is one palette.
"""

from __future__ import annotations

COLOURS = {
    "ink": "#1b2330",
    "quiet": "#5a6577",
    "line": "#dfe4ea",
    "grid": "#edf0f4",
    "card": "#ffffff",
    "price": "#1b2330",
    "short": "#0b6bb8",
    "long": "#c76a00",
    "day": "#a4568a",
    "rise": "#00795c",
    "fall": "#c94a00",
    "volume": "#a3adbb",
    "surge": "#6f45c8",
    "p95": "#1b2330",
    "holds": "#17876b",
    "fails": "#e9edf2",
    "signal": "#0b4fb3",
    "miss": "#8a6d00",
    "entry": "#00795c",
    "exit": "#c94a00",
    "mark": "#1b2330",
    "peak": "#00795c",
    "stop": "#c94a00",
    "hard": "#c76a00",
    "tight": "#6f45c8",
    "blind": "#c94a00",
    "held": "#6f45c8",
    "down": "#5a6577",
    "gate-open": "#4fae94",
    "gate-time": "#b9c1cd",
    "gate-feed": "#d55e00",
    "gate-position": "#5b8def",
    "gate-contract": "#e0b23c",
}

SHADES = 9
"""Shades of a condition in the strip, from no second that met it to all of them."""

GATES = ("open", "time", "feed", "position", "contract")
"""The kinds of gates in the strip."""

SIGNAL, FIRST_GATE = SHADES + 1, SHADES + 2
"""Their places in the palette. Its first is nothing, then come the shades."""


def palette() -> list[str]:
    """The colours of the strip by their places."""
    shades = [_between(COLOURS["fails"], COLOURS["holds"], step / (SHADES - 1)) for step in range(SHADES)]
    return ["#00000000", *shades, COLOURS["signal"], *(COLOURS[f"gate-{kind}"] for kind in GATES)]


def _between(one: str, other: str, share: float) -> str:
    """The colour so far on the way from one (#rrggbb) to another."""
    parts = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(start + (end - start) * share) for start, end in parts).hex()


def style() -> str:
    """The colours as variables of the page's style."""
    return ":root{" + "".join(f"--{name}:{colour};" for name, colour in COLOURS.items()) + "}"
