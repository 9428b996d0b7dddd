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


@pytest.mark.parametrize("position", [None, ID])
def test_pushes_about_the_program_itself_say_why_until_when_and_what_to_do(position: str | None) -> None:
    now = time_of("10:05:00")
    cap = notices.push_cap(now, RULES, position=position)
    assert (cap.kind, cap.title) == (AlertKind.PUSH_CAP, "⚠️ IWM: too many pushes")
    assert cap.message.startswith(f"{RULES.push_cap_count} pushes within 10m00s, at 10:05:00 ET: ")
    assert "SELLs and other pushes still come." in cap.message and "(PUSH_CAP_COUNT)" in cap.message
    loop = notices.crash_loop(
        now, RULES, starts=3, span_s=600, held_until=time_of("10:15:00"), position=position
    )
    assert (loop.kind, loop.title) == (AlertKind.CRASH_LOOP, "⚠️ IWM: crash loop")
    assert loop.message.startswith("Started 3 times within 10m00s, last at 10:05:00 ET: ")
    assert "Now: no entries until it has run for 10m00s, until 10:15 ET." in loop.message
    assert ("Watch the position yourself meanwhile." in loop.message) is (position is not None)
    for alert in (cap, loop):
        assert alert.message.endswith(f"\n#{ID}") is (position is not None)


def test_that_no_entry_is_possible_is_told_with_its_reason_and_its_end() -> None:
    now = time_of("10:05:00")
    alert = notices.entries_blocked(now, RULES, since=time_of("10:03:30"), reason="no option chain yet")
    assert (alert.kind, alert.title) == (AlertKind.ENTRIES_BLOCKED, "⚠️ IWM: no entries possible")
    assert alert.message.startswith("No entry is possible since 10:03:30 ET: no option chain yet.\nNow: ")
    again = notices.entries_possible(now, RULES)
    assert (again.kind, again.title) == (AlertKind.ENTRIES_POSSIBLE, "✅ IWM: entries possible again")
    assert again.message.startswith("Entries are possible again at 10:05:00 ET.\n")
