"""A study as one HTML file that needs nothing else: charts and tables, for a browser, on a phone too.

The file asks the network for nothing, and its policy forbids it to: the script that draws and the charting library
stand inside, named by their hashes, so that no text from a record could ever run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from config import VERSION
from events import Condition
from followed import headline
from review import funnel
from review.answer import SIMULATED, answer
from review.page import colours
from review.page.asked import Asked, asked_sections
from review.page.data import CLOSEUP_S, SECOND_MS, shown
from review.page.levels import levels
from review.page.library import library, script
from review.page.session import header, session_section
from review.page.tables import declined_section, funnel_section, gaps_section, misses_section
from review.page.trades import trades_section
from review.places import check_own, write_own
from review.study import Study
from utils import clock_text
from wording import short_name

HERE = Path(__file__).parent


FIRST_ITEMS = 3_000
"""The first picture is drawn from levels of at most so many items, enough for a whole day on a wide screen. The finer ones are
seven eighths of the data, and are read after it."""

PAGE_BEGINS = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"'
"""What every page begins with."""


class Neighbours(NamedTuple):
    """The file names of the pages of the day before and of the day after; empty without one."""

    before: str = ""
    after: str = ""


def beside(names: Sequence[str], place: int) -> Neighbours:
    """Returns the names before and after the one at a place."""
    return Neighbours("".join(names[max(0, place - 1) : place]), "".join(names[place + 1 : place + 2]))


NOTHING_ASKED, ALONE = Asked(), Neighbours()


def neighbours_of(path: Path) -> Neighbours:
    """The pages beside a page that is named by its day, as ``2025-10-02.html`` is: the nearest before it and after it."""
    if day_of(path) is None:
        return ALONE
    names = sorted(found.name for found in path.parent.glob("*.html") if day_of(found) is not None)
    before = [name for name in names if name < path.name]
    after = [name for name in names if name > path.name]
    return Neighbours(before[-1] if before else "", after[0] if after else "")


def day_of(path: Path) -> date | None:
    """The day of which a file has the name, as ``2025-10-02.html`` has; None for another name."""
    try:
        day = date.fromisoformat(path.stem)
    except ValueError:
        return None
    return day if path.name == f"{day}.html" else None


def check(path: Path) -> None:
    """What would keep a page from being written, before the wait for a study. Raises Unusable."""
    library()
    check_own(path, "--html", PAGE_BEGINS.encode())


def write(
    study: Study, path: Path, asked: Asked = NOTHING_ASKED, neighbours: Neighbours | None = None
) -> None:
    """Write the page of a study, and what was ``asked`` of the day. It leads to the pages of other days beside it.

    ``neighbours`` names those that will be there; None: those that are there now.

    Raises Unusable when the charting library is not installed or the file cannot be written.
    """
    page = render(study, library(), asked, neighbours_of(path) if neighbours is None else neighbours)
    write_own(path, "--html", PAGE_BEGINS, page)


# --- The file ----------------------------------------------------------------------------------------


def render(study: Study, charting: str, asked: Asked = NOTHING_ASKED, neighbours: Neighbours = ALONE) -> str:
    """The whole file, with the charting library's script in it."""
    missed = funnel.misses(study)[: funnel.MISSES_SHOWN]
    style = (HERE / "page.css").read_text(encoding="utf-8")
    own = script(HERE / "page.js")
    body = [
        _ways(neighbours),
        header(study, answer(study).removeprefix(SIMULATED)),
        asked_sections(study, asked),
        session_section(study, missed),
        trades_section(study),
        '<div class="pair">',
        funnel_section(study),
        "<div>",
        misses_section(study, missed),
        gaps_section(study),
        declined_section(study),
        "</div></div>",
        _footer(study),
    ]
    return "\n".join(
        [
            f'{PAGE_BEGINS} content="{policy(charting, own)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(title(study))}</title>",
            f"<style>\n{colours.style()}\n{style}</style>",
            "</head>",
            "<body>",
            *body,
            *_blocks(_data(study, missed, asked)),
            f"<script>{charting}</script>",
            f"<script>{own}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _blocks(parts: Mapping[str, Any]) -> list[str]:
    return [f'<script type="text/plain" id="{name}">{_packed(part)}</script>' for name, part in parts.items()]


def title(study: Study) -> str:
    """The page's title: what following the day's pushes by hand would have brought, then whose day it is."""
    told = study.trades
    result = headline(told.followed(), told.followed(0)) if told.told else "no entry"
    market = "Simulated market: " if study.is_simulated else ""
    return f"{market}{result} · {study.rules.symbol} {study.session.date}"


def _data(study: Study, missed: Sequence[funnel.Miss], asked: Asked) -> dict[str, dict[str, Any]]:
    """The charts and what the script puts into them, and apart from it what the first picture does not need."""
    # Only here: the library of the charts is there for pages alone, and takes a second to load.
    from review.page import charts  # noqa: PLC0415

    found, benchmark = shown(study, missed, asked.at), study.rules.benchmark
    strip = [(f"is_{condition}", short_name(condition, benchmark)) for condition in Condition]
    first, finer = levels(study).apart(FIRST_ITEMS)
    data = {
        "document": charts.document(found, [*strip, ("signals", "All met"), ("gates", "Gate")]),
        "opening": found.opening,
        "closing": found.closing,
        "closeup": CLOSEUP_S * SECOND_MS,
        "start": found.start,
        "notes": found.notes,
        "paths": {path.id: path.packed for path in found.paths},
        **first,
    }
    return {"data": data, "finer": finer}


def policy(*scripts: str) -> str:
    """A policy that lets these scripts run and nothing else, and nothing be loaded but images inside the page."""
    sources = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    # The charting library writes its own style rules, so styles cannot be named by their hash.
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _packed(value: Any) -> str:
    """JSON as base64 of gzip's: a whole session's is a quarter of its size, and cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


def _ways(neighbours: Neighbours) -> str:
    """The ways to the pages of the days beside this one."""
    before, after = (escape(name) for name in neighbours)
    links = f'<a rel="prev" href="{before}">← {before.removesuffix(".html")}</a>' if before else ""
    links += f'<a rel="next" href="{after}">{after.removesuffix(".html")} →</a>' if after else ""
    return f'<nav aria-label="Other days">{links}</nav>' if links else ""


def _footer(study: Study) -> str:
    digests = list(dict.fromkeys(study.digests))
    starts = ", ".join(clock_text(start) for start in study.starts)
    text = (
        f"Derived again from {study.path.name} by version {VERSION}, rules {', '.join(digests)}; "
        f"the program was started at {starts}. One day proves nothing about the next."
    )
    return f'<footer class="note">{escape(text)}</footer>'
