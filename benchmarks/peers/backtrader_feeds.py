"""Backtrader: two data feeds from data frames, one strategy, everything preloaded.

It has no way to correct a bar, so it gets the final bars. Its fast path: ``preload`` and ``runonce`` (their defaults),
no observers. Time counts from the strategy's ``start``: loading the feeds, which ``run`` does before, is left out.
"""

from __future__ import annotations

import backtrader
import pandas as pd

from benchmarks.contest import Found, Run, Stopwatch, Tape, contend
from benchmarks.peers.windows import Conditions


class Seconds(backtrader.feeds.PandasDirectData):
    """Second bars with their second after the open, and the average price."""

    lines = ("second", "vwap")
    params = (("openinterest", -1), ("second", 6), ("vwap", 7))
    datafields = (*backtrader.feeds.PandasDirectData.datafields, "second", "vwap")


class Watch(backtrader.Strategy):
    """The seven conditions at each new bar of the watched symbol."""

    params = (("tape", None), ("stopwatch", None))

    def __init__(self) -> None:
        self.conditions = Conditions(self.p.tape.numbers, self.p.tape.seconds)
        self.found: Found = []
        self.seen = [0, 0]

    def start(self) -> None:
        """The feeds are loaded."""
        self.p.stopwatch.reset()

    def prenext(self) -> None:
        """Before every feed has a bar."""
        self.next()

    def next(self) -> None:
        """A second: one of the feeds has a new bar, or both."""
        own, spy = self.datas
        if len(spy) > self.seen[1]:
            self.seen[1] = len(spy)
            self.conditions.benchmark(int(spy.second[0]), spy.close[0])
        if len(own) > self.seen[0]:
            self.seen[0] = len(own)
            second = int(own.second[0])
            mask = self.conditions.own(second, own.close[0], own.volume[0], own.vwap[0])
            self.found.append((second, mask))


def frame(tape: Tape, symbol: int) -> pd.DataFrame:
    """The bars of one symbol."""
    rows = [row for row in tape.final if row.symbol == symbol]
    index = pd.to_datetime([tape.open_s + row.second for row in rows], unit="s")
    columns = ["open", "high", "low", "close", "volume", "second", "vwap"]
    return pd.DataFrame([[getattr(row, name) for name in columns] for row in rows], index, columns)


def prepare(tape: Tape) -> Run:
    """A cerebro with both feeds and the strategy."""
    frames = [frame(tape, symbol) for symbol in (0, 1)]

    def run(watch: Stopwatch) -> Found:
        cerebro = backtrader.Cerebro(stdstats=False)
        for data in frames:
            cerebro.adddata(Seconds(dataname=data, timeframe=backtrader.TimeFrame.Seconds, compression=1))
        cerebro.addstrategy(Watch, tape=tape, stopwatch=watch)
        strategies = cerebro.run()
        found: Found = strategies[0].found
        return found

    return run


if __name__ == "__main__":
    contend(prepare)
