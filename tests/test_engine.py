"""Stories through `Engine.handle`: the gates, blindness, the position's life, and what a restart restores."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest

from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    ChainRow,
    Closed,
    Covered,
    Decision,
    Declined,
    DeclineReason,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    QuoteSource,
    Shutdown,
    Tick,
    Withdrawn,
)
from rules import Rules
from tests.builders import CALL, EARLY_SESSION, SESSION, Story, at, bar, chain, dollars, quote, row

# All windows short, so that a story fits on a screen; what they mean is tested with the defaults elsewhere.
QUICK: dict[str, Any] = {
    "vwap_long_seconds": 30,
    "vwap_long_shift_seconds": 5,
    "vwap_short_seconds": 10,
    "vwap_rising_seconds": 5,
    "volume_window_seconds": 60,
    "volume_min_bars": 20,
    "momentum_seconds": 10,
    "momentum_min_bars": 5,
    "relative_volume_seconds": 10,
    "relative_volume_min": 0,
    "roc_seconds": 20,
    "roc_tolerance_seconds": 5,
    "warmup_seconds": 0,
}
QUIET_END = 100


def quick(**changes: Any) -> Rules:
    return Rules(**{**QUICK, **changes})


def calm(story: Story, end: int = QUIET_END) -> Story:
    """A connected feed and a calm market up to ``end``."""
    story.connect().bars(0, end)
    return story


def surge(
    story: Story,
    start: int = QUIET_END,
    seconds: int = 8,
    price: float = 215.0,
    *,
    rows: tuple[ChainRow, ...] = (row(),),
    stops_at_entry: bool = False,
) -> list[Decision]:
    """The market rises on growing volume; chain and quote are fresh at every second."""
    made: list[Decision] = []
    for offset in range(seconds):
        second = start + offset
        price += 0.02
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        story.tell(second + 3, chain(second + 3, *rows))
        made += story.tell(second + 3, bar(second, round(price, 2), 1000.0 + 200 * offset))
        if stops_at_entry and any(isinstance(decision, Opened) for decision in made):
            break
    return made


def opened(rules: Rules | None = None) -> tuple[Story, Opened, int]:
    """A story with an open position: the story, the decision, and the second it was made at."""
    story = calm(Story(rules or quick()))
    surge(story, stops_at_entry=True)
    (second, decision) = next((s, d) for s, d in story.decisions if isinstance(d, Opened))
    return story, decision, round(second)


def sold(rules: Rules) -> tuple[Story, int]:
    """A story whose position was stopped out: the story, and the second of the close."""
    story, _, second = opened(rules)
    story.tell(second + 1, quote(second + 1, 0.50, 0.52))
    (closed,) = story.tell(second + 3, Tick())
    assert isinstance(closed, Closed)
    return story, second + 3


def reasons(made: list[Decision]) -> set[DeclineReason]:
    return {decision.reason for decision in made if isinstance(decision, Declined)}


def exits(made: list[Decision]) -> list[ExitReason]:
    return [decision.reason for decision in made if isinstance(decision, Closed)]


# --- Entry and its gates ---


def test_a_surge_opens_one_position_and_declines_while_it_is_open() -> None:
    story = calm(Story(quick()))
    made = surge(story)
    assert [type(d) for d in made if isinstance(d, Opened)] == [Opened]
    assert reasons(made) == {DeclineReason.POSITION_OPEN}
    assert story.evaluation.holds


def test_what_an_opening_fixes() -> None:
    story, decision, second = opened()
    name = f"{SESSION.date}|{CALL}|{at(second)}"
    assert decision.id == hashlib.sha256(name.encode()).hexdigest()[:6]
    assert (decision.entry, decision.mid, decision.stop) == (dollars(1.41), dollars(1.40), 11985)
    assert (decision.pay_limit, decision.pay_until) == (dollars(1.48), at(second + 30))
    assert decision.time_stop == SESSION.close - 300 * SECOND
    assert decision.entry_number == 1
    assert story.engine.position is not None
    assert story.engine.position.peak == decision.mid


@pytest.mark.parametrize(
    ("rules", "facts", "reason"),
    [
        ({}, [Hold(reason=HoldReason.RECORD_OFF, on=True)], DeclineReason.HELD),
        ({"warmup_seconds": 200}, [], DeclineReason.WARM_UP),
        ({"entry_bar_seconds": 1.5}, [], DeclineReason.LATE_BAR),
        ({"no_entry_after": "09:31"}, [], DeclineReason.PAST_CUTOFF),
        ({}, [Shutdown(close_position=True)], DeclineReason.SESSION_CLOSED),
    ],
)
def test_a_closed_gate_declines_and_is_in_the_evaluation(
    rules: dict[str, Any], facts: list[Any], reason: DeclineReason
) -> None:
    story = calm(Story(quick(**rules)))
    for fact in facts:
        story.tell(QUIET_END + 2, fact)
    made = surge(story)
    assert reasons(made) == {reason}
    assert story.evaluation.gate is reason
    assert not any(isinstance(decision, Opened) for decision in made)


def test_the_hold_is_named_and_lifted() -> None:
    story = calm(Story(quick()))
    for reason in reversed(HoldReason):
        if reason is not HoldReason.RECORD_OFF:
            story.tell(QUIET_END + 2, Hold(reason=reason, on=True))
    made = surge(story, seconds=5)
    assert {d.hold for d in made if isinstance(d, Declined)} == {HoldReason.CLOCK_DOUBT}
    for reason in HoldReason:
        story.tell(QUIET_END + 8, Hold(reason=reason, on=False))
    assert any(isinstance(d, Opened) for d in surge(story, start=QUIET_END + 6, price=215.2))


def test_without_a_chain_the_chain_is_too_old() -> None:
    story = calm(Story(quick()))
    made = []
    for offset in range(8):
        second = QUIET_END + offset
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        made += story.tell(second + 3, bar(second, 215.0 + 0.02 * (offset + 1), 1000.0 + 200 * offset))
    assert reasons(made) == {DeclineReason.CHAIN_TOO_OLD}


@pytest.mark.parametrize(("warmup", "gate"), [(103, None), (104, DeclineReason.WARM_UP)])
def test_the_warm_up_is_over_at_exactly_its_end(warmup: int, gate: DeclineReason | None) -> None:
    story = Story(quick(warmup_seconds=warmup))
    story.connect().bars(0, 101)
    assert story.evaluation.gate is gate


@pytest.mark.parametrize(("delay", "gate"), [(6.0, None), (6.000001, DeclineReason.LATE_BAR)])
def test_a_bar_is_late_past_five_seconds_after_its_end(delay: float, gate: DeclineReason | None) -> None:
    story = calm(Story(quick()))
    story.tell(QUIET_END + 3, bar(QUIET_END, 660.0, symbol="SPY"))
    story.tell(QUIET_END + delay, bar(QUIET_END))
    assert story.evaluation.gate is gate


@pytest.mark.parametrize(
    ("now", "gate"),
    [(21_600 - 1e-6, None), (21_600, DeclineReason.PAST_CUTOFF)],
    ids=["15:29:59", "15:30:00"],
)
def test_no_entry_at_half_past_three(now: float, gate: DeclineReason | None) -> None:
    story = Story(quick())
    story.connect().bars(21_400, 21_596)
    story.tell(now, bar(21_597))
    assert story.evaluation.gate is gate


def test_an_early_close_moves_the_cutoff_and_the_time_stop() -> None:
    story = Story(quick(), EARLY_SESSION)
    engine = story.engine
    assert engine.time_stop == EARLY_SESSION.close - 300 * SECOND
    start = EARLY_SESSION.close - 1803 * SECOND  # 12:29:57
    engine.handle(start, FeedRestored())
    for symbol in engine.rules.symbols:
        engine.handle(start, Covered(symbol=symbol, start=EARLY_SESSION.open, end=start))
    last = bar(0)

    def moved(offset: int) -> Bar:
        values = {name: getattr(last, name) for name in last.__struct_fields__}
        return Bar(**{**values, "start": start + offset * SECOND})

    engine.handle(start + 3 * SECOND - 1, moved(0))
    assert engine.evaluation is not None
    before = engine.evaluation.gate
    engine.handle(start + 3 * SECOND, moved(1))
    assert (before, engine.evaluation.gate) == (None, DeclineReason.PAST_CUTOFF)


def test_the_cooldown_ends_at_exactly_three_hundred_seconds() -> None:
    story, second = sold(quick())
    end = second + 300
    story.bars(second - 2, end - 4)
    assert story.evaluation.gate is DeclineReason.COOLDOWN
    story.tell(end - 1e-6, bar(end - 4))
    assert story.evaluation.gate is DeclineReason.COOLDOWN
    story.tell(end, bar(end - 3))
    assert story.evaluation.gate is None


def test_the_cap_of_entries_is_a_gate() -> None:
    story, second = sold(quick(max_entries_per_day=1, entry_cooldown_seconds=0))
    story.bars(second - 2, second + 10)
    assert story.evaluation.gate is DeclineReason.MAX_ENTRIES


def test_repeats_late_and_backfilled_bars_never_evaluate() -> None:
    story = calm(Story(quick()))
    before = story.evaluation
    story.tell(QUIET_END + 2, bar(QUIET_END - 1, 215.5, 9000.0))  # a correction of the newest
    story.tell(QUIET_END + 2, bar(QUIET_END - 50, 215.5, 9000.0))  # and of an older one
    story.tell(QUIET_END + 2, bar(QUIET_END, 215.5, 9000.0, backfilled=True))
    story.tell(QUIET_END + 2, bar(QUIET_END, 215.5, 9000.0))  # the live print of a backfilled second
    assert story.evaluation is before
    story.tell(QUIET_END + 5, bar(QUIET_END + 2))
    assert story.evaluation is not before
    late = story.evaluation
    story.tell(QUIET_END + 6, bar(QUIET_END + 1))  # a first print out of order
    assert story.evaluation is late


def test_time_does_not_go_back() -> None:
    story = Story()
    story.tell(10, Tick())
    with pytest.raises(ValueError, match="went back"):
        story.tell(9, Tick())


# --- Blindness ---


def alarms(story: Story) -> list[tuple[float, FeedAlarmed | FeedRecovered]]:
    return [(s, d) for s, d in story.decisions if isinstance(d, FeedAlarmed | FeedRecovered)]


def test_five_seconds_of_silence_are_blind_and_a_bar_ends_it_without_a_push() -> None:
    story = calm(Story(quick()))
    last = QUIET_END + 2  # arrival of the last bar
    story.tell(last + 5 - 1e-6, Tick())
    assert not story.engine.feed.is_blind
    story.tell(last + 5, Tick())
    assert story.engine.feed.is_blind
    story.tell(last + 20, bar(last + 17))
    assert not story.engine.feed.is_blind
    assert alarms(story) == []
    # The verdict on the first bar after it: not rising, for a blind spell counts as a fall.
    assert story.evaluation.vwap_rising_s == 0


def test_corrections_are_no_sign_of_life() -> None:
    story = calm(Story(quick()))
    last = QUIET_END + 2
    story.tell(last + 4, bar(QUIET_END - 1, 215.5))
    story.tell(last + 4, bar(QUIET_END - 1, 660.5, symbol="SPY"))
    story.tell(last + 5, Tick())
    assert story.engine.feed.is_blind


def test_silence_counts_from_the_open_at_the_earliest() -> None:
    story = Story(quick())
    story.connect(-120)
    story.tell(5 - 1e-6, Tick())
    assert not story.engine.feed.is_blind
    story.tell(5, Tick())
    assert story.engine.feed.is_blind


def test_thirty_seconds_of_silence_are_told_once_and_their_end_once() -> None:
    story = calm(Story(quick()))
    last = QUIET_END + 2
    story.tick(last + 1, last + 60)
    story.tell(last + 60, bar(last + 57))
    (alarm_at, alarm), (end_at, end) = alarms(story)
    assert (alarm_at, end_at) == (last + 30, last + 60)
    assert isinstance(alarm, FeedAlarmed)
    assert (alarm.cause, alarm.since, alarm.position) == (FeedCause.SILENCE, at(QUIET_END), None)
    assert isinstance(end, FeedRecovered)
    assert (end.gap_start, end.gap_end) == (at(QUIET_END), at(last + 57))


def test_no_entry_while_blind() -> None:
    story = calm(Story(quick()))
    story.tell(QUIET_END + 2, FeedLost(cause=FeedCause.STALL))
    made = surge(story)
    assert story.evaluation.gate is DeclineReason.BLIND
    assert made == []


def test_a_confirmed_stall_is_told_at_once() -> None:
    story = calm(Story(quick()))
    made = story.tell(QUIET_END + 2, FeedLost(cause=FeedCause.STALL))
    assert [type(d) for d in made] == [FeedAlarmed]


@pytest.mark.parametrize("cause", [FeedCause.EVICTED, FeedCause.REFUSED])
def test_being_put_out_is_told_at_once(cause: FeedCause) -> None:
    story = calm(Story(quick()))
    (alarm,) = story.tell(QUIET_END + 2, FeedLost(cause=cause))
    assert isinstance(alarm, FeedAlarmed)
    assert alarm.cause is cause


def test_a_lost_socket_is_told_when_it_is_not_back_in_ten_seconds() -> None:
    story = calm(Story(quick()))
    lost = QUIET_END + 2
    story.tell(lost, FeedLost(cause=FeedCause.DROPPED))
    assert story.engine.feed.is_blind
    story.tell(lost + 10 - 1e-6, Tick())
    assert alarms(story) == []
    story.tell(lost + 10, Tick())
    assert [type(d) for _, d in alarms(story)] == [FeedAlarmed]


def test_a_second_word_of_the_same_loss_does_not_put_its_push_off() -> None:
    story = calm(Story(quick()))
    lost = QUIET_END + 2
    story.tell(lost, FeedLost(cause=FeedCause.DROPPED))
    story.tell(lost + 6, FeedLost(cause=FeedCause.NOT_CONNECTED))
    story.tick(lost + 7, lost + 20)
    assert [s for s, _ in alarms(story)] == [lost + 10]


def test_where_bars_begin_to_be_unknown() -> None:
    story = Story(quick())
    assert story.engine.feed.unknown_from == at(0)
    story.connect().bars(0, 50)
    assert story.engine.feed.unknown_from == at(50)
    story.tell(53, FeedLost(cause=FeedCause.DROPPED))
    story.tell(60, FeedRestored())
    story.bars(60, 70)
    assert story.engine.feed.unknown_from == at(50)
    story.tell(80, Covered(symbol="IWM", start=at(0), end=at(60)))
    assert story.engine.feed.unknown_from == at(50)
    story.tell(80, Covered(symbol="SPY", start=at(0), end=at(55)))
    assert story.engine.feed.unknown_from == at(55)
    story.tell(80, Covered(symbol="SPY", start=at(0), end=at(60)))
    assert story.engine.feed.unknown_from == at(70)


def lagging(first: float, second: float, rules: Rules) -> Story:
    """30 bars: 15 with each of two lags (s)."""
    story = Story(rules)
    story.connect(first)
    for start in range(30):
        story.tell(start + 1 + (first if start < 15 else second), bar(start))
    return story


def test_the_median_of_an_even_number_of_lags_lies_between_the_middle_two() -> None:
    story = lagging(14, 16, quick(benchmark=""))
    assert not story.engine.feed.is_blind
    story.tell(30 + 1 + 16, bar(30))
    assert story.engine.feed.is_blind


def test_a_bar_in_time_can_make_the_median_late() -> None:
    """Of 15 lags of 10 s and 15 of 18 s it is 14 s; with one of 14 s for one of 10 s it is 16 s."""
    story = lagging(10, 18, quick(benchmark="", stall_seconds=20))
    assert not story.engine.feed.is_blind
    story.tell(33 + 1 + 14, bar(33))
    assert story.engine.feed.is_blind


def test_a_socket_that_is_back_in_time_is_not_told() -> None:
    story = calm(Story(quick()))
    lost = QUIET_END + 2
    story.tell(lost, FeedLost(cause=FeedCause.DROPPED))
    story.tell(lost + 4, FeedRestored())
    story.tell(lost + 7, bar(lost + 4))
    assert alarms(story) == []
    assert not story.engine.feed.is_blind
    assert story.evaluation.gate is DeclineReason.NOT_COVERED


def test_the_gap_stays_uncovered_until_rest_has_answered_for_it() -> None:
    story = calm(Story(quick()))
    lost = QUIET_END + 2
    story.tell(lost, FeedLost(cause=FeedCause.DROPPED))
    story.tell(lost + 4, FeedRestored())
    story.tell(lost + 7, bar(lost + 4))
    assert story.evaluation.gate is DeclineReason.NOT_COVERED
    story.tell(lost + 8, Covered(symbol="IWM", start=at(0), end=at(lost + 4)))
    story.tell(lost + 8, bar(lost + 5))
    assert story.evaluation.gate is DeclineReason.NOT_COVERED, "SPY's windows are prices, too"
    story.tell(lost + 9, Covered(symbol="SPY", start=at(0), end=at(lost + 3)))
    story.tell(lost + 9, bar(lost + 6))
    assert story.evaluation.gate is DeclineReason.NOT_COVERED, "one second is missing"
    story.tell(lost + 10, Covered(symbol="SPY", start=at(lost + 3), end=at(lost + 4)))
    story.tell(lost + 10, bar(lost + 7))
    assert story.evaluation.gate is None


def test_an_uncovered_gap_leaves_the_longest_window_in_time() -> None:
    rules = quick(benchmark="", volume_window_seconds=400)
    story = Story(rules)
    story.connect(50)  # started late: the session so far is unknown
    window = rules.volume_window_seconds
    for second in range(50, 50 + window + 2):
        story.tell(second + 3, bar(second))
        expected = DeclineReason.NOT_COVERED if second - window < 50 else None
        assert story.evaluation.gate is expected, second


def test_before_the_open_nothing_is_blind_and_nothing_is_missing() -> None:
    story = Story(quick())
    story.connect(-120)
    story.tick(-119, 0)
    assert not story.engine.feed.is_blind
    story.tell(3, bar(0))
    assert story.evaluation.gate is None


def test_never_connected_is_told_ten_seconds_into_the_session() -> None:
    story = Story(quick())
    story.tick(-60, 20)
    assert [s for s, _ in alarms(story)] == [10]


@pytest.mark.parametrize(("lag", "is_blind"), [(15.0, False), (15.1, True), (900.0, True)])
def test_delayed_bars_are_blind_by_the_median_lag_of_thirty(lag: float, is_blind: bool) -> None:
    story = Story(quick())
    story.connect(lag)
    for second in range(30):
        assert not story.engine.feed.is_blind
        story.tell(second + 1 + lag, bar(second))
    assert story.engine.feed.is_blind is is_blind
    assert [d.cause for _, d in alarms(story) if isinstance(d, FeedAlarmed)] == [FeedCause.LAG] * is_blind
    if is_blind:
        story.tell(31 + lag, bar(round(lag) + 20))
        assert not story.engine.feed.is_blind


def test_the_gap_of_delayed_bars_runs_from_the_last_bar_in_time_to_the_first_after() -> None:
    story = Story(quick(benchmark=""))
    story.connect()
    for second in range(100):
        story.tell(second + 1, bar(second))
    for second in range(100, 400):
        story.tell(second + 41, bar(second))
    story.tell(442, bar(439))
    alarm, end = [d for _, d in alarms(story)]
    assert isinstance(alarm, FeedAlarmed)
    assert isinstance(end, FeedRecovered)
    assert (alarm.cause, alarm.since) == (FeedCause.LAG, at(100))
    assert (end.gap_start, end.gap_end) == (at(100), at(439))


@pytest.mark.parametrize("cause", [FeedCause.EVICTED, FeedCause.REFUSED])
def test_a_cause_that_only_the_owner_can_remove_is_named_though_blindness_was_told(cause: FeedCause) -> None:
    story = calm(Story(quick(alarm_spacing_seconds=30)))
    story.tell(102, FeedLost(cause=FeedCause.DROPPED))
    story.tick(103, 120)
    story.tell(120, FeedLost(cause=cause))
    story.tick(121, 200)
    story.tell(200, FeedLost(cause=FeedCause.DROPPED))
    story.tell(201, FeedLost(cause=cause))
    story.tick(202, 260)
    told = [(s, d.cause) for s, d in alarms(story) if isinstance(d, FeedAlarmed)]
    assert told == [(112, FeedCause.DROPPED), (142, cause)], "named once, the spacing after the first"
    story.tell(260, FeedRestored())
    story.tell(262, bar(260))
    assert [type(d) for _, d in alarms(story)] == [FeedAlarmed, FeedAlarmed, FeedRecovered]


def test_the_thirtieth_bar_makes_a_late_median_known_even_when_it_is_in_time() -> None:
    story = Story(quick())
    story.connect(900)
    for second in range(29):
        story.tell(second + 901, bar(second))
    assert not story.engine.feed.is_blind
    story.tell(931, bar(928))
    assert story.engine.feed.is_blind


def test_at_most_one_pair_in_five_minutes_while_flat_and_the_rest_are_counted() -> None:
    story = calm(Story(quick()))
    second = QUIET_END + 2
    for _ in range(3):
        story.tell(second, FeedLost(cause=FeedCause.STALL))
        story.tell(second + 1, FeedRestored())
        story.tell(second + 5, bar(second + 2))
        second += 20
    assert [type(d) for _, d in alarms(story)] == [FeedAlarmed, FeedRecovered]
    story.tick(second - 15, QUIET_END + 2 + 300)
    # The silence since is longer than the spacing: now it is told, with the two before it.
    story.tell(QUIET_END + 2 + 300, Tick())
    last = alarms(story)[-1][1]
    assert isinstance(last, FeedAlarmed)
    assert last.untold == 2


def test_what_was_told_of_untold_spells_is_not_told_again() -> None:
    story = calm(Story(quick(alarm_spacing_seconds=30)))
    second = QUIET_END + 2
    for wait in (10, 40, 40):
        story.tell(second, FeedLost(cause=FeedCause.STALL))
        story.tell(second + 1, FeedRestored())
        story.tell(second + 5, bar(second + 2))
        second += wait
    told = [d for _, d in alarms(story) if isinstance(d, FeedAlarmed)]
    assert [d.untold for d in told] == [0, 1]
    story.tell(second, FeedLost(cause=FeedCause.STALL))
    last = alarms(story)[-1][1]
    assert isinstance(last, FeedAlarmed)
    assert last.untold == 0


def test_a_socket_that_comes_and_goes_without_a_bar_is_told() -> None:
    story = calm(Story(quick()))
    start = QUIET_END + 2
    for second in range(start, start + 60):
        story.tell(second, FeedLost(cause=FeedCause.DROPPED) if second % 6 == 0 else FeedRestored())
    told = [second for second, d in alarms(story) if isinstance(d, FeedAlarmed)]
    assert len(told) == 1
    assert told[0] <= start + 36


def test_a_delayed_row_does_not_confirm_a_streamed_quote() -> None:
    story = calm(Story(quick()))
    story.tell(QUIET_END + 3, quote(QUIET_END + 3, 1.39, 1.41))
    story.tell(QUIET_END + 4, chain(QUIET_END + 4, row(real_time=False, quoted_at=at(QUIET_END - 900))))
    made = story.engine.quotes.newest[CALL]
    assert made.quote == quote(QUIET_END + 3, 1.39, 1.41)


def test_every_pair_is_told_while_a_position_is_open() -> None:
    story, position, _ = opened()
    second = 120
    for _ in range(2):
        story.tell(second, FeedLost(cause=FeedCause.STALL))
        story.tell(second + 1, FeedRestored())
        story.tell(second + 5, quote(second + 5, 1.39, 1.41))
        story.tell(second + 5, bar(second + 2, 215.3))
        second += 20
    told = [d for _, d in alarms(story)]
    assert [type(d) for d in told] == [FeedAlarmed, FeedRecovered] * 2
    assert {d.position for d in told if isinstance(d, FeedAlarmed | FeedRecovered)} == {position.id}


# --- The position's life ---


def test_a_dip_of_one_tick_does_not_sell() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 0.50, 0.52))
    story.tell(second + 11, Tick())
    story.tell(second + 11.5, quote(second + 11.5, 1.39, 1.41))
    made = story.tick(second + 13, second + 20)
    assert exits(made) == []


def test_a_dip_that_holds_two_seconds_sells() -> None:
    story, decision, second = opened()
    story.tell(second + 10, quote(second + 10, 0.50, 0.52))
    assert exits(story.tell(second + 12 - 1e-6, Tick())) == []
    (closed,) = story.tell(second + 12, Tick())
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.mark, closed.bid) == (ExitReason.STOP_LOSS, dollars(0.51), dollars(0.50))
    assert (closed.id, closed.entry, closed.peak) == (decision.id, decision.entry, decision.mid)
    assert story.engine.position is None


def test_an_ask_flash_does_not_raise_the_peak() -> None:
    story, decision, second = opened()
    story.tell(second + 5, quote(second + 5, 1.39, 9.99))  # wide: doubted
    story.tell(second + 6, quote(second + 6, 2.95, 3.00))  # not wide, but does not hold
    story.tell(second + 7, quote(second + 7, 1.39, 1.41))
    story.tick(second + 8, second + 15)
    assert story.engine.position is not None
    assert story.engine.position.peak == decision.mid


def test_a_peak_that_held_and_was_given_back_sells() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 2.09, 2.11))
    story.tell(second + 8, quote(second + 8, 1.46, 1.48))  # exactly 30 % under 2.10
    (closed,) = story.tick(second + 8, second + 11)
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.peak, closed.limit_percent) == (ExitReason.HARD_GIVEBACK, dollars(2.10), 30)


def test_vwap_giveback_needs_a_price_below_vwap_and_a_feed_that_sees() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 1.99, 2.01))
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under 2.00
    assert exits(story.tick(second + 8, second + 11)) == []  # above VWAP
    story.tell(second + 11, FeedLost(cause=FeedCause.DROPPED))
    assert exits(story.tell(second + 11, bar(second + 8, 200.0))) == []  # blind
    story.tell(second + 12, FeedRestored())
    made = story.tell(second + 13, bar(second + 10, 199.0))
    assert exits(made) == [ExitReason.VWAP_GIVEBACK]


def test_exits_that_need_bars_wait_for_one_of_the_symbol_after_a_blind_spell() -> None:
    story, _, second = opened()
    story.tell(second + 1, bar(second - 2, 214.0))  # below VWAP
    story.tell(second + 1, quote(second + 1, 1.99, 2.01))
    story.tell(second + 4, FeedLost(cause=FeedCause.DROPPED))
    story.tell(second + 5, FeedRestored())
    story.tell(second + 8, bar(second + 5, 660.0, symbol="SPY"))
    assert not story.engine.feed.is_blind
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under 2.00
    story.tell(second + 9, bar(second + 6, 660.0, symbol="SPY"))
    story.tell(second + 9, bar(second + 6, 214.0, backfilled=True))
    assert exits(story.tick(second + 10, second + 13)) == []
    assert exits(story.tell(second + 13, bar(second + 10, 212.0))) == [ExitReason.VWAP_GIVEBACK]


@pytest.mark.parametrize(("age", "is_used"), [(35, True), (36, False)])
def test_values_older_than_thirty_five_seconds_are_not_used(age: int, is_used: bool) -> None:
    """The symbol does not come, the benchmark does: not blind yet, and the last close is not the market's."""
    story, _, second = opened()
    story.tell(second + 1, bar(second - 2, 214.0))  # below VWAP
    story.tell(second + 1, quote(second + 1, 1.99, 2.01))
    now = second - 1 + age
    for later in range(second + 2, now):
        story.tell(later, bar(later - 3, 660.0, symbol="SPY"))
        if later == now - 2:
            story.tell(later, quote(later, 1.59, 1.61))  # 20 % under 2.00
    made = story.tell(now, Tick())
    assert not story.engine.feed.is_blind
    assert exits(made) == ([ExitReason.VWAP_GIVEBACK] if is_used else [])
    assert story.engine.is_fresh(at(now)) is is_used
    assert story.engine.signals.price_age(at(now)) == age * SECOND


def test_a_sell_names_no_price_that_is_old() -> None:
    story, _, second = opened()
    (closed,) = [d for d in story.tell(second + 5, Shutdown(close_position=True)) if isinstance(d, Closed)]
    assert closed.price is not None and closed.vwap is not None
    story, _, second = opened()
    story.tell(second + 300, quote(second + 300, 1.39, 1.41))
    (closed,) = [d for d in story.tell(second + 301, Shutdown(close_position=True)) if isinstance(d, Closed)]
    assert (closed.price, closed.vwap, closed.mark) == (None, None, dollars(1.40))


def test_with_a_position_open_every_silence_of_a_symbol_is_told() -> None:
    story, decision, second = opened()
    begin = second
    for _ in range(3):
        for s in range(begin, begin + 70):  # IWM is silent for 70 s
            story.tell(s, bar(s - 3, 660.0, symbol="SPY"))
        story.tell(begin + 70, bar(begin + 67))
        begin += 71
    told = [(type(d), d.cause, d.symbol, d.position) for _, d in alarms(story)]
    assert told == [
        (kind, FeedCause.UNSEEN, "IWM", decision.id)
        for _ in range(3)
        for kind in (FeedAlarmed, FeedRecovered)
    ]


def test_below_vwap_for_two_blocks_sells() -> None:
    story, _, second = opened()
    start = second - 2
    for s in range(start, start + 90):
        story.tell(s + 3, quote(s + 3, 1.39, 1.41))
        story.tell(s + 3, bar(s, 660.0, symbol="SPY"))
        made = story.tell(s + 3, bar(s, 215.0 - (s - start) * 0.001, 500.0))
        if exits(made):
            break
    assert exits(made) == [ExitReason.VWAP_PERSISTENCE]


@pytest.mark.parametrize(
    ("now", "sells"), [(23_100 - 1e-6, False), (23_100, True)], ids=["15:54:59", "15:55:00"]
)
def test_the_time_stop_comes_at_its_second_even_blind_and_without_marks(now: float, sells: bool) -> None:
    story, _, _ = opened()
    story.tell(200, FeedLost(cause=FeedCause.DROPPED))
    made = story.tell(now, Tick())
    assert exits(made) == ([ExitReason.TIME_STOP] if sells else [])


def test_a_time_stop_that_passed_while_the_program_was_down_says_how_late() -> None:
    story, _, _ = opened()
    made = story.tell(23_100 + 65, Tick())
    (closed,) = [d for d in made if isinstance(d, Closed)]
    assert closed.late == 65 * SECOND


def test_shutdown_closes_or_keeps() -> None:
    story, _, second = opened()
    assert exits(story.tell(second + 5, Shutdown(close_position=True))) == [ExitReason.SHUTDOWN]
    kept, _, second = opened()
    assert exits(kept.tell(second + 5, Shutdown(close_position=False))) == []
    assert kept.engine.position is not None


def test_a_lost_mark_is_told_once_and_its_return_once() -> None:
    story, decision, second = opened()
    start = second
    story.tell(start + 1, quote(start + 1, 1.39, 1.41))
    story.tick(start + 2, start + 60)
    story.tell(start + 60, quote(start + 60, 1.39, 1.41))
    lost, back = [(s, d) for s, d in story.decisions if isinstance(d, MarkLost | MarkBack)]
    assert isinstance(lost[1], MarkLost)
    assert isinstance(back[1], MarkBack)
    assert (lost[0], back[0]) == (start + 21, start + 60)
    assert lost[1].since == back[1].since == at(start + 1)
    assert lost[1].id == decision.id


def test_without_a_usable_mark_givebacks_wait_for_one() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 1.99, 2.01))
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under the peak, above VWAP
    story.bars(second + 5, second + 40, 215.3)
    assert any(isinstance(d, MarkLost) for _, d in story.decisions)
    assert exits(story.tell(second + 43, bar(second + 40, 213.0))) == []
    made = story.tell(second + 44, quote(second + 44, 1.59, 1.61))
    assert [type(d) for d in made] == [MarkBack, Closed]
    assert exits(made) == [ExitReason.VWAP_GIVEBACK]


def test_a_dip_just_before_a_long_gap_does_not_sell() -> None:
    story, decision, second = opened()
    story.tell(second + 5, quote(second + 5, 0.50, 0.52))
    assert exits(story.tell(second + 135, FeedLost(cause=FeedCause.NOT_CONNECTED))) == []
    made = story.tell(second + 136, quote(second + 136, 1.39, 1.41))
    assert [type(d) for d in made] == [MarkBack]
    assert exits(story.tick(second + 137, second + 145)) == []
    assert story.engine.position is not None
    assert story.engine.position.peak == decision.mid


def test_an_unchanged_quote_confirmed_by_a_poll_stands() -> None:
    story, _, second = opened()
    start = second
    story.tell(start + 1, quote(start + 1, 1.39, 1.41))
    for s in (start + 16, start + 31):
        story.tick(s - 14, s)
        story.tell(
            s, quote(start, 1.39, 1.41, source=QuoteSource.POLL)
        )  # older by its own time, the same prices
    story.tick(start + 32, start + 45)
    assert not any(isinstance(d, MarkLost) for _, d in story.decisions)


@pytest.mark.parametrize(
    ("ask", "source", "stands"),
    [
        (1.41, QuoteSource.POLL, True),
        (1.42, QuoteSource.POLL, False),
        (1.41, QuoteSource.STREAM, False),
    ],
)
def test_only_a_poll_of_the_same_prices_confirms(ask: float, source: QuoteSource, stands: bool) -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 16, quote(second, 1.39, ask, source=source))
    story.tell(second + 21, Tick())
    assert any(isinstance(d, MarkLost) for _, d in story.decisions) is not stands


def test_a_confirmed_quote_keeps_its_own_time() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 1.39, 1.41))
    story.tell(second + 11, quote(second + 1, 1.39, 1.41, source=QuoteSource.POLL))
    story.tell(second + 12, quote(second + 5, 0.10, 0.12))  # older than what the poll has confirmed
    assert exits(story.tick(second + 13, second + 20)) == []


def test_a_row_without_a_quote_of_its_own_is_no_price() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 16, Chain(rows=(row(bid=1.39, ask=1.41, quoted_at=0),)))
    story.tell(second + 21, Tick())
    assert any(isinstance(d, MarkLost) for _, d in story.decisions)


def test_a_wide_quote_that_counted_does_not_confirm_itself() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.20, 2.00))
    story.tick(second + 2, second + 40)
    (lost,) = [(s, d) for s, d in story.decisions if isinstance(d, MarkLost)]
    assert lost[0] == second + 26, "it counted at 6"


def test_an_older_quote_of_other_prices_changes_nothing() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 1.39, 1.41))
    for s in range(11, 20):
        story.tell(second + s, quote(second + 9, 0.10, 0.12, source=QuoteSource.POLL))
    assert story.engine.position is not None


def test_the_chain_prices_the_position_too() -> None:
    story, _, second = opened()
    story.tell(second + 10, chain(second + 10, row(bid=0.50, ask=0.52)))
    assert exits(story.tell(second + 12, Tick())) == [ExitReason.STOP_LOSS]


# --- What became of the BUY ---


def outcome(decision: Opened, result: Outcome) -> AlertOutcome:
    return AlertOutcome(kind=AlertKind.BUY, id=decision.id, outcome=result, attempts=1, detail="why")


@pytest.mark.parametrize("result", [Outcome.REFUSED, Outcome.UNSENT])
def test_a_buy_that_never_arrived_is_withdrawn(result: Outcome) -> None:
    story, decision, second = opened()
    (made,) = story.tell(second + 1, outcome(decision, result))
    assert made == Withdrawn(id=decision.id, contract=decision.contract, detail="why")
    assert (story.engine.position, story.engine.book.entries) == (None, 0)
    story.tick(second + 2, second + 20)
    assert "Closed" not in story.kinds()


def test_a_withdrawn_second_entry_leaves_the_first_ones_cooldown_and_count() -> None:
    story, second = sold(quick(entry_cooldown_seconds=60, alarm_spacing_seconds=0))
    price = story.bars(second - 2, second + 60)
    surge(story, start=second + 60, price=price)
    again = [d for _, d in story.decisions if isinstance(d, Opened)][-1]
    assert again.entry_number == 2
    story.tell(second + 72, outcome(again, Outcome.UNSENT))
    assert (story.engine.book.entries, story.engine.book.rests_until) == (1, at(second + 72 + 30))


@pytest.mark.parametrize("result", [Outcome.ACCEPTED, Outcome.LOST])
def test_a_buy_that_may_have_arrived_stays(result: Outcome) -> None:
    story, decision, second = opened()
    assert story.tell(second + 1, outcome(decision, result)) == []
    assert story.engine.position is not None


def test_an_outcome_of_something_else_withdraws_nothing() -> None:
    story, decision, second = opened()
    other = AlertOutcome(kind=AlertKind.BUY, id="000000", outcome=Outcome.REFUSED, attempts=1)
    sell = AlertOutcome(kind=AlertKind.SELL, id=decision.id, outcome=Outcome.REFUSED, attempts=1)
    assert story.tell(second + 1, other) == []
    assert story.tell(second + 1, sell) == []
    story.tell(second + 2, outcome(decision, Outcome.REFUSED))
    assert story.tell(second + 3, outcome(decision, Outcome.REFUSED)) == [], "once is enough"


# --- Restore and repeat ---


def eventful() -> Story:
    """A session with corrections, a drop, two positions, a lost mark and a withdrawn BUY."""
    story, first, second = opened(quick(entry_cooldown_seconds=20))
    source = random.Random(3)
    s = second
    story.tell(s + 1, outcome(first, Outcome.ACCEPTED))
    for offset in range(1, 40):
        story.tell(s + 1 + offset, quote(s + 1 + offset, 1.39 + source.randrange(9) / 100, 1.50))
        story.tell(
            s + 1 + offset,
            bar(s - 2 + offset, 215.2 + source.randrange(9) / 100, 400 + source.randrange(300)),
        )
        if offset % 5 == 0:
            story.tell(s + 1 + offset, bar(s - 6 + offset, 215.2, 999.5))
    story.tell(s + 41, FeedLost(cause=FeedCause.DROPPED))
    story.tick(s + 42, s + 70)
    story.tell(s + 70, FeedRestored())
    for symbol in ("IWM", "SPY"):
        story.tell(s + 71, Covered(symbol=symbol, start=at(0), end=at(s + 70)))
    story.tell(s + 73, quote(s + 73, 0.50, 0.52))
    story.tick(s + 74, s + 80)
    price = story.bars(s + 78, s + 160)
    surge(story, start=s + 160, price=price)
    again = [d for _, d in story.decisions if isinstance(d, Opened)][-1]
    story.tell(s + 172, outcome(again, Outcome.UNSENT))
    story.bars(s + 170, s + 180)
    return story


def test_the_story_is_eventful() -> None:
    kinds = [
        "Opened",
        "FeedAlarmed",
        "MarkLost",
        "MarkBack",
        "Closed",
        "FeedRecovered",
        "Opened",
        "Withdrawn",
    ]
    assert eventful().kinds() == kinds


def test_the_same_facts_give_the_same_decisions() -> None:
    story = eventful()
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        assert engine.handle(now, event) == made


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_a_restored_engine_goes_on_as_if_it_had_never_stopped(share: float) -> None:
    story = eventful()
    cut = round(len(story.log) * share)
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log[:cut]:
        engine.restore(now, event, made)
    for now, event, made in story.log[cut:]:
        assert engine.handle(now, event) == made
    assert engine.evaluation == story.engine.evaluation


def test_a_stop_in_the_record_is_over_at_the_next_start() -> None:
    story, decision, second = opened()
    story.tell(second + 5, Shutdown(close_position=False))
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        engine.restore(now, event, made)
    assert engine.handle(at(second + 6), Tick()) == []
    assert engine.position is not None
    engine.handle(at(second + 6), bar(second + 3))
    assert engine.evaluation is not None
    assert engine.evaluation.gate is DeclineReason.POSITION_OPEN
    assert engine.position.opened == decision


def test_restoring_decides_nothing_itself() -> None:
    """A recorded history without its opening stays without it: a code fix does not change the past."""
    story, _, _ = opened()
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        engine.restore(now, event, [d for d in made if not isinstance(d, Opened)])
    assert engine.position is None


def test_the_nearest_calls_and_their_asks() -> None:
    story = calm(Story(quick()))
    rows = [row(strike) for strike in (210.0, 214.0, 215.0, 216.0, 220.0)]
    story.tell(QUIET_END + 3, chain(QUIET_END + 3, *rows))
    assert story.engine.quotes.nearest(3) == tuple(row(strike).contract for strike in (215.0, 214.0, 216.0))
    assert story.engine.quotes.ask_of(CALL) == dollars(1.41)
    assert story.engine.quotes.ask_of("O:NONE") is None
