"""Faults are asked for by name, happen as often as asked, and are all tried."""

from __future__ import annotations

from pathlib import Path

import pytest

import utils
from events import SECOND
from sim.broken import BROKEN_EVENTS
from sim.faults import FAULTS, Faults
from sim.wire import bar_event
from tests.patience import PatientClock
from tests.sim.clients import CHAIN
from tests.sim.days import OPEN, day, regular


def test_faults_are_asked_for_by_name() -> None:
    faults = Faults(utils.ScaledClock(OPEN, 1.0))
    with pytest.raises(ValueError, match="no fault named 'earthquake'; there are: drop"):
        faults.add("earthquake")
    with pytest.raises(ValueError, match="takes no colour; it takes: feed, stage"):
        faults.add("drop", colour="red")
    faults.add("rest_500", path="/v2/aggs", times=2)
    assert faults.take("rest_500", path=CHAIN) is None
    assert [bool(faults.take("rest_500", path="/v2/aggs/ticker/IWM")) for _ in range(3)] == [
        True,
        True,
        False,
    ]
    faults.add("silence", feed="stocks")
    assert faults.find("silence", feed="options") is None and faults.take("silence", feed="stocks")
    faults.clear("silence")
    assert faults.find("silence", feed="stocks") is None
    assert faults.fired == {"rest_500": 2, "silence": 1}


async def test_a_fault_for_some_seconds_ends_by_the_clock() -> None:
    clock = PatientClock(OPEN, 100.0)
    faults = Faults(clock)
    fault = faults.add("market_closed", seconds=20)
    assert faults.find("market_closed") is fault and fault.until is not None
    await clock.sleep((fault.until - clock.now()) / SECOND + 0.1)
    assert faults.find("market_closed") is None


@pytest.mark.parametrize("kind", BROKEN_EVENTS)
def test_broken_events_are_broken(kind: str) -> None:
    good = bar_event(regular(day(), "IWM")[9])
    assert BROKEN_EVENTS[kind](dict(good)) != good
    assert good == bar_event(regular(day(), "IWM")[9])


def test_every_fault_is_tried_in_this_folder() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in FAULTS if f'"{name}"' not in text] == []
