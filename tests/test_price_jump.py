"""A share price that jumps: kept apart until something confirms it, and nothing comes of it before."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import Bar, Evaluation
from price_level import IMPOSSIBLE_PERCENT, LEVEL_BARS
from rules import Rules
from signals import Signals
from tests.builders import SESSION, at, bar
from tests.surge import quick

LIMIT = 215.0 * 1.03
"""The furthest close from 215 that is still plausible."""


def fed(*items: Bar, rules: Rules | None = None) -> Signals:
    """Windows that have learned some bars."""
    signals = Signals(rules or Rules(), SESSION)
    for item in items:
        signals.record(item)
    return signals


def calm_bars(count: int = 20, price: float = 215.0) -> list[Bar]:
    """A second of each symbol after the other, at rest."""
    return [
        item for s in range(count) for item in (bar(s, price * 3, symbol="SPY"), bar(s, price, volume=500.0))
    ]


def state(signals: Signals, second: int = 300) -> Evaluation:
    """What all windows hold, seen at a later second that is the same in every case."""
    item = bar(second, 215.0)
    assert signals.record(item) == (True, True)
    return signals.evaluate(item, was_blind=False)


@pytest.mark.parametrize(
    ("close", "is_apart"),
    [(LIMIT, False), (LIMIT + 0.001, True), (215.0 * 0.97, False), (215.0 * 0.97 - 0.001, True)],
)
def test_a_close_over_three_percent_from_the_median_is_kept_apart(close: float, is_apart: bool) -> None:
    signals = fed(*calm_bars())
    assert signals.record(bar(20, close, 50_000.0)) == (True, not is_apart)
    assert signals.price == (215.0 if is_apart else close)
    assert signals.level.kept_apart == is_apart


def test_the_median_is_that_of_the_last_ten_closes() -> None:
    """Six of ten at 218 make it 218, whatever came before them; 221.9 lies within 3 % of 218 and not of 215."""
    five = fed(*calm_bars(), *(bar(s, 218.0) for s in range(20, 24)))
    six = fed(*calm_bars(), *(bar(s, 218.0) for s in range(20, 26)))
    assert five.record(bar(30, 221.9)) == (True, False)
    assert six.record(bar(30, 221.9)) == (True, True)


def test_a_drift_is_no_jump() -> None:
    signals = fed(*(bar(s, 215.0 * 1.003**s) for s in range(120)))
    assert signals.level.kept_apart == 0
    assert signals.price == pytest.approx(215.0 * 1.003**119)


@pytest.mark.parametrize("close", [236.5, 193.5, 21_500.0, 2.15, 0.01, 1_000_000.0])
def test_what_the_next_bar_refutes_leaves_no_trace(close: float) -> None:
    signals, plain = fed(*calm_bars()), fed(*calm_bars())
    signals.record(bar(20, close, 50_000.0))
    assert signals.record(bar(21, 215.01)) == (True, True)
    plain.record(bar(21, 215.01))
    assert signals.price == 215.01
    assert (signals.level.waits, len(signals.level.refuted)) == (False, 1)
    assert state(signals) == state(plain)


def test_two_bad_prints_with_a_good_one_between_do_not_confirm_each_other() -> None:
    signals = fed(*calm_bars())
    for second in range(20, 60, 2):
        assert signals.record(bar(second, 236.5, 50_000.0)) == (True, False)
        assert signals.record(bar(second + 1, 215.0)) == (True, True)
        assert signals.price == 215.0
    assert len(signals.level.refuted) == 20


@pytest.mark.parametrize(("second", "confirmed"), [(200.0, True), (205.9, True), (193.9, False)])
def test_a_second_bar_within_three_percent_confirms_the_first(second: float, confirmed: bool) -> None:
    signals = fed(*calm_bars())
    assert signals.record(bar(20, 200.0)) == (True, False)
    assert signals.record(bar(22, second)) == (True, confirmed)
    assert signals.price == (second if confirmed else 215.0)
    if confirmed:
        assert signals.record(bar(23, 199.5)) == (True, True)
        plain = fed(*calm_bars(10, 200.0), bar(20, 200.0), bar(22, second), bar(23, 199.5))
        assert signals.evaluate(bar(23, 199.5), False).volume == plain.evaluate(bar(23, 199.5), False).volume


def test_confirmed_bars_are_in_every_window() -> None:
    """What a crash leaves equals what the same bars leave where nothing is doubted."""
    crash = [*calm_bars(), *(bar(s, 205.0, 900.0 + s) for s in range(20, 40))]
    signals, credulous = fed(*crash), fed(*crash, rules=Rules(price_jump_percent=100))
    last = bar(40, 205.1)
    for each in (signals, credulous):
        each.record(last)
    assert signals.evaluate(last, was_blind=False) == credulous.evaluate(last, was_blind=False)


@pytest.mark.parametrize("is_late", [False, True], ids=["before the next bar", "after it"])
def test_rest_confirms_the_same_second(is_late: bool) -> None:
    signals = fed(*calm_bars())
    signals.record(bar(20, 200.0, 9000.0))
    if is_late:
        signals.record(bar(21, 215.0))
    assert signals.record(bar(20, 200.0, 9000.0, backfilled=True))[0] is False
    plain = fed(*calm_bars(), bar(20, 200.0, 9000.0), rules=Rules(price_jump_percent=100))
    if is_late:
        plain.record(bar(21, 215.0))
    assert state(signals).volume_z == state(plain).volume_z
    assert signals.volume == plain.volume


def test_the_same_print_again_confirms_nothing() -> None:
    signals = fed(*calm_bars())
    assert signals.record(bar(20, 236.5)) == (True, False)
    for _ in range(5):
        assert signals.record(bar(20, 236.5)) == (False, False)
    assert signals.price == 215.0


def test_a_correction_of_the_doubted_second_replaces_it_and_evaluates_nothing() -> None:
    signals, plain = fed(*calm_bars()), fed(*calm_bars(), bar(20, 215.02))
    signals.record(bar(20, 236.5, 50_000.0))
    assert signals.record(bar(20, 215.02))[0] is False
    assert not signals.level.waits
    assert state(signals) == state(plain)


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
@pytest.mark.parametrize("known", [True, False], ids=["a correction", "a late first print"])
def test_an_absurd_correction_or_late_print_changes_nothing(symbol: str, known: bool) -> None:
    bars = calm_bars(60)
    hole = at(30)
    if not known:
        bars = [item for item in bars if item.start != hole]
    signals, plain = fed(*bars), fed(*bars)
    price = 236.5 if symbol == "IWM" else 709.0
    signals.record(bar(30, price, 50_000.0, symbol=symbol))
    for each in (signals, plain):
        each.record(bar(60, 645.0, symbol="SPY"))
        each.record(bar(60, 215.0))
    assert state(signals) == state(plain)


def test_a_gap_with_a_real_fall_in_it_is_filled_whole() -> None:
    """215 until 20, live again at 205 from 60 on; REST has the fall at 40, and a dip of its own before it."""
    prices = {s: 215.0 if s < 40 else 205.0 for s in range(20, 60)} | {s: 195.0 for s in range(30, 34)}
    gap = [bar(s, price, backfilled=True) for s, price in prices.items()]
    live = [bar(s, 205.0) for s in range(60, 63)]
    signals = fed(*calm_bars(), *live, *gap)
    assert not signals.level.refuted
    assert signals.volume == 500.0 * (20 + 40 + 3)


def test_a_lone_bar_of_rest_is_no_more_believed_than_one_of_the_socket() -> None:
    gap = [bar(s, 236.5 if s == 25 else 215.0, backfilled=True) for s in range(20, 30)]
    signals = fed(*calm_bars(), *gap)
    assert (len(signals.level.refuted), signals.volume) == (1, 500.0 * 29)


# --- The benchmark's move ---


@pytest.mark.parametrize(("spy", "confirmed"), [(645.0 * 0.979, True), (645.0 * 0.981, False)])
def test_the_benchmarks_own_move_confirms_half_as_large(spy: float, confirmed: bool) -> None:
    signals = fed(*calm_bars(), bar(20, spy, symbol="SPY"))
    assert signals.record(bar(20, 215.0 * 0.96)) == (True, confirmed)


def test_the_benchmark_may_come_after_and_then_nothing_is_evaluated() -> None:
    signals = fed(*calm_bars(), bar(20, 215.0 * 0.96))
    assert signals.price == 215.0
    signals.record(bar(20, 645.0 * 0.975, symbol="SPY"))
    assert signals.price == 215.0 * 0.96


@pytest.mark.parametrize(("spy", "confirmed"), [(0.95, True), (1.05, False), (0.9, False)])
def test_two_symbols_that_jump_alike_confirm_each_other(spy: float, confirmed: bool) -> None:
    signals = fed(*calm_bars(), bar(20, 645.0 * spy, symbol="SPY"))
    assert signals.record(bar(20, 215.0 * 0.955)) == (True, confirmed)
    assert signals.benchmark_level.price == (645.0 * spy if confirmed else 645.0)


@pytest.mark.parametrize(
    ("factor", "confirmed"), [(1.069, True), (1.071, False), (0.931, True), (0.9, False)]
)
def test_a_fault_of_both_symbols_at_once_is_not_its_own_proof(factor: float, confirmed: bool) -> None:
    """As two prints 10 % off in one frame: beyond what halts the market, a second bar must come first."""
    signals = fed(*calm_bars(), bar(20, 645.0 * factor, symbol="SPY"))
    assert signals.record(bar(20, 215.0 * factor, 50_000.0)) == (True, confirmed)
    assert signals.price == (215.0 * factor if confirmed else 215.0)
    assert signals.record(bar(21, 215.0 * factor)) == (True, True)
    refuted = fed(*calm_bars(), bar(20, 645.0 * factor, symbol="SPY"), bar(20, 215.0 * factor))
    refuted.record(bar(21, 645.0, symbol="SPY"))
    refuted.record(bar(21, 215.0))
    if not confirmed:
        assert state(refuted) == state(fed(*calm_bars(), bar(21, 645.0, symbol="SPY"), bar(21, 215.0)))


def test_a_bad_print_of_the_benchmark_does_not_swing_the_lag() -> None:
    signals, plain = fed(*calm_bars(310)), fed(*calm_bars(310))
    signals.record(bar(310, 580.0, symbol="SPY"))
    for each in (signals, plain):
        each.record(bar(310, 215.0))
    found = signals.evaluate(bar(310, 215.0), was_blind=False)
    assert found == plain.evaluate(bar(310, 215.0), was_blind=False)
    assert found.benchmark_roc5 == 0.0


# --- What can not be ---


@pytest.mark.parametrize("factor", [100.0, 0.01, 1 + IMPOSSIBLE_PERCENT / 100 + 0.001])
def test_a_unit_slip_is_believed_from_nobody_while_it_could_end(factor: float) -> None:
    signals = fed(*calm_bars())
    for second in range(20, 20 + LEVEL_BARS - 1):
        signals.record(bar(second, 645.0 * factor, symbol="SPY"))
        assert signals.record(bar(second, 215.0 * factor)) == (True, False)
        signals.record(bar(second, 215.0 * factor, backfilled=True))
        assert signals.price == 215.0
    assert signals.record(bar(100, 215.0)) == (True, True)
    assert not signals.level.waits


def test_a_feed_that_goes_on_at_another_level_is_followed_with_windows_of_that_level_alone() -> None:
    signals = fed(*calm_bars())
    for second in range(20, 20 + LEVEL_BARS):
        signals.record(bar(second, 21_500.0))
    assert signals.price == 21_500.0
    last = bar(99, 21_500.0)
    signals.record(last)
    assert signals.evaluate(last, was_blind=False).vwap_5m == 21_500.0


# --- The first prints ---


@pytest.mark.parametrize("absurd", [21_500.0, 236.5, 193.5, 2.15])
def test_an_absurd_first_print_poisons_nothing(absurd: float) -> None:
    signals = fed(bar(0, absurd, 50_000.0))
    assert signals.price is None
    signals.record(bar(1, 215.0))
    assert signals.price is None
    assert signals.record(bar(2, 215.01)) == (True, True)
    assert signals.price == 215.01
    signals.record(bar(3, 215.0))
    plain = fed(bar(1, 215.0), bar(2, 215.01), bar(3, 215.0))
    assert state(signals).vwap_5m == state(plain).vwap_5m
    assert signals.volume == plain.volume


def test_a_good_first_print_is_the_price_once_another_agrees() -> None:
    signals = fed(bar(0, 215.0))
    assert signals.price is None
    assert signals.record(bar(1, 215.3)) == (True, True)
    assert signals.price == 215.3


def test_an_absurd_first_print_goes_when_rest_has_filled_what_was_before_it() -> None:
    """A start in mid-session: the socket's first bar is absurd, and the morning comes from REST behind it."""
    signals = fed(bar(600, 236.5, 9000.0), *(bar(s, 215.0, backfilled=True) for s in range(600)))
    assert signals.price == 215.0
    assert signals.record(bar(601, 215.0)) == (True, True)
    assert signals.volume == 500.0 * 601


def test_a_morning_far_from_the_price_of_now_does_not_outvote_it() -> None:
    signals = fed(bar(6000, 236.5), *(bar(s, 215.0 + s * 21.5 / 6000, backfilled=True) for s in range(6000)))
    assert signals.price == 236.5
    assert signals.level.kept_apart == 0


# --- Numbers that no window can hold ---


@pytest.mark.parametrize(
    "values",
    [
        {"close": 0.0},
        {"close": 0.009},
        {"close": -215.0},
        {"close": 1e300},
        {"close": float("nan")},
        {"close": float("inf")},
        {"volume": 1e12},
        {"volume": -1.0},
        {"volume": float("nan")},
        {"volume": 1e300},
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_bar_that_no_window_could_hold_is_as_if_it_had_not_come(
    values: dict[str, Any], is_first: bool
) -> None:
    before = [] if is_first else calm_bars()
    signals, plain = fed(*before), fed(*before)
    assert signals.record(bar(20, **{"close": 215.0, "volume": 500.0, **values})) == (False, False)
    assert state(signals) == state(plain)


@pytest.mark.parametrize("price", [0.01, 1_000_000.0])
def test_the_ends_of_the_range_are_held_with_the_largest_volumes(price: float) -> None:
    signals = Signals(Rules(), SESSION)
    for second in range(1300):
        item = bar(second, price, 0.0 if second % 7 else 999_999_999_999.0)
        signals.record(item)
        found = signals.evaluate(item, was_blind=False)
    assert found.vwap_1m == pytest.approx(price)
    assert found.volume_z is not None


@pytest.mark.parametrize("vwap", [1e-10, 0.0, -1.0, 1e300, float("nan"), float("inf"), 215.0 * 1.0301])
def test_an_absurd_vwap_is_replaced_by_the_close(vwap: float) -> None:
    signals, plain = fed(), fed()
    signals.record(bar(0, 215.0, 500.0, vwap=vwap))
    plain.record(bar(0, 215.0, 500.0))
    assert state(signals) == state(plain)
    signals.record(bar(301, 215.0, 1e9, vwap=vwap))
    found = signals.evaluate(bar(301, 215.0), was_blind=False)
    assert found.vwap_1m == pytest.approx(215.0)


ABSURD = st.sampled_from((0.01, 2.15, 100.0, 193.5, 205.0, 236.5, 21_500.0, 1e6))


# --- Its cost ---


class Counting(list[Any]):
    """The closes, counting how often one is looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_a_late_start_on_a_day_that_trends_costs_no_more_for_the_hours_that_are_still_missing() -> None:
    """Three live bars, and behind them a morning 4.6 % away: each of its bars once looked back over the whole hole."""
    signals = Signals(Rules(), SESSION)
    signals.level.closes.close = closes = Counting(signals.level.closes.close)
    for second in range(20_000, 20_003):
        signals.record(bar(second, 225.0))
    for second in range(2_000):
        signals.record(bar(second, 215.0 + second / 2_000, backfilled=True))
    assert signals.price == 225.0
    assert closes.looks < 100 * 2_003


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 23_399), ABSURD), min_size=20, max_size=60))
def test_nor_does_a_flood_of_absurd_prints_over_the_whole_session(prints: list[tuple[int, float]]) -> None:
    signals = Signals(Rules(), SESSION)
    signals.level.closes.close = closes = Counting(signals.level.closes.close)
    for second, close in prints:
        signals.record(bar(second, close))
    assert closes.looks < 1_000 * len(prints)


# --- Exactness ---


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_lone_absurd_prints_leave_exactly_the_state_of_the_good_bars(seed: int) -> None:
    """First prints, corrections, late ones and REST's, of either symbol, at any second, before or after the good bar."""
    dice = random.Random(seed)
    rules = quick(price_jump_closes=dice.choice((1, 2, 10, 50)))
    signals, plain = Signals(rules, SESSION), Signals(rules, SESSION)
    # No two within 3 % of each other, half of them nearer than a jump that can not be.
    prices = [0.02 * 1.045**k for k in range(400) if not 204 < 0.02 * 1.045**k < 227]
    near = [each for each in prices if 175 < each < 255]
    absurd = iter(dice.sample([*near, *dice.sample([each for each in prices if each not in near], 150)], 150))
    price = 215.0
    for second in range(150):
        price = round(price * (1 + dice.gauss(0, 0.0005)), 2)
        good = [] if dice.random() < 0.2 and second > 2 else [bar(second, price, dice.randrange(1, 900))]
        if good and second > 10 and dice.random() < 0.2:
            back = second - dice.randrange(1, 10)
            good.append(bar(back, price, dice.randrange(1, 900), backfilled=dice.random() < 0.5))
        good.append(bar(second, round(price * 3, 2), symbol="SPY"))
        for item in good:
            if second > 2 and dice.random() < 0.3:
                wrong = next(absurd)
                at_second = max(0, second - dice.choice((0, 0, 1, 5, 100)))
                signals.record(bar(at_second, wrong, 9e5, backfilled=dice.random() < 0.3))
            plain.record(item)
            signals.record(item)
    for last in (bar(150, price), bar(151, price)):
        signals.record(last)
        plain.record(last)
    assert signals.evaluate(last, was_blind=False) == plain.evaluate(last, was_blind=False)
    assert (signals.price, signals.volume) == (plain.price, plain.volume)
