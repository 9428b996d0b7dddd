"""The page's answers to what was asked of a day: one second of it (``--at``), and another rule (``--what-if``)."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from review import moment
from review.page.parts import condition_cell, note, section, table
from review.study import Study
from review.what_if import Comparison
from utils import clock_text


class Asked(NamedTuple):
    """What was asked of a day besides the day itself: a second (``at``, µs) as it is shown, and another rule."""

    at: int | None = None
    shown: moment.Shown | None = None
    compared: Comparison | None = None


def asked_sections(study: Study, asked: Asked) -> str:
    """The answers to what was asked; nothing where nothing was."""
    found = ""
    if asked.at is not None and asked.shown is not None:
        found += _second_section(study, asked.at, asked.shown)
    return found + ("" if asked.compared is None else _compared_section(asked.compared))


def _second_section(study: Study, at: int, shown: moment.Shown) -> str:
    benchmark = study.rules.benchmark
    rows = [
        (
            f"{moment.MARKS[passed]} {condition_cell(condition, benchmark)}",
            escape(value),
            escape(moment.takes_text(needed, passed)),
        )
        for condition, value, needed, passed in shown.table
    ]
    return section(
        "at",
        f"At {clock_text(at)} ET",
        *_paragraphs([shown.told, *shown.seen]),
        table("Its conditions", ("Condition", "Value", "Needed"), rows) if rows else "",
        *_paragraphs([shown.state]),
        *_paragraphs(shown.ahead),
    )


def _paragraphs(lines: list[str]) -> list[str]:
    return [f"<p>{escape(line.strip())}</p>" for line in lines if line.strip()]


def _compared_section(found: Comparison) -> str:
    sums = [
        f"<p><b>{escape(name)}:</b> {escape(counts)}{'; ' if by_hand else ''}{escape(by_hand)}</p>"
        for name, counts, by_hand in found.sums
    ]
    rows = [(escape(when), escape(was), escape(would)) for when, was, would in found.rows]
    caption = "Each entry at its pushes' own ask and bid, before fees"
    return section(
        "what-if",
        found.question,
        *sums,
        table(caption, ("BUY", "As it was", "With it"), rows, is_wide=True) if rows else "",
        *([f"<p>{escape(found.answer)}</p>"] if found.answer else []),
        *map(note, found.caveats),
    )
