"""Stories through `Engine.handle`: when the feed is blind, what is told of it, and what it holds back."""

from __future__ import annotations

import pytest

from events import (
    Covered,
    DeclineReason,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Tick,
)
from rules import Rules
from tests.builders import CALL, Story, at, bar, chain, quote, row
from tests.surge import QUIET_END, alarms, calm, opened, quick, surge


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
