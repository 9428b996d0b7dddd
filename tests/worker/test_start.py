"""The start's table of stages: every step that may come, and every one that may not."""

from __future__ import annotations

from itertools import product

import pytest

from worker.start import IS_SETTLED, MAY_ASK, TRANSITIONS, Stage, StartEvent, after

IMPOSSIBLE = {(Stage.FEED_FIRST, StartEvent.SETTLED), (Stage.UNDER_WAY, StartEvent.SETTLED)}
"""Nothing is settled twice."""


@pytest.mark.parametrize(("stage", "step"), list(product(Stage, StartEvent)))
def test_every_pair_is_in_the_table_or_is_refused(stage: Stage, step: StartEvent) -> None:
    if (stage, step) in IMPOSSIBLE:
        with pytest.raises(KeyError):
            after(stage, step)
    else:
        assert after(stage, step) is TRANSITIONS[stage, step]


@pytest.mark.parametrize(("stage", "step"), list(TRANSITIONS))
def test_a_step_takes_nothing_back(stage: Stage, step: StartEvent) -> None:
    reached = after(stage, step)
    assert (stage in MAY_ASK or step is StartEvent.MAY_ASK) is (reached in MAY_ASK)
    assert (stage in IS_SETTLED or step is StartEvent.SETTLED) is (reached in IS_SETTLED)


def test_both_steps_in_any_order_end_the_start() -> None:
    assert after(after(Stage.BEGUN, StartEvent.MAY_ASK), StartEvent.SETTLED) is Stage.UNDER_WAY
    assert after(after(Stage.BEGUN, StartEvent.SETTLED), StartEvent.MAY_ASK) is Stage.UNDER_WAY


def test_nothing_is_settled_or_asked_before_its_step() -> None:
    assert Stage.BEGUN not in IS_SETTLED | MAY_ASK
    assert after(Stage.BEGUN, StartEvent.MAY_ASK) not in IS_SETTLED
    assert after(Stage.BEGUN, StartEvent.SETTLED) not in MAY_ASK
