"""The charting library's script, as the installed package brings it."""

from __future__ import annotations

from pathlib import Path

import entry
from review.places import Unusable

PACKAGE = "bokeh"
"""The package that draws the page."""

SCRIPT = Path("js") / "bokeh.min.js"


def library() -> str:
    """The script that draws. Raises Unusable without the package, and loads it, so that no page is late by that."""
    try:
        # Only here: nothing but this page needs it.
        from bokeh.util.paths import bokehjs_path  # noqa: PLC0415

        import review.page.charts  # noqa: F401, PLC0415
    except ImportError:
        raise Unusable(f"--html needs the package {PACKAGE}: {entry.remedy(entry.REVIEW_PACKAGES)}") from None
    return (bokehjs_path() / SCRIPT).read_text(encoding="utf-8")
