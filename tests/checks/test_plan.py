"""What a chain and bars say about the plan, and how many calls pass the rules."""

from __future__ import annotations

import pytest

from checks.check import Severity
from checks.plan import QUOTE_AGE_SECONDS, judge_chain, judge_contracts, nearest
from events import SECOND, Chain, ChainRow
from tests.checks.given import BEFORE, IN_SESSION, MINUTE, SESSION, settings_of


def row(**changes: object) -> ChainRow:
    values: dict[str, object] = {
        **{"contract": "O:IWM251002C00215000", "strike": 215_000, "shares": 100.0},
        **{"bid": 13_900, "ask": 14_100, "bid_size": 35.0, "ask_size": 40.0},
        **{"quoted_at": IN_SESSION - SECOND, "real_time": True},
        **{"iv": 0.28, "delta": 0.42, "open_interest": 1000.0},
    }
    return ChainRow(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "now", "severity", "words"),
    [
        ((), IN_SESSION, Severity.FAIL, "none"),
        ((), BEFORE, Severity.WARNING, "none listed yet"),
        (
            (row(),),
            IN_SESSION,
            Severity.OK,
            "1 strikes, 1 quoted, REAL-TIME, 1 with delta, the newest 1s old",
        ),
        ((row(), row(quoted_at=0)), IN_SESSION, Severity.OK, "2 strikes, 1 quoted"),
        ((row(bid=0, ask=0),), IN_SESSION, Severity.FAIL, "no last_quote"),
        ((row(real_time=False), row()), IN_SESSION, Severity.FAIL, "not REAL-TIME"),
        ((row(quoted_at=IN_SESSION - 5 * MINUTE),), IN_SESSION, Severity.WARNING, "the newest 5m00s old"),
        ((row(quoted_at=IN_SESSION - 15 * SECOND),), IN_SESSION, Severity.OK, "the newest 15s old"),
        ((row(quoted_at=IN_SESSION - 16 * SECOND),), IN_SESSION, Severity.WARNING, "the newest 16s old"),
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), BEFORE, Severity.OK, "can be told only after the open"),
        # In the first minutes, yesterday's quotes are still what there is.
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), SESSION.open + MINUTE, Severity.OK, "REAL-TIME"),
    ],
)
def test_what_a_chain_says(rows: tuple[ChainRow, ...], now: int, severity: Severity, words: str) -> None:
    check = judge_chain(Chain(rows=rows), SESSION, "IWM", now)
    assert check.severity is severity
    assert words in check.found
    assert bool(check.do) is (severity is not Severity.OK)


def test_how_many_calls_fall_to_each_rule() -> None:
    """Hand-made: one call falls to each of four rules, and one is taken."""
    rows = (
        row(contract="O:IWM251002C00213000", strike=213_000, bid=0),
        row(contract="O:IWM251002C00214000", strike=214_000, ask=16_000),
        row(),
        row(contract="O:IWM251002C00216000", strike=216_000, open_interest=3.0),
        row(contract="O:IWM251002C00217000", strike=217_000, delta=0.05, bid=2_100, ask=2_150),
    )
    rules = settings_of().rules
    check = judge_contracts(Chain(rows=rows), rules, SESSION, 214.6, IN_SESSION)
    assert check.line().strip() == (
        "✓ contracts: O:IWM251002C00215000 (Δ0.42, spread 1.4%) would be chosen now; of 5 calls, rejected by: "
        "unquoted 1, spread 1, open interest 1, delta 1"
    )
    check = judge_contracts(Chain(rows=rows[:2]), rules, SESSION, 214.6, IN_SESSION)
    assert check.severity is Severity.WARNING
    assert check.found == "contracts: none passes right now; of 2 calls, rejected by: unquoted 1, spread 1"
    check = judge_contracts(Chain(rows=rows[2:3]), rules, SESSION, 214.6, IN_SESSION)
    assert check.found.endswith("would be chosen now; of 1 call")


def test_a_chain_is_said_to_stand_still_from_when_the_worker_takes_it_so() -> None:
    assert settings_of().rules.quote_frozen_seconds == QUOTE_AGE_SECONDS


@pytest.mark.parametrize(
    ("age_s", "told"),
    [(15, "would be chosen now"), (16, "none passes right now; of 1 call, rejected by: delayed 1")],
)
def test_a_chain_that_stands_still_passes_no_call(age_s: int, told: str) -> None:
    """Though it has just come, and says REAL-TIME."""
    frozen = row(quoted_at=IN_SESSION - age_s * SECOND)
    check = judge_contracts(Chain(rows=(frozen,)), settings_of().rules, SESSION, 214.6, IN_SESSION)
    assert told in check.found


def test_the_nearest_calls_with_and_without_a_price() -> None:
    rows = tuple(
        row(contract=f"O:IWM251002C00{strike}000", strike=strike * 1000) for strike in range(210, 221)
    )
    chain = Chain(rows=rows)
    assert nearest(chain, 212.2, 2) == ["O:IWM251002C00212000", "O:IWM251002C00213000"]
    assert nearest(chain, None, 1) == ["O:IWM251002C00215000"]
    assert nearest(None, 212.2, 2) == []
