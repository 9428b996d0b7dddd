"""What log, report and page say about conditions, gates and decisions."""

from __future__ import annotations

import pytest

from events import (
    SECOND,
    Closed,
    Condition,
    ContractRule,
    Declined,
    DeclineReason,
    Evaluation,
    ExitReason,
    HoldReason,
    Opened,
    Shortfall,
)
from wording import (
    CONDITIONS,
    conditions_line,
    entry_line,
    exit_line,
    feed_active_line,
    feed_quiet_line,
    gate_line,
    lag_text,
    miss_text,
    selection_line,
    signal_line,
)

NOW = 1_759_416_052 * SECOND
"""2025-10-02 10:40:52 in New York."""


def evaluation(**changes: object) -> Evaluation:
    """An evaluation of the examples, with ``changes``."""
    values: dict[str, object] = {
        "start": NOW,
        "symbol": "IWM",
        "price": 220.5,
        "vwap_1m": 220.3,
        "vwap_5m": 220.1,
        "vwap_5m_change": 0.0121,
        "vwap_distance": (220.5 / 220.3 - 1) * 100,
        "vwap_rising_s": 12,
        "volume": 4200.0,
        "volume_p95": 5000.0,
        "volume_z": 1.23,
        "momentum": 0.0234,
        "relative_volume": 1.83,
        "roc5": 0.10,
        "benchmark_roc5": 0.15,
        "passes": (True, True, False, False, True, True, True),
    }
    return Evaluation(**{**values, **changes})  # type: ignore[arg-type]


def test_every_condition_has_a_row() -> None:
    assert set(CONDITIONS) == set(Condition)


def test_the_minute_lines() -> None:
    assert (
        feed_active_line("IWM", 220.5, 220.3, 1_250_000)
        == "📊 Data feed active: IWM $220.50, VWAP $220.30, Vol 1,250,000"
    )
    assert feed_quiet_line("IWM", 220.5, 65_000_000) == "⏳ Data feed quiet: IWM $220.50 is 1m05s old"
    assert feed_active_line("IWM", None, None, 0) == "📊 Data feed active: IWM n/a, VWAP n/a, Vol 0"
    assert conditions_line(evaluation()) == (
        "📈 Signal conditions: Price>$220.30=True, VWAP↑=False, Vol surge=False (Z1.2), Momentum=+0.023, "
        "5m VWAP=True (+0.012%), RelVol=True (1.8), SPY lag=True (+0.05)"
    )


def test_undefined_values_and_conditions_left_out() -> None:
    nothing = evaluation(
        vwap_1m=None,
        vwap_5m_change=None,
        volume_z=None,
        momentum=None,
        relative_volume=None,
        benchmark_roc5=None,
        passes=(False,) * 7,
    )
    assert conditions_line(nothing) == (
        "📈 Signal conditions: Price>n/a=False, VWAP↑=False, Vol surge=False (Z n/a), Momentum=n/a, "
        "5m VWAP=False (n/a), RelVol=False (n/a), SPY lag=False (no SPY)"
    )
    left_out = evaluation(passes=(True, True, False, False, True, None, None))
    line = conditions_line(left_out)
    assert line.endswith("Momentum=+0.023, 5m VWAP=True (+0.012%)")


def test_what_the_lag_behind_the_benchmark_lacks_is_named() -> None:
    assert "SPY lag=False (no IWM base)" in conditions_line(evaluation(roc5=None, passes=(False,) * 7))
    assert lag_text(evaluation(benchmark_roc5=None), "SPY") == "no SPY"
    assert lag_text(evaluation(benchmark_roc5=None, has_benchmark=True), "SPY") == "no SPY base"


def test_every_condition_has_its_place_in_the_line() -> None:
    names = ("5m VWAP", "Price>$220.30", "VWAP↑", "Vol surge", "Momentum", "RelVol", "SPY lag")
    for index, (condition, name) in enumerate(zip(Condition, names, strict=True)):
        if condition is Condition.MOMENTUM:
            continue
        passes = tuple(position == index for position in range(7))
        line = conditions_line(evaluation(passes=passes))
        assert [part.split("=")[0] for part in line.split(": ", 1)[1].split(", ") if "=True" in part] == [
            name
        ]


def test_the_signal_line() -> None:
    assert signal_line(evaluation(volume_z=2.8, momentum=0.087)) == (
        "🚀 MOMENTUM SIGNAL: IWM $220.50 > VWAP $220.30 (+0.09%), Vol Z=2.8, Momentum=+0.087"
    )
    assert "Vol Z=0.0, Momentum=+0.00081" in signal_line(evaluation(volume_z=-0.01, momentum=0.00081))


@pytest.mark.parametrize(
    ("condition", "value", "threshold", "text"),
    [
        (
            "five_minute_vwap",
            220.3,
            220.312,
            "price $220.300, needed above the 5m VWAP $220.312: $0.012 short",
        ),
        ("five_minute_vwap", -0.0012, 0.0, "5m VWAP -0.0012%, needed a rise: 0.0012% short"),
        ("above_vwap", 220.3, 220.304, "price $220.300, needed above the VWAP $220.304: $0.004 short"),
        ("above_vwap", 220.3, 220.30002, "price $220.300, needed above the VWAP $220.300: $0.00002 short"),
        ("above_vwap", 220.3, 220.3, "price $220.300, needed above the VWAP $220.300: $0.000 short"),
        ("vwap_rising", 27, 30, "VWAP rising for 27 s, needed 30 s: 3 s short"),
        ("volume_surge", 3912, 4105, "volume 3,912, needed 4,105: 5% short"),
        ("volume_surge", 4100, 4105, "volume 4,100, needed 4,105: 0.12% short"),
        ("momentum", -0.00081, 0.0, "momentum -0.00081%/s, needed above 0"),
        ("relative_volume", 1.42, 1.5, "relative volume 1.42, needed 1.50: 5% short"),
        ("spy_lag", 0.243, 0.2, "QQQ ahead by 0.243 points, allowed 0.200: 0.043 too far"),
    ],
)
def test_a_near_miss_in_words(condition: str, value: float, threshold: float, text: str) -> None:
    missed = Shortfall(condition=Condition(condition), value=value, threshold=threshold, ratio=0.1)
    assert miss_text(missed, "QQQ") == text


def opened(**changes: object) -> Opened:
    """The entry of the examples, with ``changes``."""
    values: dict[str, object] = {
        "id": "7f3a91",
        "contract": "O:IWM251003C00220500",
        "strike": 220_500,
        "expiry": "2025-10-03",
        "price": 220.5,
        "vwap": 220.3,
        "momentum": 0.087,
        "volume_z": 2.8,
        "delta": 0.42,
        "iv": 0.285,
        "in_range": True,
        "mid": 14_000,
        "bid": 13_900,
        "ask": 14_500,
        "bid_size": 35.0,
        "ask_size": 40.0,
        "entry": 14_500,
        "stop": 12_325,
        "pay_limit": 15_200,
        "pay_until": NOW,
        "time_stop": NOW,
        "entry_number": 1,
        "considered": 14,
        "fallen": ((ContractRule.SIZE, 2), (ContractRule.SPREAD, 6), (ContractRule.DELTA, 5)),
        "cost_percent": 2.14,
    }
    return Opened(**{**values, **changes})  # type: ignore[arg-type]


def declined(**changes: object) -> Declined:
    """A refusal for want of a contract, with ``changes``."""
    values: dict[str, object] = {
        "reason": DeclineReason.NO_CONTRACT,
        "hold": None,
        "price": 220.5,
        "vwap": 220.3,
        "momentum": 0.087,
        "volume_z": None,
        "considered": 14,
        "fallen": ((ContractRule.SPREAD, 6), (ContractRule.SIZE, 0), (ContractRule.DELTA, 8)),
    }
    return Declined(**{**values, **changes})  # type: ignore[arg-type]


def test_the_selection_line() -> None:
    assert selection_line(opened()) == "🎯 O:IWM251003C00220500 of 14: spread 6, delta 5, size 2; cost 2.1%"
    assert (
        selection_line(opened(in_range=False, delta=0.297, fallen=()))
        == "🎯 O:IWM251003C00220500 of 14; Δ0.297 nearest to the range, cost 2.1%"
    )
    assert selection_line(declined()) == "🎯 none of 14: delta 8, spread 6"
    assert selection_line(declined(considered=0, fallen=())) == "🎯 none of 0"


def test_the_entry_line() -> None:
    assert entry_line(opened()) == "🔥 ENTRY: O:IWM251003C00220500 @ $1.45"


def closed(**changes: object) -> Closed:
    """The exit of the examples, with ``changes``."""
    values: dict[str, object] = {
        "id": "7f3a91",
        "contract": "O:IWM251003C00220500",
        "reason": ExitReason.HARD_GIVEBACK,
        "price": 214.89,
        "vwap": 214.95,
        "entry": 12_200,
        "opened_at": NOW,
        "peak": 21_000,
        "mark": 14_500,
        "mark_at": NOW,
        "bid": 14_300,
        "bid_size": 35.0,
        "limit_percent": 30.0,
        "time_stop": NOW,
    }
    return Closed(**{**values, **changes})  # type: ignore[arg-type]


def test_the_exit_line() -> None:
    assert exit_line(closed(), "Giveback 31.2% (Hard cap 30%)") == (
        "🚪 EXIT: O:IWM251003C00220500 @ $1.45 (bid $1.43), entry $1.22, peak $2.10, "
        "Giveback 31.2% (Hard cap 30%), P&L +18.9%"
    )
    assert exit_line(closed(mark=None, bid=None), "Time stop 15:55 ET").endswith(
        "@ n/a (bid n/a), entry $1.22, peak $2.10, Time stop 15:55 ET, P&L n/a"
    )
    assert exit_line(closed(mark=10_255), "r").endswith("P&L -15.9%")


def test_the_gate_line() -> None:
    assert gate_line(DeclineReason.COOLDOWN) == "⏰ No entries allowed: cooldown"
    assert gate_line(DeclineReason.HELD, HoldReason.RECORD_OFF) == "⏰ No entries allowed: held (record off)"
