"""Chain and quotes to one call, or the reason why none. Decides which contract and at what price, never when."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from config import Rules
from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
    ChainRow,
    ContractRule,
    DeclineReason,
    Quote,
    QuoteSource,
)

CENT = OPTION_PRICE_UNIT // 100
PERCENT = 100.0
STANDARD_SHARES = 100
"""Shares per contract of an unadjusted option."""

COMPARED_DIGITS = 6
"""IV, delta and cost are rounded to this many decimals before they are compared."""

YEAR = 365 * 86_400 * SECOND
VOLATILITY_RANGE = (0.001, 10.0)
"""Implied volatilities looked for, per year; a 0DTE quote outside implies none that could be used."""

BISECTIONS = 60


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The newest bid and ask known of a contract. ``arrived`` is when we learned it, ``at`` the quote's own time."""

    bid: int
    ask: int
    bid_size: float
    ask_size: float
    at: int
    arrived: int
    source: QuoteSource
    real_time: bool

    @property
    def two_sided(self) -> bool:
        """Whether both sides are quoted and not crossed."""
        return 0 < self.bid <= self.ask

    @property
    def mid(self) -> int:
        """Mid price; half a unit is rounded down (option ticks are whole cents)."""
        return (self.bid + self.ask) // 2

    @property
    def spread_percent(self) -> float:
        """Spread in percent of the mid."""
        return (self.ask - self.bid) * 2 / (self.bid + self.ask) * PERCENT

    def age(self, now: int) -> int:
        """Age in µs: from the quote's own time on the stream, from the arrival of a poll."""
        return max(0, now - (self.at if self.source is QuoteSource.STREAM else self.arrived))


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """The contract that won, and why."""

    row: ChainRow
    price: Price
    delta: float
    iv: float
    in_range: bool
    cost_percent: float
    entry: int
    stop: int
    considered: int
    fallen: tuple[tuple[ContractRule, int], ...]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """No contract, and why."""

    reason: DeclineReason
    considered: int = 0
    fallen: tuple[tuple[ContractRule, int], ...] = ()


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    row: ChainRow
    price: Price
    delta: float
    iv: float
    entry: int
    stop: int


def price_of(quote: Quote | ChainRow, at: int, arrived: int) -> Price:
    """The price that a quote, or a chain row's, gives."""
    return Price(
        bid=quote.bid,
        ask=quote.ask,
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        at=at,
        arrived=arrived,
        source=QuoteSource.POLL if isinstance(quote, ChainRow) else quote.source,
        real_time=quote.real_time if isinstance(quote, ChainRow) else True,
    )


def entry_price(mid: int, ask: int, slippage: float) -> int:
    """min(mid + slippage, ask), up to a cent."""
    wanted = min(mid + round(slippage * OPTION_PRICE_UNIT), ask)
    return -(-wanted // CENT) * CENT


def level_below(price: int, percent: float) -> int:
    """The greatest price that is at or under ``price`` × (1 - ``percent`` / 100), exactly."""
    return math.floor(price * (100 - Decimal(str(percent))) / 100)


def pay_limit(entry: int, rules: Rules) -> int:
    """The most to pay: entry plus the larger of a minimum and a share of it, down to the cent."""
    least = Decimal(str(rules.pay_limit_min)) * OPTION_PRICE_UNIT
    share = entry * Decimal(str(rules.pay_limit_percent)) / 100
    return math.floor((entry + max(least, share)) / CENT) * CENT


def call_price(spot: float, strike: float, years: float, volatility: float) -> float:
    """Black–Scholes price of a call without rates or dividends, in dollars (Black and Scholes, 1973)."""
    deviation = volatility * math.sqrt(years)
    d1 = math.log(spot / strike) / deviation + deviation / 2
    return spot * _normal(d1) - strike * _normal(d1 - deviation)


def call_delta(spot: float, strike: float, years: float, volatility: float) -> float:
    """Black–Scholes delta of a call without rates or dividends."""
    deviation = volatility * math.sqrt(years)
    return _normal(math.log(spot / strike) / deviation + deviation / 2)


def implied_volatility(mid: float, spot: float, strike: float, years: float) -> float | None:
    """The volatility per year at which a call costs ``mid`` dollars; None when no usable one does."""
    low, high = VOLATILITY_RANGE
    if (
        years <= 0
        or spot <= 0
        or not call_price(spot, strike, years, low) < mid < call_price(spot, strike, years, high)
    ):
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if call_price(spot, strike, years, middle) < mid:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def select(
    rules: Rules,
    *,
    now: int,
    close: int,
    spot: float,
    rows: Iterable[ChainRow],
    prices: Mapping[str, Price],
    chain_age: int,
) -> Selected | Refused:
    """Choose the call to suggest at ``now``.

    ``prices`` has the newest quote of each contract. ``close`` is the session's close (expiry), ``spot`` the
    share price, ``chain_age`` the age of ``rows``, in µs.
    """
    if chain_age > rules.chain_max_seconds * SECOND:
        return Refused(reason=DeclineReason.CHAIN_TOO_OLD)
    fallen: Counter[ContractRule] = Counter()
    candidates: list[_Candidate] = []
    quoted: list[tuple[int, float]] = []
    considered = 0
    years = (close - now) / YEAR
    for row in rows:
        considered += 1
        price = prices.get(row.contract)
        if price is None or not price.two_sided or row.shares != STANDARD_SHARES:
            fallen[ContractRule.SHARES if row.shares != STANDARD_SHARES else ContractRule.UNQUOTED] += 1
            continue
        iv = _iv(row, price, spot, years)
        if iv is not None:
            quoted.append((row.strike, iv))
        delta = _delta(row, price, spot, years)
        fault = _static_fault(rules, row, price)
        if fault is None and (delta is None or iv is None or not _within_stretch(rules, delta)):
            fault = ContractRule.DELTA
        if fault is not None or delta is None or iv is None:
            fallen[fault or ContractRule.DELTA] += 1
            continue
        entry = entry_price(price.mid, price.ask, rules.entry_slippage)
        stop = level_below(entry, rules.stop_loss_percent)
        candidates.append(_Candidate(row=row, price=price, delta=delta, iv=iv, entry=entry, stop=stop))

    def refused(reason: DeclineReason) -> Refused:
        return Refused(reason=reason, considered=considered, fallen=_counts(fallen))

    if not candidates:
        return refused(DeclineReason.NO_CONTRACT)
    fresh = [item for item in candidates if item.price.age(now) <= rules.entry_quote_seconds * SECOND]
    fallen[ContractRule.AGE] += len(candidates) - len(fresh)
    if not fresh:
        return refused(DeclineReason.QUOTE_TOO_OLD)
    roomy = [item for item in fresh if _has_room(rules, item)]
    fallen[ContractRule.STOP] += len(fresh) - len(roomy)
    if not roomy:
        return refused(DeclineReason.STOP_TOO_NEAR)
    inside = [item for item in roomy if rules.delta_min <= item.delta <= rules.delta_max]
    pool = inside or roomy
    skew = quoted if chain_age <= rules.chain_skew_seconds * SECOND else []
    costs = {item.row.contract: _cost(item, skew) for item in pool}

    def rank(item: _Candidate) -> tuple[float, float, float, float, str]:
        return (
            0.0 if inside else _distance(rules, item.delta),
            costs[item.row.contract],
            -min(item.price.bid_size, item.price.ask_size),
            abs(item.row.strike / STRIKE_UNIT - spot),
            item.row.contract,
        )

    best = min(pool, key=rank)
    fallen[ContractRule.DELTA] += len(roomy) - len(pool)
    return Selected(
        row=best.row,
        price=best.price,
        delta=best.delta,
        iv=best.iv,
        in_range=bool(inside),
        cost_percent=costs[best.row.contract],
        entry=best.entry,
        stop=best.stop,
        considered=considered,
        fallen=_counts(fallen),
    )


def _static_fault(rules: Rules, row: ChainRow, price: Price) -> ContractRule | None:
    """The first rule that the contract fails whatever its delta, or None."""
    if not price.real_time:
        return ContractRule.DELAYED
    if round(price.spread_percent, COMPARED_DIGITS) > rules.max_spread_percent:
        return ContractRule.SPREAD
    if min(price.bid_size, price.ask_size) < rules.min_quote_size:
        return ContractRule.SIZE
    if price.mid < round(rules.min_premium * OPTION_PRICE_UNIT):
        return ContractRule.PREMIUM
    if row.open_interest < rules.min_open_interest:
        return ContractRule.OPEN_INTEREST
    return None


def _within_stretch(rules: Rules, delta: float) -> bool:
    low = round(rules.delta_min - rules.delta_stretch_down, COMPARED_DIGITS)
    high = round(rules.delta_max + rules.delta_stretch_up, COMPARED_DIGITS)
    return low <= delta <= high


def _distance(rules: Rules, delta: float) -> float:
    """How far a delta lies outside the range."""
    return round(max(rules.delta_min - delta, delta - rules.delta_max, 0.0), COMPARED_DIGITS)


def _has_room(rules: Rules, item: _Candidate) -> bool:
    """Whether the stop lies far enough below the mid that a single tick does not sell."""
    return item.price.mid - item.stop >= rules.stop_room_spreads * (item.price.ask - item.price.bid)


def _iv(row: ChainRow, price: Price, spot: float, years: float) -> float | None:
    """The vendor's IV, else the one that the mid implies."""
    has_iv = row.iv is not None and row.iv > 0
    iv = (
        row.iv
        if has_iv
        else implied_volatility(price.mid / OPTION_PRICE_UNIT, spot, row.strike / STRIKE_UNIT, years)
    )
    return None if iv is None else round(iv, COMPARED_DIGITS)


def _delta(row: ChainRow, price: Price, spot: float, years: float) -> float | None:
    """The vendor's delta, else Black–Scholes from the IV that the mid implies."""
    if row.delta is not None:
        return round(row.delta, COMPARED_DIGITS)
    strike = row.strike / STRIKE_UNIT
    iv = implied_volatility(price.mid / OPTION_PRICE_UNIT, spot, strike, years)
    return None if iv is None else round(call_delta(spot, strike, years, iv), COMPARED_DIGITS)


def _cost(item: _Candidate, quoted: list[tuple[int, float]]) -> float:
    """Spread plus overpayment against the line between the neighbours' IVs, in percent of the premium."""
    strike = item.row.strike
    below = max((pair for pair in quoted if pair[0] < strike), default=None)
    above = min((pair for pair in quoted if pair[0] > strike), default=None)
    overpaid = 0.0
    if below is not None and above is not None:
        share = (strike - below[0]) / (above[0] - below[0])
        line = below[1] + (above[1] - below[1]) * share
        overpaid = max(0.0, item.iv - line) / item.iv * PERCENT
    return round(item.price.spread_percent + overpaid, COMPARED_DIGITS)


def _counts(fallen: Counter[ContractRule]) -> tuple[tuple[ContractRule, int], ...]:
    return tuple((rule, fallen[rule]) for rule in ContractRule if fallen[rule])


def _normal(value: float) -> float:
    """Standard normal distribution function."""
    return (1 + math.erf(value / math.sqrt(2))) / 2
