"""A frame as lines of text: everything fits into 80 × 24, and more room is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from review.watch import lines
from review.watch.frame import Flat, Frame, Mood, OpenPosition
from review.watch.plot import plot
from review.watch.recent import Said
from signals import Traded
from tests.builders import at
from tests.review.watch.frames import begun, frame, go_on, with_position


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """The frame of a session with an open position."""
    story = with_position(tmp_path_factory.mktemp("data"))
    return frame(story, go_on(story, 6, 1.59, 1.61))


def text(shown: Frame, width: int = 80, height: int = 24) -> list[str]:
    """The lines of a frame without what they stand for."""
    return [lines.text_of(line) for line in lines.whole(shown, width, height)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 24), (112, 40), (200, 60), (40, 24)])
def test_every_line_is_as_wide_as_the_terminal_and_there_are_as_many_as_it_has(
    shown: Frame, width: int, height: int
) -> None:
    made = lines.whole(shown, width, height)
    assert len(made) == height - lines.KEYS
    assert {sum(lines.cells(part) for part, _ in line) for line in made} == {width}


def test_80_by_24_holds_all_that_there_is_to_see(shown: Frame) -> None:
    found = "\n".join(text(shown))
    held = shown.position
    assert isinstance(held, OpenPosition)
    for part in (
        "IWM $215.",
        "2025-10-02 09:31:10 ET",
        "session 09:30–16:00, 6h28m left",
        "lag 2.0 s",
        "recording",
        "price $215.",
        "VWAP 1 min $215.",
        "VWAP 5 min $215.",
        "09:30",
        "Gate closed: position open  ",
        "of 7 conditions met at 09:31:07",
        "last 60 s → now",
        f"O:IWM251002C00215000 #{held.id}  entry $1.",
        "P&L +12.8% at bid $1.59×20, +13.5% at mark $1.60 (0s ago)  peak $1.60",
        "Sells at: stop $",
        ", giveback $1.12, below VWAP $1.28, 15:55 ET",
        "📨 Alert BUY",
    ):
        assert part in found, part
    for row in shown.conditions:
        assert f"{row.short:<9}{row.value}" in found and row.needed in found, row.condition
    assert "…" not in "\n".join(text(shown)[:20])


def test_a_session_without_anything_is_shown_as_that(tmp_path: Path) -> None:
    found = "\n".join(text(frame(begun(tmp_path), 1)))
    for part in ("IWM n/a", "no second with a bar in the last 20 minutes", "no second evaluated yet"):
        assert part in found, part
    assert "entries today: 0" in found and "✓" not in found


def test_the_strip_has_two_seconds_in_a_cell_and_one_where_there_is_room() -> None:
    passes = (True, True, True, False, False, True, False, False, None, True, True, None, None, None)
    assert lines._strip(passes, 2) == "▄▖▗·▗▖ "
    assert lines._strip(passes, 1) == "▄▄▄··▄·· ▄▄   "


def test_a_wide_terminal_shows_every_second(shown: Frame) -> None:
    row = next(line for line in text(shown, lines.WIDE) if line.startswith("✓ RelVol"))
    assert len(row) <= lines.WIDE and len(row) - row.index("▄") > 30


def test_what_happened_is_wrapped_and_the_newest_comes_first_to_be_kept(shown: Frame) -> None:
    long = Said(at(1), "🚪 EXIT: " + "word " * 40, False)
    short = Said(at(2), "⏸️ held", True)
    made = [lines.text_of(line) for line in lines.said(replace(shown, said=(short, long, short)), 80, 3)]
    assert made[0].startswith("09:30:01 🚪 EXIT: word") and made[1].startswith("         word")
    assert made[2] == "09:30:02 ⏸ held"
    three = [lines.text_of(line) for line in lines.said(replace(shown, said=(short, long)), 80, 4)]
    assert three[0] == "09:30:02 ⏸ held" and [line[:8].strip() for line in three] == [
        "09:30:02",
        "09:30:01",
        "",
        "",
    ]
    none = [lines.text_of(line) for line in lines.said(replace(shown, said=()), 80, 3)]
    assert none == ["Nothing has happened yet", "", ""]


def test_a_vendors_text_cannot_steer_the_terminal(shown: Frame) -> None:
    said = (Said(at(1), "refused: \x1b[2Jnot\u202e valid", True),)
    made = lines.text_of(lines.said(replace(shown, said=said), 80, 3)[0])
    assert "\\x1b[2Jnot\\u202e valid" in made and "\x1b" not in made
    assert "\\x1b" in text(replace(shown, fault="record\x1b: damaged"))[1]


def test_a_fault_takes_the_place_of_the_feed(shown: Frame) -> None:
    assert text(replace(shown, fault="data/x.jsonl, line 7: torn"))[1] == "data/x.jsonl, line 7: torn"


def test_a_lost_mark_and_a_flat_day(shown: Frame) -> None:
    held = shown.position
    assert isinstance(held, OpenPosition)
    lost = replace(held, mark=None, mark_percent=None, bid_percent=None, mark_age=25_000_000)
    assert "P&L n/a: no usable mark for 25s  peak $1.60" in text(replace(shown, position=lost))[18]
    flat = Flat(entries=3, entries_max=5, last=None, last_percent=None)
    assert text(replace(shown, position=flat))[17] == "No open position  entries today: 3 of at most 5"


@pytest.mark.parametrize(
    ("word", "width"), [("abc", 3), ("⏸️", 1), ("🚪", 2), ("VWAP↑", 5), ("é", 1), ("e\u0301", 1), ("", 0)]
)
def test_the_cells_of_a_text(word: str, width: int) -> None:
    assert lines.cells(word) == width


@pytest.mark.parametrize(
    ("width", "shown"), [(9, "🚪 abcdef"), (8, "🚪 abcd…"), (3, "🚪…"), (2, "…"), (1, "…")]
)
def test_a_text_that_is_too_long_is_cut(width: int, shown: str) -> None:
    assert lines.cut("🚪 abcdef", width) == shown


# --- Plot --------------------------------------------------------------------------------------------


def drawn(points: list[Traded], width: int = 40, height: int = 5) -> list[str]:
    """The plot's lines."""
    return ["".join(part for part, _ in line) for line in plot(points, at(1_200), width, height)]


def test_a_plot_rises_where_the_price_rises() -> None:
    points = [Traded(at(second), 200.0 + second / 1_200, None, None) for second in range(1_200)]
    made = drawn(points)
    assert made[0].endswith(" $201.00") and made[3].endswith(" $200.00")
    assert made[0].index("⠋" if "⠋" in made[0] else made[0].strip()[0]) > made[3].index(made[3].strip()[0])
    assert made[4].split() == ["09:35", "09:40", "09:45"]
    assert {len(line) for line in made} == {40}


def test_a_gap_is_not_bridged() -> None:
    points = [Traded(at(second), 200.0, None, None) for second in (*range(200), *range(1_000, 1_200))]
    row = next(line for line in drawn(points) if line[:30].strip())
    assert row[:5].strip() and not row[8:25].strip() and row[28:31].strip()


def test_lines_differ_without_colours() -> None:
    points = [Traded(at(second), 202.0, 201.0, 200.0) for second in range(1_200)]
    price, short, long, *_ = (line[:30] for line in drawn(points) if line[:30].strip())
    assert len({price.strip()[:4], short.strip()[:4], long.strip()[:4]}) == 3


def test_a_flat_price_is_drawn_flat_and_without_points_there_is_a_word() -> None:
    points = [Traded(at(second), 200.0, 200.0, 200.0) for second in range(1_200)]
    assert sum(bool(line[:30].strip()) for line in drawn(points)[:4]) == 1
    assert "no second with a bar" in " ".join(drawn([], 60))


def test_parts_are_named_by_what_they_stand_for() -> None:
    points = [Traded(at(second), 202.0, 201.0, 200.0) for second in range(1_200)]
    moods = {mood for line in plot(points, at(1_200), 40, 5) for part, mood in line if part.strip()}
    assert moods == {Mood.PRICE, Mood.SHORT, Mood.LONG, Mood.QUIET}
