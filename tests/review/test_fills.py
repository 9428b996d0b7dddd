"""The positions of a session, and the table of what following them late comes to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from events import AlertKind, AlertOutcome, DeclineReason, Outcome, Tick, Withdrawn
from quote_history import OLDEST_S
from review.fills import Trade, Trades, dollars, table
from review.replay import Summary
from rules import Rules
from tests.builders import CALL, Story, at, quote
from tests.followed_trade import closed_at, opened_at


def played(*, sell: float | None = 200, last: float = 300) -> Trades:
    """A trade at second 100 while the quote climbs a cent a second, sold while it falls a cent a second."""
    trades = Trades()
    for second in range(90, round(last)):
        climb = (second - 100) / 100
        mid = 1.40 + climb if sell is None or second < sell else 1.40 - (second - sell) / 100
        trades.record(at(second), quote(second, round(mid - 0.01, 2), round(mid + 0.01, 2)), [])
        if second == 100:
            trades.record(at(second), Tick(), [opened_at(second)])
        if second == sell:
            trades.record(at(second), Tick(), [closed_at(1.40, 1.39)])
    return trades


def test_results_against_entry_mid_and_the_crossed_spread() -> None:
    trade = Trade(
        opened_at=at(100), opened=opened_at(100), bought=None, closed_at=at(200), closed=closed_at(1.68, 1.65)
    )
    assert trade.told_percent == pytest.approx((1.68 / 1.41 - 1) * 100)
    assert trade.mid_percent == pytest.approx((1.68 / 1.40 - 1) * 100)
    assert trade.crossed_percent == pytest.approx((1.65 / 1.41 - 1) * 100)
    assert dollars(trade) == pytest.approx(24.0)


def test_a_close_without_any_price() -> None:
    trade = Trade(
        opened_at=at(100), opened=opened_at(100), bought=None, closed_at=at(200), closed=closed_at(None, None)
    )
    assert (trade.told_percent, trade.mid_percent, trade.crossed_percent) == (None, None, None)
    assert dollars(trade) is None


def test_the_table_has_every_delay_and_a_mean_of_what_was_taken() -> None:
    lines = table(played())
    assert lines == [
        "Followed by hand, in at the ask and out at the bid, so many seconds after each push (percent less $0.65 a side):",
        "           0 s                5 s                15 s               30 s               60 s",
        "  #7f3a91  1.41→1.39 -2.3%    1.46→1.34 -9.1%    1.56*→1.24         1.71*→1.09         2.01*→0.79",
        "  mean     -2.3% (n 1)        -9.1% (n 1)        —                  —                  —",
        "  * above what the BUY said to pay at most: not taken, and not in the mean",
    ]
    assert table(Trades()) == []


def test_the_table_says_where_no_quote_is_known() -> None:
    text = "\n".join(table(played(last=206)))
    assert "1.56*→— " in text
    assert f"— no quote was recorded in the {OLDEST_S} s before" in text


# --- The summary -------------------------------------------------------------------------------------


def test_a_withdrawn_entry_is_no_trade() -> None:
    summary = Summary()
    for second in range(100, 110):
        decisions = [opened_at(second)] if second == 100 else []
        summary.step(at(second), quote(second, 1.39, 1.41), decisions, None)
    withdrawn = Withdrawn(id="7f3a91", contract=CALL, detail="older than 30 s")
    outcome = AlertOutcome(kind=AlertKind.BUY, id="7f3a91", outcome=Outcome.UNSENT, attempts=3)
    summary.step(at(130), outcome, [withdrawn], None)
    lines = summary.trade_lines(Rules())
    assert lines[0] == "By hand, one contract each, acting 15 s after each push: no trade"
    assert lines[2].endswith("withdrawn, nobody was told")
    assert len(lines) == 3


def test_an_open_position_is_said() -> None:
    summary = Summary()
    summary.step(at(100), quote(100, 1.39, 1.41), [opened_at(100)], None)
    lines = summary.trade_lines(Rules())
    assert "  #7f3a91  O:IWM251002C00215000  09:31:40 $1.41  still open" in lines
    assert any("1.41→—" in line for line in lines)


def test_closed_trades_are_summed_up() -> None:
    summary = Summary()
    summary.step(at(100), quote(100, 1.39, 1.41), [opened_at(100)], None)
    summary.step(at(220), quote(220, 1.19, 1.21), [closed_at(1.20, 1.19)], None)
    summary.step(at(300), Tick(), [], None)
    text = "\n".join(summary.trade_lines(Rules()))
    assert "09:31:40 $1.41 → 09:33:40 $1.20 (2m00s)  peak $1.60  Stop loss -14.9% (limit -15%)" in text
    assert "P&L told -14.9%, mid→mid -14.3%, ask→bid -15.6% (−$22.00 a contract)" in text
    assert (
        "acting 15 s after each push: 1 trade, 0 up, 1 down, −$23 after fees (at the push's own prices, 0 s: −$23)"
        in text
    )


def test_signals_are_counted_by_gate_and_spaced() -> None:
    story = Story(Rules(benchmark="", relative_volume_min=0.0)).connect()
    story.bars(0, 700, step=0.0)
    summary = Summary()
    evaluation = story.evaluation
    story_passes = tuple(True if passed is not None else None for passed in evaluation.passes)
    for second, gate in ((700, None), (701, None), (999, None), (1000, None), (1300, None)):
        held = replace(evaluation, start=at(second), passes=story_passes, gate=gate)
        summary.step(at(second + 3), Tick(), [], held)
    warm_up = replace(evaluation, start=at(500), passes=story_passes, gate=DeclineReason.WARM_UP)
    summary.step(at(503), Tick(), [], warm_up)
    fallen = (False, *story_passes[1:])
    summary.step(at(1400), Tick(), [], replace(evaluation, start=at(1397), passes=fallen))
    assert summary.signal_lines(Rules()) == [
        "7 evaluations; all conditions met in 6: 5 with every gate open, 1 warm-up",
        "With every gate open and at least 300 s apart: 3",
    ]
    assert summary.trade_lines(Rules()) == ["No trades."]
