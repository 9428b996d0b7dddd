"""What a frame shows: values and words out of the engine, and nothing judged again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from events import (
    AlertKind,
    AlertOutcome,
    Closed,
    Condition,
    FeedCause,
    FeedLost,
    FeedRestored,
    Hold,
    HoldReason,
    Opened,
    Outcome,
    Shutdown,
    Tick,
    Withdrawn,
)
from review.watch.frame import Flat, Mood, OpenPosition, frame_of
from rules import Rules
from tests.builders import at, bar, quote
from tests.made_day import Made
from tests.review.studies import EASY, bought
from tests.review.watch.frames import bars, begun, frame, go_on, kept, told, with_position
from wording import CONDITIONS


def fall(story: Made) -> int:
    """The held call falls and is sold, while bars go on. Returns the last second."""
    last = go_on(story, 6, 0.99, 1.01)
    assert any(isinstance(decision, Closed) for decision in story.decisions)
    return last


# --- Session and record ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (-100, "opens at 09:30 in 1m40s"),
        (60, "session 09:30–16:00, 6h29m left"),
        (23_399, "session 09:30–16:00, 1s left"),
    ],
)
def test_the_session(tmp_path: Path, second: int, text: str) -> None:
    assert frame(begun(tmp_path), second).session.text == text


def test_a_session_that_is_over(tmp_path: Path) -> None:
    """What is shown is of the record's last moment; when that was before the close, it says so."""
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    bars(story, 0, 80)
    cut = frame(story, 23_400)
    assert cut.session.text == "nothing recorded since 09:31:22"
    assert cut.gate.text == "Gate open"
    story.tell(at(84), Shutdown(close_position=True))
    assert frame(story, 23_399).session.text == "session 09:30–16:00, 1s left"
    cut = frame(story, 23_400)
    assert cut.session.text == "the program stopped at 09:31:24"
    assert cut.gate.text == "Gate open"
    story.start(at(100), EASY)
    story.tell(at(23_380), Tick())
    whole = frame(story, 23_400)
    assert (whole.session.text, whole.gate.text) == (
        "session over (09:30–16:00)",
        "Gate closed: session closed",
    )


def test_whether_somebody_writes_the_record(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(10), Tick())
    for second, text, mood in (
        (11, "recording", Mood.GOOD),
        (15, "recording", Mood.GOOD),
        (17, "recorded 7s ago", Mood.WARN),
        (41, "nothing recorded for 31s: is the program running?", Mood.BAD),
        (23_400, "record ends at 09:30:10", Mood.PLAIN),
    ):
        assert (frame(story, second).record.text, frame(story, second).record.mood) == (text, mood)
    shown = told(story, 50, Shutdown(close_position=True), 58)
    assert (shown.record.text, shown.record.mood) == ("the program was stopped at 09:30:50", Mood.BAD)


def test_what_is_derived_otherwise_comes_first(tmp_path: Path) -> None:
    recent = kept(begun(tmp_path))
    recent.differing = 2
    shown = frame_of(recent, at(100_000)).record
    assert shown.text.startswith("decides otherwise than recorded 2 times") and shown.mood is Mood.BAD


def test_after_the_close_the_last_moment_of_the_session_is_shown(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(23_390), Tick())
    assert frame(story, 30_000).at == at(23_390)
    story.tell(at(23_450), Tick())
    assert frame(story, 30_000).at == at(23_400)


def test_a_record_that_is_ahead_of_this_clock_is_shown_by_its_own_time(tmp_path: Path) -> None:
    assert told(begun(tmp_path), 100, Tick(), 90).at == at(100)


def test_while_nothing_is_recorded_feed_and_gate_are_not_known(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    bars(story, 0, 20)
    shown = frame(story, 52)
    assert shown.feed.text == "bars in time" and shown.record.text == "recorded 30s ago"
    shown = frame(story, 53)
    assert (shown.feed.text, shown.feed.mood) == ("not known since 09:30:22", Mood.WARN)
    assert shown.gate.text == "Gate not known while nothing is recorded"


# --- Feed --------------------------------------------------------------------------------------------


def test_the_feed_its_lag_and_the_age_of_each_symbol(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    assert frame(story, -290).feed.text == "outside the session"
    assert frame(story, 1).ages == (("IWM", None), ("SPY", None))
    bars(story, 0, 20)
    shown = frame(story, 25)
    assert (shown.feed.text, shown.feed.mood) == ("bars in time", Mood.GOOD)
    assert shown.lag == 2_000_000 and shown.ages == (("IWM", 5_000_000), ("SPY", 5_000_000))
    assert (shown.price, shown.price_age) == (215.0, 5_000_000)


def test_a_blind_feed_names_its_cause_and_closes_the_gate(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    bars(story, 0, 20)
    shown = told(story, 23, FeedLost(cause=FeedCause.DROPPED), 33)
    assert (shown.feed.text, shown.feed.mood) == ("blind for 10s: connection lost", Mood.BAD)
    assert shown.gate.text == "Gate closed: blind"
    assert shown.said[-1].text == "🔌 Stocks feed lost: connection lost" and shown.said[-1].is_warning


def test_a_missing_benchmark_is_said(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    for second in range(0, 90):
        story.tell(at(second + 3), bar(second))
    assert frame(story, 93).feed.text == "no SPY: no entries without it"


# --- Gate and conditions -----------------------------------------------------------------------------


def test_the_gate_is_that_of_the_last_evaluation(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    assert frame(story, -290).gate.text == "Gate closed: session closed"
    story.tell(at(0), Tick())
    assert frame(story, 1).gate.text == "Gate not known before the first bar"
    bars(story, 0, 20)
    assert frame(story, 23).gate.text == "Gate closed: warm-up until 09:31"
    bars(story, 20, 80)
    assert (frame(story, 83).gate.text, frame(story, 83).gate.mood) == ("Gate open", Mood.GOOD)
    shown = told(story, 84, Hold(reason=HoldReason.LOOP_LAG, on=True))
    assert shown.gate.text == "Gate closed: held (loop lag)"
    story.tell(at(85), Hold(reason=HoldReason.RECORD_OFF, on=True))
    assert frame(story, 85).gate.text == "Gate closed: held (record off, loop lag)"
    story.tell(at(23_399), Tick())
    assert frame(story, 23_400).gate.text == "Gate closed: session closed"


def test_the_cooldown_says_when_it_ends(tmp_path: Path) -> None:
    story = with_position(tmp_path)
    fall(story)
    assert re.fullmatch(r"Gate closed: cooldown until 09:3\d:\d\d", frame(story, 100).gate.text)


def test_each_condition_with_its_words_value_limit_and_last_minute(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(-299), FeedRestored())
    bars(story, 0, 30)
    bars(story, 32, 90, 215.5)
    shown = frame(story, 92)
    assert [row.condition for row in shown.conditions] == list(Condition)
    evaluation = shown.evaluated
    assert evaluation is not None and evaluation.start == at(89)
    rows = {row.condition: row for row in shown.conditions}
    above = rows[Condition.ABOVE_VWAP]
    words = CONDITIONS[Condition.ABOVE_VWAP]
    assert (above.short, above.value) == (words.short, words.value(evaluation, EASY))
    assert above.needed == words.needed(evaluation, EASY)
    assert above.is_met is False
    # At 92 s the newest second of the strip is 91, its oldest 32: 30 and 31 have no bar, 90 and 91 not yet.
    assert above.strip[0] is True and above.strip[-2:] == (None, None) and len(above.strip) == 60
    assert None not in above.strip[:-2]
    assert rows[Condition.SPY_LAG].name == "SPY lag"
    assert rows[Condition.VWAP_RISING].needed == "≥ 3 s, and risen"


def test_a_condition_that_the_rules_leave_out_is_neither_met_nor_failed(tmp_path: Path) -> None:
    story = begun(tmp_path, Rules(relative_volume_min=0))
    story.tell(at(-299), FeedRestored())
    assert all(row.is_met is None and not row.value for row in frame(story, 1).conditions)
    bars(story, 0, 5)
    row = frame(story, 8).conditions[5]
    assert row.condition is Condition.RELATIVE_VOLUME
    assert row.is_met is None and row.needed == "left out" and set(row.strip) == {None}


# --- Plot --------------------------------------------------------------------------------------------


def test_the_points_are_the_last_twenty_minutes_also_those_that_were_filled_in(tmp_path: Path) -> None:
    story = begun(tmp_path)
    story.tell(at(1_500), FeedRestored())
    for second in range(0, 1_500):
        story.tell(at(1_500), bar(second, 214.0, backfilled=True))
    bars(story, 1_500, 1_510)
    points = frame(story, 1_513).points
    assert points[0].start == at(313) and points[-1].start == at(1_509)
    assert {point.price for point in points} == {214.0, 215.0}
    assert points[0].vwap_5m == pytest.approx(214.0)
    assert frame_of(kept(story), at(1_513), is_plotted=False).points == ()


# --- Position ----------------------------------------------------------------------------------------


def test_an_open_position_with_mark_bid_peak_and_levels(tmp_path: Path) -> None:
    story = with_position(tmp_path)
    opened = next(decision for decision in story.decisions if isinstance(decision, Opened))
    for second in range(200, 206):
        story.tell(at(second), quote(second, 1.59, 1.61))
    shown = told(story, 206, quote(206, 1.54, 1.58, size=7), 208).position
    assert isinstance(shown, OpenPosition)
    assert (shown.id, shown.contract, shown.entry) == (opened.id, opened.contract, opened.entry)
    assert (shown.mark, shown.bid, shown.bid_size, shown.peak) == (15_600, 15_400, 7, 16_000)
    assert shown.mark_percent == pytest.approx((15_600 / opened.entry - 1) * 100)
    assert shown.bid_percent == pytest.approx((15_400 / opened.entry - 1) * 100)
    assert (shown.stop, shown.hard_level, shown.vwap_level) == (opened.stop, 11_200, 12_800)
    assert shown.mark_age == 2_000_000 and shown.time_stop == opened.time_stop


def test_a_lost_mark_has_no_result(tmp_path: Path) -> None:
    story = with_position(tmp_path)
    shown = told(story, 300, Tick()).position
    assert isinstance(shown, OpenPosition)
    assert shown.mark is None and shown.mark_percent is None and shown.bid_percent is None
    assert shown.mark_age > 20_000_000


def test_without_a_position_the_days_entries_and_the_last_result(tmp_path: Path) -> None:
    story = begun(tmp_path)
    flat = frame(story, 1).position
    assert flat == Flat(entries=0, entries_max=EASY.max_entries_per_day, last=None, last_percent=None)
    bought(story)
    fall(story)
    flat = frame(story, 200).position
    assert isinstance(flat, Flat) and flat.entries == 1 and flat.last is not None
    assert flat.last_percent == pytest.approx((flat.last.mark / flat.last.entry - 1) * 100)  # type: ignore[operator]


def test_a_withdrawn_entry_never_was(tmp_path: Path) -> None:
    story = with_position(tmp_path)
    opened = next(decision for decision in story.decisions if isinstance(decision, Opened))
    fall(story)
    outcome = AlertOutcome(kind=AlertKind.BUY, id=opened.id, outcome=Outcome.REFUSED, attempts=1)
    story.tell(at(201), outcome)
    assert any(isinstance(decision, Withdrawn) for decision in story.decisions)
    shown = frame(story, 202)
    assert isinstance(shown.position, Flat) and shown.position.last is None
    assert "Entry withdrawn" in shown.said[-2].text and "Alert BUY" in shown.said[-1].text


# --- What happened -----------------------------------------------------------------------------------


def test_what_happened_in_the_words_of_the_log_without_what_comes_every_minute(tmp_path: Path) -> None:
    story = with_position(tmp_path)
    for second in range(195, 400):
        story.tell(at(second), Tick())
    texts = [item.text for item in frame(story, 400).said]
    assert texts[0].startswith("▶ The program started: version ")
    assert any(text.startswith("🚀 MOMENTUM SIGNAL: IWM $") for text in texts)
    assert any(text.startswith("🔥 ENTRY: O:IWM251002C00215000 @ $") for text in texts)
    assert any("📨 Alert BUY" in text for text in texts) and any("❓ MARK LOST" in text for text in texts)
    assert not any("Data feed" in text or "Signal conditions" in text for text in texts)
