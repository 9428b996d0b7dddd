"""Stories through `Engine.handle`: an entry, and every gate that declines one."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from events import (
    SECOND,
    Bar,
    Covered,
    Declined,
    DeclineReason,
    FeedRestored,
    Hold,
    HoldReason,
    Opened,
    Shutdown,
    Tick,
)
from tests.builders import CALL, EARLY_SESSION, SESSION, Story, at, bar, dollars
from tests.surge import QUIET_END, calm, opened, quick, reasons, sold, surge


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


def test_both_vwaps_of_the_last_evaluation_are_to_be_had() -> None:
    story = calm(Story(quick()))
    assert story.evaluation is not None
    made = story.evaluation.vwap_1m, story.evaluation.vwap_5m
    assert story.engine.signals.vwaps == pytest.approx(made)
