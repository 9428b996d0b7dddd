"""Figures of trades, the vault, and the ledger of what was tried."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from scipy import stats

from research.backtest import vault
from research.backtest.figures import trade_figures, wilson
from research.backtest.session import Order, SessionResult, TradeResult
from research.ledger import Ledger, LedgerError


def trade(result: float | None, fate: str = "taken") -> TradeResult:
    """A trade of which only the result matters."""
    return TradeResult(
        id="000000",
        contract="O:X",
        opened_at=0,
        closed_at=1,
        reason="stop loss",
        delta=0.4,
        spread_percent=2.0,
        entry=100,
        ask=100,
        mid_result=None,
        orders={5: Order(fate, 100, 100, result)},
        worst=None,
        best=None,
        kept=None,
        attribution=None,
    )


def sessions(*days: Sequence[float | None]) -> list[SessionResult]:
    """Sessions with such results."""
    return [
        SessionResult(
            date=(date(2025, 1, 1) + timedelta(days=number)).isoformat(),
            evaluations=0,
            signals=0,
            signal_moves={},
            usual_moves={},
            trades=[trade(each, "taken" if each is not None else "not taken") for each in results],
            missing_blocks=0,
            missing_seconds={},
        )
        for number, results in enumerate(days)
    ]


def test_figures_of_a_handful_of_trades_are_those_computed_by_hand() -> None:
    found = trade_figures(sessions([0.2, -0.1], [], [-0.1, None, -0.2], [0.0, 0.3]), 5)
    assert (found.told, found.taken, found.fates) == (7, 6, {"not taken": 1})
    assert found.mean == pytest.approx(0.1 / 6) and found.median == pytest.approx(-0.05)
    assert found.hits == pytest.approx(0.5)
    assert found.profit_factor == pytest.approx(0.5 / 0.4)
    assert found.payoff == pytest.approx((0.5 / 3) / (0.4 / 3))
    assert found.losing_streak == 3


def test_without_a_trade_there_is_no_figure() -> None:
    found = trade_figures(sessions([], [None]), 5)
    assert found.taken == 0 and found.told == 1
    assert (found.mean, found.hits, found.hits_by_day, found.hits_by_trade, found.payoff) == (None,) * 5


def test_wilsons_interval_is_that_of_another_program() -> None:
    other = stats.binomtest(13, 40).proportion_ci(0.95, "wilson")
    assert wilson(13, 40).low == pytest.approx(other.low)
    assert wilson(13, 40).high == pytest.approx(other.high)
    assert wilson(0, 5).low == pytest.approx(0) and wilson(0, 5).high < 0.5


def test_trades_of_one_day_that_go_alike_make_the_interval_by_days_wider() -> None:
    alike = trade_figures(sessions(*([[0.1] * 5, [-0.1] * 5] * 10)), 5)
    mixed = trade_figures(sessions(*([[0.1, -0.1] * 5] * 10)), 5)
    for found in (alike, mixed):
        assert found.hits == 0.5 and found.hits_by_trade is not None and found.hits_by_day is not None
    assert alike.hits_by_day is not None and alike.hits_by_trade is not None and mixed.hits_by_day is not None
    width = alike.hits_by_day.high - alike.hits_by_day.low
    assert width > 1.5 * (alike.hits_by_trade.high - alike.hits_by_trade.low)
    assert mixed.hits_by_day.high == mixed.hits_by_day.low == 0.5


@pytest.mark.parametrize(
    ("count", "sealed"), [(0, 0), (5, 5), (20, 20), (25, 20), (100, 20), (200, 40), (252, 50)]
)
def test_the_vault_holds_the_newest_fifth_and_at_least_twenty(count: int, sealed: int) -> None:
    days = [(date(2025, 1, 1) + timedelta(days=number)).isoformat() for number in range(count)]
    open_days, hidden = vault.split(days[::-1])
    assert len(hidden) == sealed and open_days + hidden == days


def test_the_ledger_counts_each_set_of_rules_once_and_by_its_span(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "history")
    assert ledger.trials("IWM", ["2025-01-02"]) == 0 and not ledger.path.exists()
    for rules in ("a", "b", "a"):
        ledger.enter(rules, "IWM", ["2025-01-02", "2025-01-03"], at=1, command="backtest")
    ledger.enter("c", "IWM", ["2025-06-02"], at=1, command="backtest")
    ledger.enter("d", "QQQ", ["2025-01-02"], at=1, command="backtest")
    assert ledger.trials("IWM", ["2025-01-03", "2025-01-01"]) == 2
    assert ledger.trials("IWM", ["2025-01-02", "2025-12-31"]) == 3
    assert ledger.trials("IWM", []) == 0
    ledger.enter("b", "IWM", ["2025-01-06"], at=9, command="sweep")
    ledger.enter("e", "IWM", ["2025-01-06"], at=0, command="sweep")
    assert ledger.entries("IWM", ["2025-01-01", "2025-01-31"]) == [
        ("e", 0, "sweep", 1),
        ("a", 1, "backtest", 2),
        ("b", 1, "backtest", 3),
    ]
    assert ledger.entries("IWM", []) == [] == Ledger(tmp_path / "nowhere").entries("IWM", ["2025-01-02"])


def test_the_ledger_never_forgets_that_the_vault_was_opened(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.openings("IWM") == []
    ledger.open_vault("IWM", "a", 20, at=5)
    ledger.open_vault("IWM", "b", 40, at=3)
    assert [(opening.at, opening.rules, opening.sessions) for opening in ledger.openings("IWM")] == [
        (3, "b", 40),
        (5, "a", 20),
    ]
    assert ledger.openings("QQQ") == []


def test_another_program_s_database_stays_as_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with sqlite3.connect(ledger.path) as book:
        book.execute("CREATE TABLE mine (x)")
    book.close()
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match="another program's database"):
        ledger.enter("a", "IWM", ["2025-01-02"], at=1, command="backtest")
    assert ledger.path.read_bytes() == before
    ledger.path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.trials("IWM", ["2025-01-02"])
