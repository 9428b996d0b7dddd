"""Rules under which a made session trades, and studies made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from events import SECOND, ChainRow, Condition, DeclineReason, Evaluation, FeedRestored, Opened, Tick
from review.keeper import read
from review.study import Seen, Study
from rules import Rules
from tests.builders import SESSION, at, bar, chain, quote, row
from tests.made_day import Made

EASY = Rules(
    warmup_seconds=60,
    vwap_long_seconds=40,
    vwap_long_shift_seconds=5,
    vwap_short_seconds=20,
    vwap_rising_seconds=3,
    volume_window_seconds=60,
    volume_min_bars=10,
    volume_percentile=60,
    momentum_seconds=20,
    momentum_min_bars=4,
    relative_volume_seconds=20,
    relative_volume_min=0.9,
    roc_seconds=30,
    spy_iwm_lag_threshold=0.05,
    stop_loss_percent=5,
    entry_cooldown_seconds=40,
    withdrawn_rest_seconds=5,
)
"""Rules under which a few minutes hold a day's worth of signals, misses and entries."""


def bought(story: Made, rows: Sequence[ChainRow] = (row(),), *, streams: bool = True) -> Opened:
    """Bars and chains that bring a BUY under the easy rules; the clock is at 193 s at most then."""
    story.tell(at(0), FeedRestored())
    price = 215.0
    for second in range(0, 190):
        now = at(second + 3)
        price = round(price + (0.01 if second > 60 else 0.0), 2)
        story.tell(now, bar(second, 660.0, symbol="SPY"))
        if second > 60:
            story.tell(now, chain(second + 3, *rows))
        if second > 60 and streams:
            story.tell(now, quote(second + 3, 1.39, 1.41))
        story.tell(now, bar(second, price, 500.0 + second * 10))
        opened = [decision for decision in story.decisions if isinstance(decision, Opened)]
        if opened:
            return opened[0]
    raise AssertionError("no BUY came")


GOOD = {
    "price": 215.0,
    "vwap_1m": 214.9,
    "vwap_5m": 214.8,
    "vwap_5m_change": 0.01,
    "vwap_distance": 0.05,
    "vwap_rising_s": 40,
    "volume": 5_000.0,
    "volume_p95": 4_000.0,
    "volume_z": 2.0,
    "momentum": 0.01,
    "relative_volume": 2.0,
    "roc5": 0.1,
    "benchmark_roc5": 0.1,
}


def seen(second: int, *fails: Condition, gate: DeclineReason | None = None, **values: float | None) -> Seen:
    """An evaluation at which these conditions fail."""
    evaluation = Evaluation(
        start=at(second),
        symbol="IWM",
        passes=tuple(condition not in fails for condition in Condition),
        gate=gate,
        **{**GOOD, **values},  # type: ignore[arg-type]
    )
    return Seen(at(second + 3), evaluation, False, "", None)


def study_of(path: Path, *rows: Seen) -> Study:
    """A study of an empty session with these evaluations."""
    story = Made(path)
    story.start(at(-10))
    story.tell(at(1_000), Tick())
    story.journal.close()
    study = read(path)
    study.seen = list(rows)
    return study


def at_s(moment: int) -> int:
    """Seconds after the open."""
    return (moment - SESSION.open) // SECOND
