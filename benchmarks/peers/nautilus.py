"""NautilusTrader: the low-level `BacktestEngine`, bars in the order of arrival, one strategy.

Its fast path: logging bypassed, no analysis at the end, no execution simulated from bars (there are no orders), data
made before and added as one sorted list. Corrections reach it as bars with ``is_revision``. Its bar has no VWAP, so a
subclass carries it. With ``--empty`` the strategy does nothing: what the framework costs alone.
"""

from __future__ import annotations

import sys

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from benchmarks.contest import HOLD_S, Found, Row, Run, Stopwatch, Tape, contend
from benchmarks.peers.windows import Conditions

NANO = 10**9
PRICE_DECIMALS, VOLUME_DECIMALS = 2, 4


class VwapBar(Bar):
    """A bar with the average price that it lacks."""

    vwap = 0.0


class Watch(Strategy):
    """The seven conditions at each new bar of the watched symbol."""

    def __init__(self, tape: Tape, bar_types: list[BarType]) -> None:
        super().__init__()
        self.conditions = Conditions(tape.numbers, tape.seconds)
        self.bar_types = bar_types
        self.watched = bar_types[0]
        self.open_ns = tape.open_s * NANO
        self.found: Found = []

    def on_start(self) -> None:
        """Subscribe."""
        for bar_type in self.bar_types:
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: VwapBar) -> None:
        """A first print or a revision."""
        second = (bar.ts_event - self.open_ns) // NANO - 1
        close = bar.close.as_double()
        if bar.bar_type != self.watched:
            self.conditions.benchmark(second, close)
        elif bar.is_revision:
            self.conditions.correct(second, close, bar.volume.as_double(), bar.vwap)
        else:
            mask = self.conditions.own(second, close, bar.volume.as_double(), bar.vwap)
            self.found.append((second, mask))


class Idle(Watch):
    """Takes the bars and does nothing."""

    def on_bar(self, bar: VwapBar) -> None:
        """Nothing."""


def bars_of(tape: Tape, rows: list[Row], bar_types: list[BarType]) -> list[Bar]:
    """Prints in the order of arrival."""
    bars = []
    for row in rows:
        bar = VwapBar(
            bar_types[row.symbol],
            *(Price(price, PRICE_DECIMALS) for price in (row.open, row.high, row.low, row.close)),
            Quantity(row.volume, VOLUME_DECIMALS),
            (tape.open_s + row.second + 1) * NANO,
            (tape.open_s + row.batch + 1 + HOLD_S) * NANO,
            row.is_repeat,
        )
        bar.vwap = row.vwap
        bars.append(bar)
    return bars


def engine_for(tape: Tape, strategy_class: type[Watch], rows: list[Row]) -> tuple[BacktestEngine, Watch]:
    """An engine with everything loaded, and its strategy."""
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(
        venue=Venue("XNAS"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(1_000_000, USD)],
        bar_execution=False,
    )
    instruments = [TestInstrumentProvider.equity(symbol, "XNAS") for symbol in tape.symbols]
    bar_types = [BarType.from_str(f"{instrument.id}-1-SECOND-LAST-EXTERNAL") for instrument in instruments]
    for instrument in instruments:
        engine.add_instrument(instrument)
    engine.add_data(bars_of(tape, rows, bar_types))
    strategy = strategy_class(tape, bar_types)
    engine.add_strategy(strategy)
    return engine, strategy


def prepare(tape: Tape) -> Run:
    """Every print, corrections included."""
    engine, strategy = engine_for(tape, Idle if "--empty" in sys.argv else Watch, tape.stream)

    def run(_: Stopwatch) -> Found:
        engine.run()
        return strategy.found

    return run


if __name__ == "__main__":
    contend(prepare)
