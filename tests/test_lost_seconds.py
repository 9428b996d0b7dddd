"""Lost seconds are not quiet ones: what the conditions say of a tape that nobody has seen, and when the gate opens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine
from events import Bar, Condition, Covered, DeclineReason, Evaluation, FeedCause, FeedLost, FeedRestored
from rules import Rules
from signals import Signals
from tests.builders import SESSION, at, bar

LOST, BACK = 1_500, 2_400
"""Seconds of the open between which an even tape is not seen: 15 minutes."""


def even(start: int, end: int, *, backfilled: bool = False) -> list[Bar]:
    """500 shares each second at the same price."""
    return [bar(second, backfilled=backfilled) for second in range(start, end)]


def seen(second: int, *bars: Bar, gaps: tuple[tuple[int, int], ...] = ()) -> Evaluation:
    """What is said at a second of a tape with these bars and gaps."""
    signals = Signals(Rules(), SESSION)
    for item in [*bars, bar(second)]:
        signals.record(item)
    return signals.evaluate(bar(second), was_blind=False, gaps=gaps)


@pytest.mark.parametrize("after", [0, 59, 60, 266, 267, 299, 1_199, 1_200])
def test_fifteen_lost_minutes_of_an_even_tape_leave_it_even(after: int) -> None:
    """Counted as quiet they made the last minute 3.59 times the usual, for 267 s."""
    bars, gap = [*even(0, LOST), *even(BACK, BACK + after)], (at(LOST), at(BACK))
    lost = seen(BACK + after, *bars, gaps=(gap,))
    assert lost.relative_volume == pytest.approx(1.0)
    assert lost.by_condition[Condition.RELATIVE_VOLUME] is False
    quiet = seen(BACK + after, *bars)
    if 60 <= after <= 266:
        assert quiet.relative_volume is not None and quiet.relative_volume > 1.5


def test_what_rest_has_filled_of_a_gap_counts_and_gaps_may_overlap() -> None:
    bars = [*even(0, LOST), *even(LOST, 2_000, backfilled=True), *even(BACK, BACK + 100)]
    gaps = ((at(LOST), at(BACK)), (at(2_100), at(BACK)))
    assert seen(BACK + 100, *bars, gaps=gaps).relative_volume == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 900)), max_size=4),
    st.integers(1_200, 2_500),
    st.integers(0, 900),
)
def test_however_an_even_tape_is_torn_it_stays_even(
    tears: list[tuple[int, int]], second: int, filled: int
) -> None:
    lost = {each for start, length in tears for each in range(start, start + length)}
    bars = [bar(each) for each in range(second) if each not in lost or each < filled]
    gaps = tuple((at(start), at(start + length)) for start, length in tears)
    assert seen(second, *bars, gaps=gaps).relative_volume == pytest.approx(1.0)


def torn(*covered: str) -> Engine:
    """An engine whose socket was down for those 15 minutes; REST has answered for some of the symbols."""
    engine = Engine(Rules(), SESSION)
    engine.handle(at(-300), FeedRestored())
    for start, end in ((0, LOST), (BACK, BACK + 100)):
        if start:
            engine.handle(at(LOST + 3), FeedLost(cause=FeedCause.DROPPED))
            engine.handle(at(BACK), FeedRestored())
            for symbol in covered:
                if symbol == "IWM":
                    for item in even(LOST, BACK, backfilled=True):
                        engine.handle(at(BACK + 2), item)
                engine.handle(at(BACK + 2), Covered(symbol=symbol, start=at(0), end=at(BACK)))
        for second in range(start, end):
            engine.handle(at(second + 3), bar(second, 660.0, symbol="SPY"))
            engine.handle(at(second + 3), bar(second))
    return engine


@pytest.mark.parametrize(
    ("covered", "gate"),
    [
        ((), DeclineReason.NOT_COVERED),
        (("IWM",), DeclineReason.NOT_COVERED),
        (("SPY",), DeclineReason.NOT_COVERED),
        (("IWM", "SPY"), None),
    ],
)
def test_the_gate_opens_when_both_symbols_are_covered(
    covered: tuple[str, ...], gate: DeclineReason | None
) -> None:
    evaluation = torn(*covered).evaluation
    assert evaluation is not None
    assert evaluation.gate is gate
    assert evaluation.relative_volume == pytest.approx(1.0)
