"""Chain and quotes to one call, or the reason why none. Decides which contract and at what price, never when."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

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
from rules import Rules

CENT = OPTION_PRICE_UNIT // 100
PERCENT = 100.0
STANDARD_SHARES = 100
"""Shares per contract of an unadjusted option."""

COMPARED_DIGITS = 6
"""IV, delta and cost are rounded to this many decimals before they are compared."""

YEAR = 365 * 86_400 * SECOND
VOLATILITY_RANGE = (0.001, 10.0)
"""Implied volatilities looked for, per year; a 0DTE quote outside implies none that could be used."""

IV_DOUBT_FACTOR = 10.0
"""A vendor's IV may be this many times the implied one, or a fraction of it. Counting whole days to expiry makes it wrong
by a factor of 5 in the last hour; writing percent, by 100."""

ROOT_AT, ROOT_END = 2, -15
"""Where the root stands in a ticker such as ``O:IWM251002C00215000``: date, side and strike follow it."""

STEPS = 100
"""More steps than any price needs: halving alone has reached the last bit by then."""

NEAR_ENOUGH = 1e-9
"""The search ends with a step this small relative to the volatility: the error left is its square."""

ROOT_OF_TWO = math.sqrt(2)
ROOT_OF_TWO_PI = math.sqrt(2 * math.pi)


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
    doubted: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """No contract, and why."""

    reason: DeclineReason
    considered: int = 0
    fallen: tuple[tuple[ContractRule, int], ...] = ()
    doubted: int = 0


class _Call:
    """One quoted call. What is costly to compute is computed on first use, and once."""

    def __init__(self, row: ChainRow, price: Price, spot: float, years: float, doubt: float) -> None:
        self.row = row
        self.price = price
        self.is_out_of_order = False
        """Whether the vendor's delta contradicts those of the other strikes."""
        self._spot = spot
        self._years = years
        self._doubt = doubt

    @functools.cached_property
    def is_doubted(self) -> bool:
        """Whether the vendor's delta contradicts the price or the other strikes."""
        given, implied = self.row.delta, self._implied_delta
        if given is None:
            return False
        if implied is None:  # priced at intrinsic value or below: every delta but 1 is wrong
            implied = 1.0
        return self.is_out_of_order or round(abs(given - implied), COMPARED_DIGITS) > self._doubt

    @functools.cached_property
    def delta(self) -> float | None:
        """The vendor's delta if the price supports it, else the one that the price implies.

        None if no volatility explains the price (below intrinsic value, say): then nothing supports the vendor's either.
        """
        implied = self._implied_delta
        if implied is None or self.row.delta is None or self.is_doubted:
            return implied
        return round(self.row.delta, COMPARED_DIGITS)

    @functools.cached_property
    def iv(self) -> float | None:
        """The vendor's IV; the one that the mid implies if there is none, or if the two are far apart."""
        given, implied = self.row.iv, self._implied
        if given is not None and given > 0:
            if implied is None:
                return round(given, COMPARED_DIGITS)
            if (
                not self.is_doubted
                and implied <= given * IV_DOUBT_FACTOR
                and given <= implied * IV_DOUBT_FACTOR
            ):
                return round(given, COMPARED_DIGITS)
        return None if implied is None else round(implied, COMPARED_DIGITS)

    @functools.cached_property
    def _implied_delta(self) -> float | None:
        iv = self._implied
        if iv is None:
            return None
        return round(call_delta(self._spot, self._strike, self._years, iv), COMPARED_DIGITS)

    @functools.cached_property
    def _implied(self) -> float | None:
        mid = self.price.mid / OPTION_PRICE_UNIT
        return implied_volatility(mid, self._spot, self._strike, self._years)

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
    return _pricer(spot, strike, years)(volatility)[0]


def _pricer(spot: float, strike: float, years: float) -> Callable[[float], tuple[float, float]]:
    """Returns a function from volatility to a call's price and vega; what does not depend on it is computed once."""
    root, distance, erf, exp = math.sqrt(years), math.log(spot / strike), math.erf, math.exp

    def price(volatility: float) -> tuple[float, float]:
        deviation = volatility * root
        d1 = distance / deviation + deviation / 2
        # `_normal` of d1 and of d1 - deviation, inlined: one search calls this some ten times.
        value = spot * ((1 + erf(d1 / ROOT_OF_TWO)) / 2) - strike * (
            (1 + erf((d1 - deviation) / ROOT_OF_TWO)) / 2
        )
        return value, spot * root * exp(-d1 * d1 / 2) / ROOT_OF_TWO_PI

    return price


def is_dearer_than_any(mid: int, spot: float, strike: int, left: int) -> bool:
    """Whether a call, ``left`` µs before its expiry, costs more than any usable volatility explains: its quote is wrong.

    ``mid`` is in option price units, ``strike`` in strike units.
    """
    if left <= 0 or spot <= 0 or strike <= 0:
        return False
    return mid / OPTION_PRICE_UNIT > call_price(spot, strike / STRIKE_UNIT, left / YEAR, VOLATILITY_RANGE[1])


def call_delta(spot: float, strike: float, years: float, volatility: float) -> float:
    """Black–Scholes delta of a call without rates or dividends."""
    deviation = volatility * math.sqrt(years)
    return _normal(math.log(spot / strike) / deviation + deviation / 2)


def implied_volatility(mid: float, spot: float, strike: float, years: float) -> float | None:
    """The volatility per year at which a call costs ``mid`` dollars; None when no usable one does.

    Newton's method from the inflection point, from which it converges; halving where a step would leave the range.
    """
    low, high = VOLATILITY_RANGE
    if years <= 0 or spot <= 0 or strike <= 0:
        return None
    price = _pricer(spot, strike, years)
    if not price(low)[0] < mid < price(high)[0]:
        return None
    volatility = min(max(math.sqrt(2 * abs(math.log(spot / strike)) / years), low), high)
    if volatility == low:  # at the money there is no inflection: start from the slope there
        volatility = min(max(mid / spot * ROOT_OF_TWO_PI / math.sqrt(years), low), high)
    for _ in range(STEPS):
        value, slope = price(volatility)
        if value < mid:
            low = volatility
        else:
            high = volatility
        step = (mid - value) / slope if slope > 0 else math.inf
        near = volatility + step
        if not low <= near <= high:
            near = (low + high) / 2
        if abs(near - volatility) <= NEAR_ENOUGH * near:
            return near
        volatility = near
    return volatility


def nearest(rows: Iterable[ChainRow], spot: float, count: int) -> list[str]:
    """The calls whose strikes are nearest ``spot`` (dollars), the nearest first."""
    return [row.contract for row in _nearest(rows, spot, count)]


def _nearest(rows: Iterable[ChainRow], spot: float, count: int) -> list[ChainRow]:
    return sorted(rows, key=lambda row: (abs(row.strike / STRIKE_UNIT - spot), row.contract))[:count]


def is_standard(row: ChainRow, symbol: str) -> bool:
    """Whether a call is a plain one of the symbol: its own root (not IWM1 or 2IWM) and 100 shares.

    The root leaves out a dot in the symbol: BRKB for BRK.B.
    """
    return row.contract[ROOT_AT:ROOT_END] == symbol.replace(".", "") and row.shares == STANDARD_SHARES


def is_live(rules: Rules, now: int, spot: float | None, rows: Iterable[ChainRow]) -> bool:
    """Whether an answer's quotes move, judged by the newest stamp of the calls nearest the money.

    Without ``spot`` all calls are looked at. A quote marked delayed or stamped ahead of ``now`` does not count.
    """
    rows = [row for row in rows if row.real_time and is_standard(row, rules.symbol)]
    if spot is not None:
        rows = _nearest(rows, spot, rules.stream_contracts)
    ahead = now + round(rules.clock_doubt_seconds * SECOND)
    newest = max((row.quoted_at for row in rows if row.quoted_at <= ahead), default=0)
    return newest > 0 and now - newest <= rules.quote_frozen_seconds * SECOND


def polled_prices(rules: Rules, now: int, spot: float | None, rows: Sequence[ChainRow]) -> dict[str, Price]:
    """What a poll's answer prices by itself: nothing when it stands still, else its real-time rows of now.

    A strike may be quiet for a while beside others that move; beyond `CHAIN_MAX_SECONDS` its quote is of another market.
    """
    if not is_live(rules, now, spot, rows):
        return {}
    oldest = now - rules.chain_max_seconds * SECOND
    return {
        row.contract: price_of(row, row.quoted_at, now)
        for row in rows
        if row.real_time and row.quoted_at >= oldest
    }


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
    found = _Choice(rules, now, spot)
    quoted = found.quoted(rows, prices, (close - now) / YEAR)
    candidates = found.candidates(quoted)
    if not candidates:
        return found.refused(DeclineReason.NO_CONTRACT)
    fresh = found.fresh(candidates)
    if not fresh:
        return found.refused(DeclineReason.QUOTE_TOO_OLD)
    roomy = found.roomy(fresh)
    if not roomy:
        return found.refused(DeclineReason.STOP_TOO_NEAR)
    return found.best(roomy, quoted if chain_age <= rules.chain_skew_seconds * SECOND else [])


class _Choice:
    """One choice, stage by stage; counts how many calls fell to each rule."""

    def __init__(self, rules: Rules, now: int, spot: float) -> None:
        self._rules = rules
        self._now = now
        self._spot = spot
        self._fallen: Counter[ContractRule] = Counter()
        self._considered = 0
        self._doubted = 0

    def quoted(self, rows: Iterable[ChainRow], prices: Mapping[str, Price], years: float) -> list[_Call]:
        """The symbol's plain calls with a two-sided quote, by strike. Marks those whose delta is out of order."""
        rules, calls = self._rules, list[_Call]()
        for row in rows:
            self._considered += 1
            price = prices.get(row.contract)
            fault = _listing_fault(rules, row, price)
            if fault is not None or price is None:
                self._fallen[fault or ContractRule.UNQUOTED] += 1
            else:
                calls.append(_Call(row, price, self._spot, years, rules.delta_doubt))
        calls.sort(key=_strike_of)
        _mark_out_of_order([call for call in calls if call.row.delta is not None])
        return calls

    def candidates(self, quoted: list[_Call]) -> list[_Candidate]:
        """Those whose quote is good enough to trade and whose delta is within the stretched range."""
        found = list[_Candidate]()
        for call in quoted:
            fault = _static_fault(self._rules, call.row, call.price)
            candidate = _candidate(self._rules, call) if fault is None else None
            self._doubted += fault is None and call.is_doubted
            if candidate is None:
                self._fallen[fault or ContractRule.DELTA] += 1
            else:
                found.append(candidate)
        return found

    def fresh(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Those whose quote is at most `ENTRY_QUOTE_SECONDS` old."""
        limit = self._rules.entry_quote_seconds * SECOND
        return self._left(ContractRule.AGE, candidates, lambda item: item.price.age(self._now) <= limit)

    def roomy(self, fresh: list[_Candidate]) -> list[_Candidate]:
        """Those whose stop a single tick cannot reach."""
        return self._left(ContractRule.STOP, fresh, lambda item: _has_room(self._rules, item))

    def best(self, roomy: list[_Candidate], neighbours: list[_Call]) -> Selected:
        """The cheapest inside the delta range, or the nearest to it when none is inside.

        ``neighbours``: calls by strike; a candidate's IV is compared with theirs.
        """
        rules = self._rules
        inside = [item for item in roomy if rules.delta_min <= item.delta <= rules.delta_max]
        pool = inside or roomy
        self._fallen[ContractRule.DELTA] += len(roomy) - len(pool)
        costs = {item.row.contract: _cost(item, neighbours) for item in pool}

        def rank(item: _Candidate) -> tuple[float, float, float, float, str]:
            return (
                0.0 if inside else _distance(rules, item.delta),
                costs[item.row.contract],
                -min(item.price.bid_size, item.price.ask_size),
                abs(item.row.strike / STRIKE_UNIT - self._spot),
                item.row.contract,
            )

        best = min(pool, key=rank)
        return Selected(
            row=best.row,
            price=best.price,
            delta=best.delta,
            iv=best.iv,
            in_range=bool(inside),
            cost_percent=costs[best.row.contract],
            entry=best.entry,
            stop=best.stop,
            considered=self._considered,
            fallen=_counts(self._fallen),
            doubted=self._doubted,
        )

    def refused(self, reason: DeclineReason) -> Refused:
        """No contract, for ``reason``, with the counts so far."""
        return Refused(
            reason=reason,
            considered=self._considered,
            fallen=_counts(self._fallen),
            doubted=self._doubted,
        )

    def _left(
        self, rule: ContractRule, items: list[_Candidate], stays: Callable[[_Candidate], bool]
    ) -> list[_Candidate]:
        left = [item for item in items if stays(item)]
        self._fallen[rule] += len(items) - len(left)
        return left


def _listing_fault(rules: Rules, row: ChainRow, price: Price | None) -> ContractRule | None:
    """The rule that a call fails before its quote is judged: another root, other shares, or no usable quote."""
    if not is_standard(row, rules.symbol):
        return ContractRule.SHARES
    if price is None:
        # Quoted, but without a price: the answer was delayed, or its quotes do not move.
        return ContractRule.DELAYED if row.quoted_at and row.bid and row.ask else ContractRule.UNQUOTED
    return None if price.two_sided else ContractRule.UNQUOTED


def _mark_out_of_order(calls: list[_Call]) -> None:
    """Mark the calls whose delta must be wrong, because delta falls as the strike rises. ``calls`` are by strike.

    The longest falling run is taken as right, so one wrong delta marks itself and not its neighbours.
    """
    ends: list[float] = []
    """For each length, the negated delta at the end of the best run."""
    lengths: list[int] = []
    for call in calls:
        rising = -(call.row.delta or 0.0)
        place = bisect_right(ends, rising)
        ends[place : place + 1] = [rising]
        lengths.append(place + 1)
    length, above = len(ends), math.inf
    for call, reached in zip(reversed(calls), reversed(lengths), strict=True):
        rising = -(call.row.delta or 0.0)
        if reached == length and rising <= above:
            length, above = length - 1, rising
        else:
            call.is_out_of_order = True


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
