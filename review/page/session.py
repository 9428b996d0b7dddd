"""The page's header, and the section with the session's charts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from events import SECOND
from followed import Results, dollars_text
from review import fills, funnel
from review.answer import ended_text
from review.page.data import GATE_KINDS
from review.page.parts import key, legend, note, section
from review.page.reading import second_words
from review.study import Study
from utils import clock_text, minute_text, new_york, plural_s, span_text


def header(study: Study, said: str) -> str:
    """Whose day it is, what is to be ``said`` of it in a sentence, and the day in a handful of numbers."""
    session = study.session
    day = new_york(session.open).strftime("%A %-d %B %Y")
    hours = f"{minute_text(session.open)}–{minute_text(session.close)} New York"
    notes = [f"{study.rules.symbol}, {day}, {hours}{', an early close' if session.early else ''}."]
    if ended := ended_text(study) or (not study.is_over and f"In progress, until {clock_text(study.end)}."):
        notes.append(ended)
    if study.torn:
        notes.append(f"Its last line is torn ({study.torn} bytes).")
    notes += [f"{text[0].upper()}{text[1:]}." for text in study.odd]
    simulated = '<p class="simulated">Simulated market</p>' if study.is_simulated else ""
    return (
        f'<header>{simulated}<p class="quiet">{escape(" ".join(notes))}</p><h1>{escape(said)}</h1>'
        f'{_facts(study)}<p class="failed" id="failed" role="alert" hidden></p>'
        '<noscript><p class="failed">The charts need JavaScript; the tables below do not.</p></noscript></header>'
    )


def _facts(study: Study) -> str:
    """The session in a handful of numbers, what a hand could have got first."""
    delayed, at_once = study.trades.followed(), study.trades.followed(0)
    blind = sum(spell.end - spell.start for spell in study.blind)
    down = sum(span.end - span.start for span in study.down)
    held = study.held_us
    signals = funnel.signals(study)
    first = f"first {clock_text(signals[0].evaluation.start)}" if signals else "none"
    return '<dl class="facts">{}</dl>'.format(
        "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
            for name, value, more in (
                (f"By hand, {delayed.delay_s} s late", *_sum_texts(delayed)),
                ("By hand, 0 s", *_sum_texts(at_once)),
                ("Entries", f"{len(study.trades.told)}", _entries_text(study)),
                ("All conditions met", f"{len(signals):,} s", first),
                (
                    "Seconds evaluated",
                    f"{len(study.seen):,}",
                    f"of {study.seconds:,}{'' if study.is_over else ' so far'}",
                ),
                ("Blind", span_text(blind), _times(len(study.blind))),
                ("Entries held", span_text(held), _times(len(study.held))),
                ("Not running", span_text(down), _times(len(study.down))),
            )
        )
    )


def _sum_texts(results: Results) -> tuple[str, str]:
    count = len(results.taken)
    if not count:
        return fills.MISSING, "no trade"
    return dollars_text(
        results.dollars, 0
    ), f"{count} trade{plural_s(count)}, {results.up} up, {results.down} down"


def _entries_text(study: Study) -> str:
    withdrawn = len(study.trades.all) - len(study.trades.told)
    still_open = sum(trade.closed is None for trade in study.trades.told)
    parts = [f"{still_open} still open"] * bool(still_open) + [f"{withdrawn} withdrawn"] * bool(withdrawn)
    return ", ".join(parts) or "all closed" if study.trades.all else "none"


def _times(count: int) -> str:
    return "never" if not count else "once" if count == 1 else f"{count} times"


SESSION_TOOLS = (
    '<div class="tools" role="group" aria-label="What the chart shows">'
    '<button type="button" id="whole">Whole day</button>'
    '<button type="button" id="closer">Closer</button><button type="button" id="wider">Wider</button>'
    '<button type="button" id="earlier" aria-label="Earlier">←</button><button type="button" id="later" aria-label="Later">→</button></div>'
)


def session_section(study: Study, missed: Sequence[funnel.Miss]) -> str:
    """The session's charts above each other, what they show of a second, and how to move them."""
    symbol = study.rules.symbol
    prices = [seen.evaluation.price for seen in study.seen]
    between = f"{symbol} between ${min(prices):,.2f} and ${max(prices):,.2f}. " if prices else ""
    label = (
        f"Charts of the session over New York time: price with its averages, volume, conditions and gate. {between}"
        f"{len(study.trades.told)} entries, {len(missed)} near misses, {len(study.blind)} blind spans. "
        "The tables on this page hold what it shows."
    )
    charts = "".join(f'<div class="chart" id="{name}-chart"></div>' for name in ("price", "volume", "strip"))
    return section(
        "session",
        "The session, second by second",
        note(
            "Turn the wheel or pinch to look closer, drag to move, double-click for the whole day. Point at a second to "
            "read it; the arrow keys step. Close up, prices are candles. All times are New York's."
        ),
        SESSION_TOOLS,
        f'<template id="second-words">{second_words(study.rules)}</template>'
        '<div class="reading"><div id="reading"></div><div class="said" id="reading-note"></div></div>',
        _legend(study),
        f'<figure id="session-chart" role="slider" tabindex="0" aria-label="{escape(label)}" aria-valuemin="0" aria-valuemax="{(study.session.close - study.session.open) // SECOND}">{charts}</figure>',
        note(
            "Zoomed out, each column of the chart stands for several seconds: the lines span the lowest to the highest "
            "value, a volume stick shows the highest, and a condition is darker the more of those seconds met it."
        ),
        _gate_key(study),
    )


def _legend(study: Study) -> str:
    """What can be hidden; of the bands those that the day has."""
    bands = (
        (study.blind, ("band left", "blind", "Blind")),
        (study.held, ("band right", "held", "Entries held")),
        (study.down, ("band dots", "down", "Not running")),
    )
    return legend(
        ("rule", "price", study.rules.symbol),
        ("rule", "short", "VWAP 1 min"),
        ("rule", "long", "VWAP 5 min"),
        ("rule dash", "day", "VWAP of the session"),
        ("stick", "volume", "Volume"),
        ("stick", "surge", "above its percentile"),
        ("rule", "p95", f"{study.rules.volume_percentile:g}th percentile"),
        ("up", "entry", "Entry"),
        ("down", "exit", "Exit"),
        ("ring", "miss", "Near miss"),
        *(item for spans, item in bands if spans),
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
    return key(("", "holds", "Condition met"), ("", "signal", "All conditions met"), *items)
