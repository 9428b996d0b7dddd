"""The verdict: each case of its table, and each hurdle of *wins* by itself."""

from __future__ import annotations

from typing import Any

import pytest

from research.statistics.intervals import Interval
from research.statistics.verdict import CASES, HURDLES, Evidence, Verdict, reasons, verdict

WINNING = Evidence(
    sessions=250,
    trades=400,
    trades_are_known=True,
    mean=Interval(0.001, 0.003),
    dsr=0.97,
    pbo=0.1,
    best_day_share=0.2,
    among_several=True,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Verdict.WINS),
        ({"sessions": 19}, Verdict.TOO_LITTLE),
        ({"sessions": 20}, Verdict.WINS),
        ({"trades": 29}, Verdict.TOO_LITTLE),
        ({"trades": 30}, Verdict.WINS),
        ({"trades": 29, "trades_are_known": False}, Verdict.WINS),
        ({"trades": 19, "trades_are_known": False}, Verdict.TOO_LITTLE),
        ({"mean": Interval(-0.003, -0.001)}, Verdict.LOSES),
        ({"mean": Interval(-0.003, 0.0)}, Verdict.LUCK),
        ({"mean": Interval(0.0, 0.003)}, Verdict.LUCK),
        ({"dsr": 0.9499}, Verdict.LUCK),
        ({"dsr": 0.95}, Verdict.WINS),
        ({"dsr": None}, Verdict.LUCK),
        ({"pbo": 0.5}, Verdict.LUCK),
        ({"pbo": 0.49}, Verdict.WINS),
        ({"pbo": None}, Verdict.LUCK),
        ({"pbo": None, "among_several": False}, Verdict.WINS),
        ({"best_day_share": 0.51}, Verdict.LUCK),
        ({"best_day_share": 0.5}, Verdict.WINS),
        ({"best_day_share": None}, Verdict.LUCK),
    ],
)
def test_the_first_case_that_applies_is_the_verdict(changes: dict[str, Any], expected: Verdict) -> None:
    evidence = WINNING._replace(**changes)
    assert verdict(evidence) is expected
    assert reasons(evidence)


def test_what_stands_in_the_way_is_named_one_by_one() -> None:
    poor = WINNING._replace(mean=Interval(-0.1, 0.1), dsr=0.5, pbo=0.7, best_day_share=0.8)
    assert reasons(poor) == [
        "the 95% interval of the mean day does not lie above 0",
        "the deflated Sharpe ratio is 0.50, below 0.95",
        "the probability of backtest overfitting is 0.70, not below 0.5",
        "one day brings 80% of the total",
    ]
    assert reasons(WINNING._replace(pbo=None)) == [
        "there are too few sessions to tell a choice from overfitting"
    ]


def test_every_verdict_is_a_case_and_the_last_case_takes_everything() -> None:
    assert {case.verdict for case in CASES} == set(Verdict)
    assert CASES[-1].applies(WINNING)
    assert len(HURDLES) == 4
