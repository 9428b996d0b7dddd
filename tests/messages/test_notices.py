"""The pushes that tell a fact of the program: what they must say."""

from __future__ import annotations

import pytest

from events import AlertKind
from messages import notices
from tests.delivery.stories import DECIDED, ID, RULES, SESSION, system_pushes, time_of


@pytest.mark.parametrize("position", [None, ID])
def test_system_pushes_say_what_they_must(position: str | None) -> None:
    for alert in system_pushes(position):
        assert "\n" not in alert.title
        assert " ET" in alert.message, "since when"
        assert "\nNow: " in alert.message, "what the program does now"
        assert "\nYou: " in alert.message, "what the owner can do"
        assert alert.priority == (1 if position else 0)
        assert alert.message.endswith(f"\n#{ID}") is (position is not None)


def test_watching_again_and_unwatched_texts() -> None:
    *_, again, unwatched = system_pushes(ID)
    assert again.message.splitlines()[0] == "Watching again #7f3a91: gap 2m10s, peak in the gap unknown"
    assert again.kind is AlertKind.WATCHING_AGAIN
    lines = unwatched.message.splitlines()
    assert lines[0] == "Unwatched from now #7f3a91"
    assert "You: close it yourself by 15:55 ET, or at $1.23 (its stop)." in lines
    assert unwatched.give_up_at == time_of("16:15:00")


def test_armed_and_evening_are_quiet() -> None:
    armed = notices.armed(
        time_of("09:30:02"),
        RULES,
        version="1.0.0",
        session=SESSION,
        well=["bars arrive", "14 calls"],
        lacking=[],
    )
    assert armed.title == "✅ IWM: armed"
    assert armed.message == (
        "Watching IWM at 09:30:02 ET, session 2025-10-02 09:30–16:00 ET.\n"
        "OK: bars arrive; 14 calls.\n"
        f"Version 1.0.0, rules {RULES.digest()}.\n"
        "You: nothing to do. If this push is missing on a trading day, the program is not running."
    )
    late = notices.armed(
        time_of("15:30:00"), RULES, version="1.0.0", session=SESSION, well=["bars arrive"], lacking=[]
    )
    assert "\nNo more BUYs in this session: it is past 15:30 ET.\n" in late.message
    lame = notices.armed(
        time_of("09:31:02"), RULES, version="1.0.0", session=SESSION, well=[], lacking=["no option chain yet"]
    )
    assert lame.title == "⚠️ IWM: armed, not all well"
    assert lame.message == (
        "Watching IWM at 09:31:02 ET, session 2025-10-02 09:30–16:00 ET.\n"
        "Not OK: no option chain yet. No entries until it is.\n"
        f"Version 1.0.0, rules {RULES.digest()}.\n"
        "You: run python diagnose.py; it says what to do."
    )
    evening = notices.evening(DECIDED, RULES, date="2025-10-02", summary=["2 entries", "P&L +3.1%"])
    assert (evening.title, evening.message) == ("🌙 IWM: 2025-10-02", "2 entries\nP&L +3.1%")
    assert (armed.priority, lame.priority, evening.priority) == (-1, -1, -1)


def test_evening_that_is_too_long_says_what_it_leaves_out() -> None:
    summary = [f"{number:03d} " + "x" * 60 for number in range(40)]
    message = notices.evening(DECIDED, RULES, date="2025-10-02", summary=summary).message
    *kept, last = message.splitlines()
    assert kept == summary[: len(kept)]
    assert last == f"({40 - len(kept)} more lines: see the log)"
    assert 900 < len(message) <= 1024


def test_a_picture_is_quiet_and_names_what_it_is_of() -> None:
    made = notices.picture(DECIDED, RULES, cause=ID, title=f"trade #{ID}", lines=["Held 3m12s."], position=ID)
    assert (made.kind, made.id, made.priority) == (AlertKind.PICTURE, ID, -1)
    assert (made.title, made.message) == (f"🖼️ IWM: trade #{ID}", f"Held 3m12s.\n#{ID}")
    assert notices.picture(DECIDED, RULES, cause="2025-10-02", title="t", lines=["a"]).message == "a"


@pytest.mark.parametrize("opens_in_s", [3600, 0])
def test_a_clock_that_is_doubted_may_miss_the_next_open(opens_in_s: int) -> None:
    now = SESSION.open - opens_in_s * 1_000_000
    message = notices.clock_doubt(
        now, RULES, since=now, detail="this clock is 9 s ahead", session=SESSION
    ).message
    assert ("the next session opens" in message) is bool(opens_in_s)
