"""Chain and quotes to one call, or the reason why none. Decides which contract and at what price, never when."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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
ROOT_OF_TWO = math.sqrt(2)


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


class _Call:
    """One quoted call. What takes long to find is found when it is asked for, and once."""

    def __init__(self, row: ChainRow, price: Price, spot: float, years: float) -> None:
        self.row = row
        self.price = price
        self._spot = spot
        self._years = years

    @functools.cached_property
    def iv(self) -> float | None:
        """The vendor's IV, else the one that the mid implies."""
        given = self.row.iv
        iv = given if given is not None and given > 0 else self._implied
        return None if iv is None else round(iv, COMPARED_DIGITS)

    @functools.cached_property
    def delta(self) -> float | None:
        """The vendor's delta, else Black–Scholes from the IV that the mid implies."""
        if self.row.delta is not None:
            return round(self.row.delta, COMPARED_DIGITS)
        iv = self._implied
        if iv is None:
            return None
        return round(call_delta(self._spot, self._strike, self._years, iv), COMPARED_DIGITS)

    @functools.cached_property
    def _implied(self) -> float | None:
        # A delta is derived from the IV as it is; the IV itself is only ever wanted rounded.
        digits = None if self.row.delta is None else COMPARED_DIGITS
        mid = self.price.mid / OPTION_PRICE_UNIT
        return implied_volatility(mid, self._spot, self._strike, self._years, digits)

    @property
    def _strike(self) -> float:
        return self.row.strike / STRIKE_UNIT


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
    return _pricer(spot, strike, years)(volatility)


def _pricer(spot: float, strike: float, years: float) -> Callable[[float], float]:
    """The price of a call by its volatility; what does not depend on that is worked out once."""
    root, distance, erf = math.sqrt(years), math.log(spot / strike), math.erf

    def price(volatility: float) -> float:
        deviation = volatility * root
        d1 = distance / deviation + deviation / 2
        # `_normal` of d1 and of d1 - deviation, written out: sixty of these are asked for at once.
        return spot * ((1 + erf(d1 / ROOT_OF_TWO)) / 2) - strike * (
            (1 + erf((d1 - deviation) / ROOT_OF_TWO)) / 2
        )

    return price


def call_delta(spot: float, strike: float, years: float, volatility: float) -> float:
    """Black–Scholes delta of a call without rates or dividends."""
    deviation = volatility * math.sqrt(years)
    return _normal(math.log(spot / strike) / deviation + deviation / 2)


def implied_volatility(
    mid: float, spot: float, strike: float, years: float, digits: int | None = None
) -> float | None:
    """The volatility per year at which a call costs ``mid`` dollars; None when no usable one does.

    With ``digits`` it is found as far as needed: rounded to so many decimals it is what the exact one is.
    """
    low, high = VOLATILITY_RANGE
    if years <= 0 or spot <= 0:
        return None
    price = _pricer(spot, strike, years)
    if not price(low) < mid < price(high):
        return None
    # Every further step stays between low and high: once they round alike, so does what it would end with.
    near = 0.0 if digits is None else 10.0**-digits
    for _ in range(BISECTIONS):
        if high - low < near and round(low, digits) == round(high, digits):
            break
        middle = (low + high) / 2
        if price(middle) < mid:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def nearest(rows: Iterable[ChainRow], spot: float, count: int) -> list[str]:
    """The calls whose strikes are nearest ``spot`` (dollars), the nearest first."""
    ordered = sorted(rows, key=lambda row: (abs(row.strike / STRIKE_UNIT - spot), row.contract))
    return [row.contract for row in ordered[:count]]


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
    quoted: list[_Call] = []
    considered = 0
    years = (close - now) / YEAR
    for row in rows:
        considered += 1
        price = prices.get(row.contract)
        if price is None or not price.two_sided or row.shares != STANDARD_SHARES:
            fallen[ContractRule.SHARES if row.shares != STANDARD_SHARES else ContractRule.UNQUOTED] += 1
            continue
        call = _Call(row, price, spot, years)
        quoted.append(call)
        fault = _static_fault(rules, row, price)
        candidate = _candidate(rules, call) if fault is None else None
        if candidate is None:
            fallen[fault or ContractRule.DELTA] += 1
        else:
            candidates.append(candidate)

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
    skew.sort(key=_strike_of)
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


def _candidate(rules: Rules, call: _Call) -> _Candidate | None:
    """What a call would be bought at, or None when its delta is unknown or out of reach."""
    price, delta = call.price, call.delta
    if delta is None or not _within_stretch(rules, delta) or (iv := call.iv) is None:
        return None
    entry = entry_price(price.mid, price.ask, rules.entry_slippage)
    stop = level_below(entry, rules.stop_loss_percent)
    return _Candidate(row=call.row, price=price, delta=delta, iv=iv, entry=entry, stop=stop)


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


def _cost(item: _Candidate, quoted: list[_Call]) -> float:
    """Spread plus overpayment against the line between the neighbours' IVs, in percent of the premium.

    ``quoted``: calls by strike.
    """
    strike = item.row.strike
    below = _neighbour(reversed(quoted[: bisect_left(quoted, strike, key=_strike_of)]), max)
    above = _neighbour(quoted[bisect_right(quoted, strike, key=_strike_of) :], min)
    overpaid = 0.0
    if below is not None and above is not None:
        share = (strike - below[0]) / (above[0] - below[0])
        line = below[1] + (above[1] - below[1]) * share
        overpaid = max(0.0, item.iv - line) / item.iv * PERCENT
    return round(item.price.spread_percent + overpaid, COMPARED_DIGITS)


def _neighbour(calls: Iterable[_Call], choose: Callable[[list[float]], float]) -> tuple[int, float] | None:
    """Strike and IV of the first of ``calls`` that has one; ``choose`` decides among several at its strike."""
    strike, ivs = 0, list[float]()
    for call in calls:
        if ivs and call.row.strike != strike:
            break
        if call.iv is not None:
            strike = call.row.strike
            ivs.append(call.iv)
    return (strike, choose(ivs)) if ivs else None


def _strike_of(call: _Call) -> int:
    return call.row.strike


def _counts(fallen: Counter[ContractRule]) -> tuple[tuple[ContractRule, int], ...]:
    return tuple((rule, fallen[rule]) for rule in ContractRule if fallen[rule])


def _normal(value: float) -> float:
    """Standard normal distribution function."""
    return (1 + math.erf(value / ROOT_OF_TWO)) / 2
