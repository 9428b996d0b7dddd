"""The charting library's script, made quick to start.

As it starts, plotly.js builds all of its nearly fifty kinds of charts. The page draws lines, which are always there, and
heatmaps. Building only those halves the time until a page is drawn; nothing is taken out of the script but the names of
the other kinds from the list of those to build.
"""

from __future__ import annotations

import re

from review.places import Unusable

REQUIREMENTS = "requirements-review.txt"
KIND = "heatmap"
NAME = r"[\w$]+"

KINDS_LISTED = re.compile(rf"\.register\(\[((?:{NAME}\(\),)+{NAME}\(\))\]\)")
"""Where the kinds are named that are built at the start: each is a call of its module."""

MODULE_BEGINS = re.compile(rf'({NAME})={NAME}\(\({NAME},{NAME}\)=>\{{"use strict";')


def library() -> str:
    """The script of the installed package, quick to start. Raises Unusable without the package."""
    try:
        # Only here: nothing but this page needs it.
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise Unusable(f"--html needs the package plotly: python -m pip install -r {REQUIREMENTS}") from None
    return quick(str(get_plotlyjs()))


def quick(script: str) -> str:
    """The script with `KIND` alone in its list. Unchanged, and slower, when it is not built as expected."""
    listed = KINDS_LISTED.search(script)
    begins = list(MODULE_BEGINS.finditer(script, 0, max(0, script.find(f'name:"{KIND}"'))))
    if listed is None or not begins:
        return script
    # The module that says its kind's name is handed on by another, which is the one that is listed.
    handed_on = re.search(
        rf'({NAME})={NAME}\(\({NAME},({NAME})\)=>\{{"use strict";\2\.exports={re.escape(begins[-1][1])}\(\)\}}\)',
        script,
    )
    if handed_on is None or f"{handed_on[1]}()" not in listed[1].split(","):
        return script
    return f"{script[: listed.start(1)]}{handed_on[1]}(){script[listed.end(1) :]}"
