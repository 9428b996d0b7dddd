"""Windows and conditions: each indicator against a slow plain reference, and each limit at its boundary."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import SECOND, Bar, Condition, DeclineReason, Evaluation
from rules import Rules
from signals import FAR_PERCENT, Signals, Traded, near_miss, shortfall, traded_since
from tests.builders import SESSION, at, bar, missing
from tests.reference import Reference
from windows import Closes

SMALL = Rules(
    vwap_long_seconds=60,
    vwap_long_shift_seconds=10,
    vwap_short_seconds=20,
    vwap_rising_seconds=5,
    volume_window_seconds=90,
    volume_min_bars=20,
    momentum_seconds=15,
    momentum_min_bars=5,
    relative_volume_seconds=20,
    roc_seconds=30,
    roc_tolerance_seconds=5,
    benchmark_max_age_seconds=5,
)

ORDER = list(Condition)


def passes(evaluation: Evaluation, condition: Condition) -> bool | None:
    return evaluation.passes[ORDER.index(condition)]


def compare(evaluation: Evaluation, expected: dict[str, object]) -> None:
    for name, value in expected.items():
        got = getattr(evaluation, name)
        if isinstance(value, tuple) or value is None:
            assert got == value, name
        else:
            assert got == pytest.approx(float(value), rel=1e-9, abs=1e-12), name  # type: ignore[arg-type]


class Pair:
    """The windows and the reference, fed alike and compared at every evaluation."""

    def __init__(self, rules: Rules) -> None:
        self.signals = Signals(rules, SESSION)
        self.reference = Reference(rules)
        self.evaluations = 0

    def put(self, item: Bar, second: int, *, evaluates: bool, was_blind: bool = False) -> None:
        is_new, is_newest = self.signals.record(item)
        known = self.reference.own if item.symbol == "IWM" else self.reference.benchmark
        assert is_new == (second not in known)
        assert is_newest == (second > max(known, default=-1))
        known[second] = (item.close, item.volume, item.vwap)
        if evaluates and is_new and is_newest and item.symbol == "IWM":
            self.evaluations += 1
            expected = self.reference.evaluate(second, was_blind)
            compare(self.signals.evaluate(item, was_blind=was_blind), expected)


STEP = st.tuples(
    st.integers(0, 9),  # what happens
    st.integers(1, 4),  # how far time goes
    st.integers(0, 100),  # how far back a correction reaches
    st.integers(-30, 30),  # cents
    st.sampled_from((0.0, 0.25, 1.0, 100.0, 100.5, 700.0, 25_000.0)),
    st.integers(-3, 3),  # cents of vw outside
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=30, max_size=150))
def test_every_value_equals_the_reference_with_gaps_and_corrections(
    steps: list[tuple[int, int, int, int, float, int]],
) -> None:
    pair = Pair(SMALL)
    second = 0
    for what, ahead, back, cents, volume, outside in steps:
        close = round(215 + cents / 100, 2)
        vwap = round(close + outside / 100, 4)
        if what == 0:  # a correction, or a first print out of order
            target = max(0, second - back)
            pair.put(bar(target, close, volume, vwap=vwap), target, evaluates=False)
        elif what == 1:  # backfilled ahead of the last evaluation
            second += ahead
            pair.put(bar(second, close, volume, vwap=vwap, backfilled=True), second, evaluates=False)
        else:
            second += ahead
            spy = bar(second, close * 3, volume, symbol="SPY")
            if what > 3:
                pair.put(spy, second, evaluates=False)
            pair.put(bar(second, close, volume, vwap=vwap), second, evaluates=True, was_blind=what == 2)


def test_a_long_made_session_with_the_default_windows_equals_the_reference() -> None:
    random_source = random.Random(7)
    pair = Pair(Rules())
    price = 215.0
    for second in range(1500):
        price = round(price + random_source.gauss(0, 0.02), 2)
        if random_source.random() < 0.25:
            continue
        volume = round(random_source.lognormvariate(6, 1), random_source.choice((0, 2, 6)))
        vwap = round(price + random_source.gauss(0, 0.004), 4)
        pair.put(bar(second, price * 3, volume, symbol="SPY"), second, evaluates=False)
        # The reference is slow on purpose: compare now and then, but evaluate always.
        item = bar(second, price, volume, vwap=vwap)
        pair.put(item, second, evaluates=second > 1300)
        if random_source.random() < 0.05:
            back = random_source.randrange(max(0, second - 900), second + 1)
            if back in pair.reference.own:
                pair.put(bar(back, price, volume + 11, vwap=vwap), back, evaluates=False)
    assert pair.evaluations > 100


def test_values_do_not_depend_on_the_order_of_arrival() -> None:
    """Exact sums: late, doubled and corrected bars leave no trace beside the final ones."""
    random_source = random.Random(11)
    final = [
        bar(s, round(215 + random_source.gauss(0, 0.1), 2), random_source.random() * 1e6) for s in range(400)
    ]
    ordered, shuffled = Signals(SMALL, SESSION), Signals(SMALL, SESSION)
    for item in final:
        ordered.record(item)
    noise = [bar(s, 213.0, 9e11) for s in range(0, 400, 3)]
    mixed = final[:]
    random_source.shuffle(mixed)
    for item in (*noise, *mixed):
        shuffled.record(item)
    last = bar(400, 215.5, 900.0)
    ordered.record(last)
    shuffled.record(last)
    assert ordered.evaluate(last, was_blind=False) == shuffled.evaluate(last, was_blind=False)


def feed(signals: Signals, items: list[Bar]) -> Evaluation:
    """Learn and evaluate each bar; returns the last evaluation."""
    for item in items:
        signals.record(item)
        evaluation = signals.evaluate(item, was_blind=False)
    return evaluation


def test_vwap_rising_holds_at_exactly_thirty_seconds() -> None:
    signals = Signals(Rules(), SESSION)
    items = [bar(0, 215.0), bar(1, 214.0)]  # falls at second 1
    items += [bar(s, 216.0) for s in range(2, 31)]
    evaluation = feed(signals, items)
    assert (evaluation.vwap_rising_s, passes(evaluation, Condition.VWAP_RISING)) == (29, False)
    evaluation = feed(signals, [bar(31, 216.0)])
    assert (evaluation.vwap_rising_s, passes(evaluation, Condition.VWAP_RISING)) == (30, True)


def test_a_flat_tape_does_not_rise() -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(s, 215.0) for s in range(200)])
    assert evaluation.vwap_rising_s == 199
    assert evaluation.vwap_1m_change == 0.0
    assert passes(evaluation, Condition.VWAP_RISING) is False


@pytest.mark.parametrize(("rise", "rises"), [(0.9e-9, False), (1.1e-9, True)])
def test_a_rise_is_more_than_one_part_in_a_thousand_million(rise: float, rises: bool) -> None:
    """The last bar outweighs all the others: the 60 s VWAP is its own."""
    items = [bar(s, 1000.0, 0.000_001) for s in range(99)]
    last = bar(99, 1000.0, 1e11, vwap=1000.0 * (1 + rise))
    assert passes(feed(Signals(Rules(), SESSION), [*items, last]), Condition.VWAP_RISING) is rises


def test_without_a_time_to_rise_nothing_need_rise() -> None:
    evaluation = feed(Signals(Rules(vwap_rising_seconds=0), SESSION), [bar(s, 215.0) for s in range(90)])
    assert passes(evaluation, Condition.VWAP_RISING) is True


@pytest.mark.parametrize(("fall", "rising_s"), [(1e-10, 2), (1e-8, 0)])
def test_a_fall_under_one_part_in_a_thousand_million_is_rounding(fall: float, rising_s: int) -> None:
    signals = Signals(Rules(), SESSION)
    # One share at 1 000 000 000 times the step resolves the change of the average.
    items = [bar(0, 1000.0, 1.0), bar(1, 1000.0, 1.0), bar(2, 1000.0, 1.0, vwap=1000.0 * (1 - 3 * fall))]
    assert feed(signals, items).vwap_rising_s == rising_s


def test_a_correction_of_the_window_before_is_compared_as_now_known() -> None:
    """The bar that made the VWAP look falling is corrected: both windows see the correction."""
    signals = Signals(Rules(), SESSION)
    feed(signals, [bar(0, 215.0), bar(1, 215.0), bar(2, 217.0)])
    signals.record(bar(2, 215.0))
    assert feed(signals, [bar(3, 215.5)]).vwap_rising_s == 3


@pytest.mark.parametrize(("volume", "surges"), [(500.0, False), (500.001, True)])
def test_volume_equal_to_its_percentile_is_no_surge(volume: float, surges: bool) -> None:
    signals = Signals(Rules(), SESSION)
    evaluation = feed(signals, [*(bar(s) for s in range(300)), bar(300, 215.0, volume)])
    assert evaluation.volume_p95 == 500.0
    assert evaluation.volume_z is None
    assert passes(evaluation, Condition.VOLUME_SURGE) is surges


def test_the_percentile_interpolates_and_leaves_the_second_itself_out() -> None:
    signals = Signals(Rules(), SESSION)
    evaluation = feed(signals, [bar(s, 215.0, float(s)) for s in range(301)])
    assert evaluation.volume_p95 == pytest.approx(284.05)


@pytest.mark.parametrize(("bars", "known"), [(299, False), (300, True)])
def test_the_percentile_needs_three_hundred_bars(bars: int, known: bool) -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(s) for s in range(bars + 1)])
    assert (evaluation.volume_p95 is not None) is known


@pytest.mark.parametrize(("bars", "known"), [(9, False), (10, True)])
def test_momentum_needs_ten_bars(bars: int, known: bool) -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(3 * s, 215.0 + s / 100) for s in range(bars)])
    assert (evaluation.momentum is not None) is known


@pytest.mark.parametrize(
    ("step", "holds"), [(0.0, False), (2.15e-7, False), (2.2e-7, True), (-0.01, False), (0.01, True)]
)
def test_momentum_must_exceed_rounding(step: float, holds: bool) -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(s, 215.0 + s * step) for s in range(30)])
    assert passes(evaluation, Condition.MOMENTUM) is holds


def relative(volume: float) -> Evaluation:
    """1,140 seconds of 100 shares, then 60 of ``volume``."""
    signals = Signals(Rules(), SESSION)
    return feed(signals, [bar(s, 215.0, 100.0 if s < 1140 else volume) for s in range(1200)])


def test_relative_volume_at_its_limit_holds() -> None:
    # x / ((1140·100 + 60·x) / 1200) = 1.5  →  x = 154.054054…
    limit = 1.5 * 1140 * 100 / (1200 - 1.5 * 60)
    assert passes(relative(round(limit + 1e-6, 6)), Condition.RELATIVE_VOLUME) is True
    assert passes(relative(round(limit, 6) - 0.001), Condition.RELATIVE_VOLUME) is False


def test_relative_volume_of_a_young_session_counts_its_seconds_only() -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(s, 215.0, 100.0) for s in range(90)])
    assert evaluation.relative_volume == pytest.approx(1.0)


def with_benchmark(last_spy: int, base_spy: int, *, spy: float = 660.0, own: float = 215.0) -> Evaluation:
    signals = Signals(Rules(), SESSION)
    signals.record(bar(base_spy, 660.0, symbol="SPY"))
    signals.record(bar(last_spy, spy, symbol="SPY"))
    return feed(signals, [bar(300, 215.0), bar(600, own)])


@pytest.mark.parametrize(
    ("last_spy", "base_spy", "known"),
    [
        (600, 300, True),
        (590, 300, True),
        (589, 300, False),
        (600, 270, True),
        (600, 269, False),
        (600, 301, False),
    ],
)
def test_the_benchmark_is_none_when_its_close_is_too_old(last_spy: int, base_spy: int, known: bool) -> None:
    evaluation = with_benchmark(last_spy, base_spy)
    assert (evaluation.benchmark_roc5 is not None) is known
    assert passes(evaluation, Condition.SPY_LAG) is known


@pytest.mark.parametrize(("spy", "holds"), [(661.32, True), (661.33, False), (650.0, True)])
def test_spy_lag_at_its_limit_holds(spy: float, holds: bool) -> None:
    evaluation = with_benchmark(600, 300, spy=spy)
    assert passes(evaluation, Condition.SPY_LAG) is holds


def test_conditions_can_be_left_out() -> None:
    signals = Signals(Rules(benchmark="", relative_volume_min=0), SESSION)
    evaluation = feed(signals, [bar(0)])
    assert passes(evaluation, Condition.SPY_LAG) is None
    assert passes(evaluation, Condition.RELATIVE_VOLUME) is None
    assert evaluation.benchmark_roc5 is None


def test_the_primary_condition_needs_a_rising_long_vwap() -> None:
    rising = feed(Signals(Rules(), SESSION), [bar(s, 215.0 + s / 1000) for s in range(400)])
    assert passes(rising, Condition.FIVE_MINUTE_VWAP) is True
    assert rising.vwap_5m_change is not None and rising.vwap_5m_change > 0
    # Above a VWAP that is below itself 30 s ago.
    turned = [bar(s, 215.0 - s / 1000) for s in range(399)] + [bar(399, 216.0)]
    assert passes(feed(Signals(Rules(), SESSION), turned), Condition.FIVE_MINUTE_VWAP) is False


def test_a_window_without_volume_has_no_vwap_and_fails() -> None:
    evaluation = feed(Signals(Rules(), SESSION), [bar(s, 215.0, 0.0) for s in range(60)])
    assert evaluation.vwap_1m is None
    assert evaluation.relative_volume is None
    assert passes(evaluation, Condition.ABOVE_VWAP) is False
    assert passes(evaluation, Condition.FIVE_MINUTE_VWAP) is False


def test_an_absurd_vwap_of_a_windows_only_volume_leaves_it_a_window_with_volume() -> None:
    """Its share of the sums was once rounded away, and the worker ended with a ZeroDivisionError."""
    items = [bar(second, 215.0, 0.0) for second in range(0, 1_300, 3)]
    found = feed(Signals(Rules(), SESSION), [*items, bar(1_300, 215.0, 1.0, vwap=1e-10)])
    assert (found.vwap_1m, found.vwap_5m) == (215.0, 215.0)


def test_a_close_equal_to_vwap_is_not_above_it() -> None:
    """Exact sums: 0.1-dollar prices that no float holds still average to themselves."""
    evaluation = feed(Signals(Rules(), SESSION), [bar(s, 215.1, 333.333333) for s in range(60)])
    assert evaluation.vwap_1m == 215.1
    assert passes(evaluation, Condition.ABOVE_VWAP) is False


@pytest.mark.parametrize("second", [-1, 23_400])
def test_bars_outside_the_session_are_in_no_window(second: int) -> None:
    signals = Signals(Rules(), SESSION)
    assert signals.record(bar(second, 300.0)) == (True, False)
    assert signals.record(bar(second, 300.0)) == (False, False)
    assert signals.price is None
    assert signals.volume == 0


def test_symbols_never_asked_for_are_ignored() -> None:
    assert Signals(Rules(), SESSION).record(bar(0, symbol="QQQ")) == (False, False)


@pytest.mark.parametrize("back", [0, 28, 29, 58, 59, 298, 299, 1198, 1199, 1200])
def test_a_correction_mends_exactly_the_windows_that_hold_its_second(back: int) -> None:
    """Corrected as far as a correction may go: each window's value changes when it holds the second, and only then."""
    plain, mended = Signals(Rules(), SESSION), Signals(Rules(), SESSION)
    items = [bar(s, 215.0 + (s % 5) / 100, 500.0 + s % 9) for s in range(1400)]
    feed(plain, items)
    feed(mended, items)
    mended.record(bar(1399 - back, 220.0, 9e6))
    next_bar = bar(1400, 215.0, 500.0)
    after, other = feed(mended, [next_bar]), feed(plain, [next_bar])
    # One second later the reach is one shorter.
    assert (after.vwap_1m != other.vwap_1m) is (back + 1 < 60)
    assert (after.vwap_5m != other.vwap_5m) is (back + 1 < 300)
    assert (after.momentum != other.momentum) is (back + 1 < 30)
    assert (after.relative_volume != other.relative_volume) is (back + 1 < 1200)
    assert (after.volume_z != other.volume_z) is (back < 1200)


# --- Near misses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "values", "value", "threshold", "ratio"),
    [
        # A tenth of a percent of the price counts as far as a second without volume.
        (Condition.FIVE_MINUTE_VWAP, {"vwap_5m": 220.11}, 220.0, 220.11, 0.5),
        (Condition.FIVE_MINUTE_VWAP, {"vwap_5m": 220.0}, 220.0, 220.0, 0.0),
        (Condition.FIVE_MINUTE_VWAP, {"vwap_5m_change": -0.02}, -0.02, 0.0, 0.2),
        (Condition.ABOVE_VWAP, {"vwap_1m": 220.22}, 220.0, 220.22, 1.0),
        (Condition.VWAP_RISING, {"vwap_rising_s": 27}, 27, 30, 0.1),
        (Condition.VWAP_RISING, {"vwap_rising_s": 30, "vwap_1m_change": -0.02}, -0.02, 0.0, 0.2),
        (Condition.VWAP_RISING, {"vwap_rising_s": 30, "vwap_1m_change": 0.0}, 0.0, 0.0, 0.0),
        (Condition.VOLUME_SURGE, {"volume": 3000.0}, 3000.0, 4000.0, 0.25),
        (Condition.VOLUME_SURGE, {"volume": 0.0, "volume_p95": 0.0}, 0.0, 0.0, 0.0),
        # The same distance in price, that of the whole window of 30 s.
        (Condition.MOMENTUM, {"momentum": -FAR_PERCENT / 60}, -FAR_PERCENT / 60, 0.0, 0.5),
        (Condition.RELATIVE_VOLUME, {"relative_volume": 0.75}, 0.75, 1.5, 0.5),
        (Condition.SPY_LAG, {"benchmark_roc5": 0.35}, 0.25, 0.2, 0.5),
    ],
)
def test_how_far_a_near_miss_was(
    condition: Condition, values: dict[str, object], value: float, threshold: float, ratio: float
) -> None:
    missed = near_miss(Rules(), missing(condition, **values))
    assert missed is not None
    assert missed.condition is condition
    assert missed.value == pytest.approx(value)
    assert missed.threshold == pytest.approx(threshold)
    assert missed.ratio == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (Condition.FIVE_MINUTE_VWAP, {"vwap_5m": None, "vwap_5m_change": None}),
        (Condition.FIVE_MINUTE_VWAP, {"vwap_5m_change": None}),
        (Condition.ABOVE_VWAP, {"vwap_1m": None}),
        (Condition.VOLUME_SURGE, {"volume_p95": None, "volume_z": None}),
        (Condition.MOMENTUM, {"momentum": None}),
        (Condition.RELATIVE_VOLUME, {"relative_volume": None}),
        (Condition.SPY_LAG, {"benchmark_roc5": None}),
        (Condition.SPY_LAG, {"roc5": None}),
    ],
)
def test_what_is_undefined_was_not_near(condition: Condition, values: dict[str, object]) -> None:
    evaluation = missing(condition, **values)
    assert evaluation.sole_failure is condition
    assert near_miss(Rules(), evaluation) is None


def test_a_near_miss_is_one_condition_and_nothing_else() -> None:
    near = missing(Condition.VOLUME_SURGE, volume=3000.0)
    assert near_miss(Rules(), near) is not None
    assert near_miss(Rules(), missing(Condition.VOLUME_SURGE, gate=DeclineReason.COOLDOWN)) is None
    assert near_miss(Rules(), missing(Condition.VOLUME_SURGE, passes=(True,) * 7)) is None
    two = (False, False, True, True, True, True, True)
    assert near_miss(Rules(), missing(Condition.VOLUME_SURGE, passes=two)) is None
    left_out = (True, True, True, False, True, None, None)
    assert missing(Condition.VOLUME_SURGE, passes=left_out).sole_failure is Condition.VOLUME_SURGE


def test_what_holds_is_not_short() -> None:
    evaluation = missing(Condition.VOLUME_SURGE, volume=3000.0)
    for condition in Condition:
        measured = shortfall(Rules(), evaluation, condition)
        assert measured is not None
        assert (measured.ratio > 0) is (condition is Condition.VOLUME_SURGE)


# --- What the windows are asked besides ---


def test_closes_take_a_late_second_once_and_drop_what_is_not_there() -> None:
    closes = Closes(10)
    assert closes.put(5, bar(5)) == (True, True)
    assert closes.put(3, bar(3)) == (True, False)
    assert closes.put(3, bar(3)) == (False, False)
    assert closes.seconds == [3, 5]
    closes.drop(4)
    closes.drop(3)
    assert closes.seconds == [5]
    assert closes.close[3] is None


def test_a_bar_of_another_symbol_outside_the_session_is_nothing() -> None:
    signals = Signals(Rules(), SESSION)
    assert signals.record(bar(-60, symbol="QQQ")) == (False, False)


def test_a_price_is_as_old_as_the_end_of_its_second() -> None:
    signals = Signals(Rules(), SESSION)
    assert signals.price_age(at(100)) is None
    signals.record(bar(90))
    assert signals.price_age(at(100)) == 9 * SECOND
    assert signals.price_age(at(90)) == 0


# --- For a display -----------------------------------------------------------------------------------


def test_the_seconds_for_a_display_are_those_with_a_bar_and_need_no_evaluation() -> None:
    signals = Signals(SMALL, SESSION)
    assert traded_since(signals, SESSION.open) == []
    for second, price, volume in ((0, 214.0, 100.0), (3, 215.0, 300.0), (40, 216.0, 200.0)):
        signals.record(bar(second, price, volume, backfilled=True))
    found = traded_since(signals, at(3))
    assert [item.start for item in found] == [at(3), at(40)]
    assert found[0] == Traded(at(3), 215.0, 214.75, 214.75)
    # The short window (20 s) of second 40 holds its bar alone, the long one (60 s) all three.
    assert found[1][:3] == (at(40), 216.0, 216.0) and found[1].vwap_5m == pytest.approx(129_100 / 600)


def test_the_seconds_for_a_display_follow_a_correction_without_touching_what_is_decided() -> None:
    signals, untouched = Signals(SMALL, SESSION), Signals(SMALL, SESSION)
    for each in (signals, untouched):
        for second in range(30):
            each.record(bar(second, 215.0, 100.0))
            each.evaluate(bar(second, 215.0, 100.0), False)
        each.record(bar(20, 216.0, 100.0))
    corrected = traded_since(signals, at(20))[0]
    assert corrected.price == 216.0 and corrected.vwap_1m == pytest.approx(215.05)
    for each in (signals, untouched):
        each.record(bar(30, 215.5, 900.0))
    newest = bar(30, 215.5, 900.0)
    assert signals.evaluate(newest, False) == untouched.evaluate(newest, False)
