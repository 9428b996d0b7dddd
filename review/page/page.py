"""A study as one HTML file that needs nothing else: charts and tables, for a browser, on a phone too.

The file asks the network for nothing, and its policy forbids it to: the script that draws and the charting library
stand inside, named by their hashes, so that no text from a record could ever run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from config import VERSION
from events import Condition
from followed import dollars_text
from review import fills, funnel
from review.answer import answer
from review.page.data import GATE_KINDS, payload
from review.page.library import library
from review.page.tables import (
    declined_section,
    funnel_section,
    gaps_section,
    key,
    misses_section,
    trades_section,
)
from review.places import Unusable, check_own, claim
from review.study import Study
from utils import clock_text, minute_text, new_york, span_text
from wording import condition_name

HERE = Path(__file__).parent


PAGE_BEGINS = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"'
"""What every page begins with."""


def check(path: Path) -> None:
    """What would keep a page from being written, before the wait for a study. Raises Unusable."""
    library()
    check_own(path, "--html", PAGE_BEGINS.encode())


def write(study: Study, path: Path) -> None:
    """Write the page of a study. Raises Unusable when plotly is not installed or the file cannot be written."""
    page = render(study, library())
    try:
        with open(claim(path, "--html", PAGE_BEGINS.encode()), "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
    except OSError as error:
        raise Unusable(f"--html {path}: {error.strerror}") from None


# --- The file ----------------------------------------------------------------------------------------


def render(study: Study, charting: str) -> str:
    """The whole file, with the charting library's script in it."""
    missed = funnel.misses(study)[: funnel.MISSES_SHOWN]
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    session = study.session
    title = f"{study.rules.symbol} {session.date}"
    body = [
        _header(study),
        _session_section(study, missed),
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
            f'{PAGE_BEGINS} content="{_policy(charting, script)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            *body,
            f'<script type="application/json" id="data">{_json(payload(study, missed))}</script>',
            f"<script>{charting}</script>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _policy(*scripts: str) -> str:
    """A policy that lets these scripts run and nothing else, and nothing be loaded but images inside the page."""
    sources = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    # The charting library writes its own style rules, so styles cannot be named by their hash.
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


# --- Sections ----------------------------------------------------------------------------------------


def _header(study: Study) -> str:
    session = study.session
    day = new_york(session.open).strftime("%A %-d %B %Y")
    hours = f"{minute_text(session.open)}–{minute_text(session.close)} New York"
    notes = [f"{study.rules.symbol}, {day}, {hours}{', an early close' if session.early else ''}."]
    if study.until < session.close:
        notes.append(f"The record ends at {clock_text(study.until)}.")
    if study.torn:
        notes.append(f"Its last line is torn ({study.torn} bytes).")
    notes += [f"{text[0].upper()}{text[1:]}." for text in study.odd]
    return (
        f'<header><p class="quiet">{escape(" ".join(notes))}</p><h1>{escape(answer(study))}</h1>'
        f'{_facts(study)}<p class="failed" id="failed" role="alert" hidden></p>'
        '<noscript><p class="failed">The charts need JavaScript; the tables below do not.</p></noscript></header>'
    )


def _facts(study: Study) -> str:
    """The session in a handful of numbers."""
    told = study.trades.told
    dollars = [value for trade in told if (value := fills.dollars(trade)) is not None]
    blind = sum(spell.end - spell.start for spell in study.blind)
    down = sum(span.end - span.start for span in study.down)
    signals = funnel.signals(study)
    first = f"first {clock_text(signals[0].evaluation.start)}" if signals else "none"
    return '<dl class="facts">{}</dl>'.format(
        "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
            for name, value, more in (
                ("Seconds evaluated", f"{len(study.seen):,}", f"of {study.seconds:,} of the session"),
                ("All conditions held", f"{len(signals):,} s", first),
                ("Entries", f"{len(told)}", _entries_text(study)),
                (
                    "Result, ask to bid",
                    dollars_text(sum(dollars)) if dollars else fills.MISSING,
                    "one contract each" if dollars else "no closed trade",
                ),
                ("Blind", span_text(blind), _times(len(study.blind))),
                ("Not running", span_text(down), _times(len(study.down))),
            )
        )
    )


def _entries_text(study: Study) -> str:
    withdrawn = len(study.trades.all) - len(study.trades.told)
    still_open = sum(trade.closed is None for trade in study.trades.told)
    parts = [f"{still_open} still open"] * bool(still_open) + [f"{withdrawn} withdrawn"] * bool(withdrawn)
    return ", ".join(parts) or "all closed" if study.trades.all else "none"


def _times(count: int) -> str:
    return "never" if not count else "once" if count == 1 else f"{count} times"


SESSION_TOOLS = (
    '<p class="note">Point at the chart, or touch it, to read a second; the arrow keys step. To look closer, '
    "drag with a mouse or use the buttons. All times are New York's.</p>"
    '<div class="tools" role="group" aria-label="What the chart shows">'
    '<button type="button" id="whole" aria-pressed="true">Whole day</button>'
    '<button type="button" id="closer">Closer</button><button type="button" id="wider">Wider</button>'
    '<button type="button" id="earlier" aria-label="Earlier">←</button><button type="button" id="later" aria-label="Later">→</button></div>'
)
"""How to read the session's charts, and the buttons above them."""


def _session_section(study: Study, missed: Sequence[funnel.Miss]) -> str:
    symbol = study.rules.symbol
    prices = [seen.evaluation.price for seen in study.seen]
    between = f"{symbol} between ${min(prices):,.2f} and ${max(prices):,.2f}. " if prices else ""
    label = (
        f"Charts of the session over New York time: price with both VWAPs, volume, conditions and gate. {between}"
        f"{len(study.trades.told)} entries, {len(missed)} near misses, {len(study.blind)} blind spans. "
        "The tables on this page hold what it shows."
    )
    cells = "".join(
        f'<div title="{escape(name)}"><span></span><span></span></div>'
        for name in (
            *(f"{condition_name(item, study.rules.benchmark)}, {item}" for item in Condition),
            "Gate",
        )
    )
    return (
        '<section id="session"><h2>The session, second by second</h2>'
        + SESSION_TOOLS
        + f'<div class="reading"><div class="line" id="reading-line"></div><div class="said" id="reading-note"></div><div class="cells" id="reading-cells">{cells}</div></div>'
        + key(
            ("rule", "price", symbol),
            ("rule", "short", "VWAP 1 min"),
            ("rule", "long", "VWAP 5 min"),
            ("", "volume", "Volume of a second"),
            ("", "surge", "above the 95th percentile"),
            ("rule", "p95", "95th percentile"),
            ("up", "", "Entry"),
            ("down", "", "Exit"),
            ("ring", "", "Near miss"),
            ("", "blind", "Blind"),
            ("", "down", "Not running"),
        )
        + f'<figure><div class="chart" id="session-chart"><div role="img" aria-label="{escape(label)}"></div></div>'
        "<figcaption>Seen from afar, a line shows the lowest and the highest of each column, a stick the highest, and "
        "a condition is the darker, the more of the column's seconds it held.</figcaption></figure>"
        + _gate_key(study)
        + "</section>"
    )


GATE_TEXTS = {
    "open": "Gate open",
    "time": "the hour (warm-up, past the last entry)",
    "feed": "the feed or the machine (blind, not covered, late, held)",
    "position": "a position (open, cooldown, day's maximum)",
    "contract": "no contract",
}


def _gate_key(study: Study) -> str:
    seen = {funnel.stopped_by(row) for row in study.seen}
    kinds = ["open"] * (None in seen) + [kind for kind, gates in GATE_KINDS.items() if seen & set(gates)]
    items = [("", f"gate-{kind}", GATE_TEXTS[kind]) for kind in kinds]
    return key(("", "holds", "Condition holds"), ("", "signal", "All conditions hold"), *items)


def _footer(study: Study) -> str:
    digests = list(dict.fromkeys(study.digests))
    starts = ", ".join(clock_text(start) for start in study.starts)
    text = (
        f"Derived again from {study.path.name} by version {VERSION}, rules {', '.join(digests)}; "
        f"the program was started at {starts}. One day proves nothing about the next."
    )
    return f'<footer class="note">{escape(text)}</footer>'
