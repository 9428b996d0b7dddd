"""Small makers of facts for the tests: one session, seconds counted from its open."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine import Engine
from events import (
    SECOND,
    Bar,
    Chain,
    ChainRow,
    Condition,
    Decision,
    Evaluation,
    Event,
    FeedRestored,
    Quote,
    QuoteSource,
    Session,
    Tick,
)
from rules import Rules

OPEN = 1_759_411_800 * SECOND
"""2025-10-02 09:30 in New York."""

SESSION = Session(date="2025-10-02", open=OPEN, close=OPEN + 23_400 * SECOND)
EARLY_SESSION = Session(
    date="2025-11-28", open=1_764_340_200 * SECOND, close=1_764_352_800 * SECOND, early=True
)

CALL = "O:IWM251002C00215000"


def at(second: float) -> int:
    """µs of UTC, that many seconds after the open."""
    return OPEN + round(second * SECOND)


def bar(
    second: int,
    close: float = 215.0,
    volume: float = 500.0,
    *,
    symbol: str = "IWM",
    vwap: float | None = None,
    backfilled: bool = False,
) -> Bar:
    """The bar of a second after the open."""
    return Bar(
        symbol=symbol,
        start=at(second),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=volume,
        vwap=close if vwap is None else vwap,
        backfilled=backfilled,
    )


def dollars(price: float) -> int:
    """An option price in its units."""
    return round(price * 10_000)


def row(strike: float = 215.0, bid: float = 1.39, ask: float = 1.41, **changes: Any) -> ChainRow:
    """A good candidate; ``changes`` make it another."""
    values: dict[str, Any] = {
        "contract": f"O:IWM251002C{round(strike * 1000):08d}",
        "strike": round(strike * 1000),
        "shares": 100,
        "bid": dollars(bid),
        "ask": dollars(ask),
        "bid_size": 35,
        "ask_size": 40,
        "quoted_at": 0,
        "real_time": True,
        "iv": 0.285,
        "delta": 0.42,
        "open_interest": 1000,
    }
    return ChainRow(**{**values, **changes})


def chain(second: float, *rows: ChainRow) -> Chain:
    """A poll at that second; rows without a time of their own were quoted just then."""
    return Chain(rows=tuple(item if item.quoted_at else replace(item, quoted_at=at(second)) for item in rows))


def quote(
    second: float,
    bid: float,
    ask: float,
    *,
    contract: str = CALL,
    size: float = 20,
    source: QuoteSource = QuoteSource.STREAM,
) -> Quote:
    """A quote made at that second."""
    return Quote(
        contract=contract,
        at=at(second),
        bid=dollars(bid),
        ask=dollars(ask),
        bid_size=size,
        ask_size=size,
        source=source,
    )


def missing(condition: Condition, **values: Any) -> Evaluation:
    """An evaluation in which ``condition`` alone failed."""
    base: dict[str, Any] = {
        "start": SESSION.open,
        "symbol": "IWM",
        "price": 220.0,
        "vwap_1m": 219.0,
        "vwap_5m": 218.0,
        "vwap_5m_change": 0.01,
        "vwap_distance": 0.1,
        "vwap_rising_s": 40,
        "vwap_1m_change": 0.02,
        "volume": 5000.0,
        "volume_p95": 4000.0,
        "volume_z": 2.0,
        "momentum": 0.01,
        "relative_volume": 2.0,
        "roc5": 0.1,
        "benchmark_roc5": 0.2,
        "passes": tuple(each is not condition for each in Condition),
    }
    return Evaluation(**{**base, **values})


class Story:
    """Tells an engine what happens, second by second, and remembers what it decided."""

    def __init__(self, rules: Rules | None = None, session: Session = SESSION) -> None:
        self.engine = Engine(rules or Rules(), session)
        self.decisions: list[tuple[float, Decision]] = []
        self.log: list[tuple[int, Event, list[Decision]]] = []

    def tell(self, second: float, event: Event) -> list[Decision]:
        """Hand a fact to the engine at that second."""
        made = self.engine.handle(at(second), event)
        self.log.append((at(second), event, made))
        self.decisions.extend((second, decision) for decision in made)
        return made

    def tick(self, start: int, end: int) -> list[Decision]:
        """Ticks of the seconds in [start, end)."""
        return [decision for second in range(start, end) for decision in self.tell(second, Tick())]

    def connect(self, second: float = -300) -> Story:
        """The feed is up."""
        self.tell(second, FeedRestored())
        return self

    def bars(
        self, start: int, end: int, price: float = 215.0, step: float = 0.0, volume: float = 500.0
    ) -> float:
        """A bar of IWM and of SPY for each second in [start, end), each 2 s after its end. Returns the last price."""
        for second in range(start, end):
            price += step
            self.tell(second + 3, bar(second, 660.0, symbol="SPY"))
            self.tell(second + 3, bar(second, round(price, 4), volume + second % 7))
        return price

    @property
    def evaluation(self) -> Evaluation:
        """The engine's last evaluation."""
        assert self.engine.evaluation is not None
        return self.engine.evaluation

    def kinds(self) -> list[str]:
        """Names of the decisions made, without the declined."""
        return [type(d).__name__ for _, d in self.decisions if type(d).__name__ != "Declined"]
