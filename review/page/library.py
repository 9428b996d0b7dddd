"""The scripts of a page with charts: the charting library's, as the installed package brings it, and the page's own."""

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


def script(path: Path) -> str:
    """Returns a page's own script from ``path``, after what all pages with charts do."""
    return "\n".join(file.read_text(encoding="utf-8") for file in (Path(__file__).parent / "charts.js", path))
