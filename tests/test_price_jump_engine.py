"""A share price that jumps, told to the engine: no entry, no exit and no spot come of what is kept apart."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from engine import Engine
from events import Chain, Closed, Opened, Tick
from tests.builders import SESSION, Story, at, bar, chain, quote, row
from tests.surge import QUIET_END, calm, opened, quick, surge
from tests.test_price_jump import ABSURD
from worker.narrator import Narrator


def test_one_print_ten_percent_off_buys_nothing_and_is_nobodys_spot() -> None:
    story = calm(Story(quick()))
    before = story.evaluation
    second = QUIET_END
    story.tell(second + 3, chain(second + 3, row(), row(236.0, 1.39, 1.41)))
    assert story.tell(second + 3, bar(second, 236.5, 50_000.0)) == []
    assert story.evaluation is before
    assert story.engine.signals.price == 215.0
    assert story.engine.quotes.nearest(1) == (row().contract,)
    made = surge(story, start=second + 1)
    assert [d.price < 216 for d in made if isinstance(d, Opened)] == [True]


def test_a_fall_is_evaluated_at_the_bar_that_confirms_it_and_not_for_the_one_before() -> None:
    story = calm(Story(quick()))
    count = story.engine.evaluations
    story.tell(QUIET_END + 3, bar(QUIET_END, 207.0))
    assert story.engine.evaluations == count
    story.tell(QUIET_END + 4, bar(QUIET_END + 1, 206.5))
    assert story.engine.evaluations == count + 1
    assert (story.evaluation.start, story.evaluation.price) == (at(QUIET_END + 1), 206.5)


def test_no_exit_comes_from_a_price_that_is_kept_apart() -> None:
    """A mark 20 % under its peak sells below the VWAP only; the print that lies below it is doubted."""
    story, decision, second = opened()
    story.tell(second + 1, quote(second + 1, 1.99, 2.01))
    story.tell(second + 4, quote(second + 4, 1.59, 1.61))
    assert story.tell(second + 6, bar(second + 3, 193.5, 50_000.0)) == []
    assert story.tick(second + 7, second + 9) == []
    (made,) = story.tell(second + 9, bar(second + 6, 214.5))
    assert isinstance(made, Closed)
    assert made.price == 214.5
    assert decision.price > 215


NOISE = st.lists(
    st.tuples(
        st.integers(0, 220), ABSURD, st.sampled_from(("IWM", "SPY")), st.integers(0, 100), st.booleans()
    ),
    max_size=25,
    unique_by=lambda item: (item[0] // 2, item[2]),
)


def told(noise: list[tuple[int, float, str, int, bool]], seed: int) -> Story:
    """A market that falls, rests and surges, with a chain and quotes, and absurd prints among its bars."""
    dice = random.Random(seed)
    story = Story(quick())
    story.connect()
    price = 215.0
    absurd: dict[int, list[tuple[float, str, int, bool]]] = {}
    for second, close, symbol, back, is_rest in noise:
        absurd.setdefault(2 * (second // 2), []).append((close, symbol, back, is_rest))
    for second in range(220):
        price = round(price + (0.02 if 100 < second % 130 < 112 else dice.gauss(0, 0.01)), 2)
        volume = 500.0 + second % 7 + (1500.0 if 100 < second % 130 < 112 else 0.0)
        now = second + 3
        for close, symbol, back, is_rest in absurd.get(second, []):
            # Of this second, whose good bar then corrects it, or of one before.
            stray = bar(max(0, second - back), close, 90_000.0, symbol=symbol, backfilled=is_rest)
            story.tell(now, stray)
        story.tell(now, bar(second, round(price * 3, 2), symbol="SPY"))
        story.tell(now, chain(now, row()))
        story.tell(now, bar(second, price, volume))
        story.tell(now, Tick())
    return story


@settings(max_examples=40, deadline=None)
@given(NOISE, st.integers(0, 3))
def test_nothing_ever_comes_of_absurd_prints_and_a_restart_agrees(
    noise: list[tuple[int, float, str, int, bool]], seed: int
) -> None:
    """However they fall (of this second or of one long past, from the socket or from REST): alone, none is believed."""
    lows = {"Opened": 205.0, "Declined": 205.0}
    story = told([item for item in noise if item[0] > 3], seed)
    for _, decision in story.decisions:
        price: Any = getattr(decision, "price", None)
        if price is not None and type(decision).__name__ in lows:
            assert 213 < price < 218
    engine = story.engine
    assert engine.signals.price is not None
    assert 213 < engine.signals.price < 218
    restored = Engine(story.engine.rules, SESSION)
    for now, event, decisions in story.log:
        if not isinstance(event, Chain):
            restored.restore(now, event, decisions)
    assert restored.signals.price == engine.signals.price
    assert restored.signals.vwap == engine.signals.vwap
    last = bar(230, 215.0)
    assert engine.signals.record(last) == restored.signals.record(last)
    assert engine.signals.evaluate(last, False) == restored.signals.evaluate(last, False)
    assert engine.signals.evaluate(last, False).vwap_1m == pytest.approx(215, abs=2)


# --- The log ---


def test_a_doubted_price_is_logged_at_most_once_a_minute() -> None:
    story = calm(Story(quick()))
    journalist = Narrator(story.engine.rules, story.engine)
    with capture_logs() as lines:
        for second in range(QUIET_END, QUIET_END + 70):
            story.tell(second + 3, bar(second, 236.5 if second in {101, 103, 150} else 215.0))
            story.tell(second + 3, Tick())
            journalist.fact(at(second + 3), Tick())
    texts = [line["text"] for line in lines if line["event"] == "price_doubted"]
    assert texts == [
        "🤨 IWM $236.50 at 09:31:41 is +10.0% from its last closes: set aside until something confirms it (1 today)",
        "🤨 IWM $236.50 at 09:32:30 is +10.0% from its last closes: set aside until something confirms it (3 today)",
    ]
