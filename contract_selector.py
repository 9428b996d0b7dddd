"""Selects one call from the chain and its quotes, or says why none fits. Decides which and at what price, never when. Pure."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
    ChainRow,
    ContractRule,
    DeclineReason,
)
from option_pricing import YEAR, call_delta, implied_volatility
from option_quotes import PERCENT, Price, is_standard
from rules import Rules

CENT = OPTION_PRICE_UNIT // 100

COMPARED_DIGITS = 6
"""Decimals that IV, delta and cost are rounded to before they are compared, so that float noise decides nothing."""

IV_DOUBT_FACTOR = 10.0
"""The factor by which a vendor's IV may differ from the implied one. A vendor that counts time to expiry in whole days is
off by a factor of 5 in the last hour (the root of 24); one that writes percent is off by 100."""


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen contract, and why it was chosen.

    ``entry`` and ``stop`` are in option price units, ``iv`` is a fraction per year. ``considered`` counts the chain's
    calls, ``fallen`` how many failed each rule first, ``doubted`` how many had a delta that the prices contradict.
    """

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
    """No contract, and why. The counts are those of `Selected`."""

    reason: DeclineReason
    considered: int = 0
    fallen: tuple[tuple[ContractRule, int], ...] = ()
    doubted: int = 0


class _Call:
    """One quoted call. Computes costly values on first use, and only once.

    ``spot`` is in dollars, ``years`` the time to expiry, ``doubt`` how far the vendor's delta may be off.
    """

    def __init__(self, row: ChainRow, price: Price, spot: float, years: float, doubt: float) -> None:
        self.row = row
        self.price = price
        self.is_out_of_order = False
        """Whether the vendor's delta contradicts the other strikes' deltas."""
        self._spot = spot
        self._years = years
        self._doubt = doubt

    @functools.cached_property
    def is_doubted(self) -> bool:
        """Returns whether the vendor's delta contradicts the price or the other strikes' deltas."""
        given, implied = self.row.delta, self._implied_delta
        if given is None:
            return False
        if implied is None:  # priced at or below intrinsic value, where delta is 1
            implied = 1.0
        return self.is_out_of_order or round(abs(given - implied), COMPARED_DIGITS) > self._doubt

    @functools.cached_property
    def delta(self) -> float | None:
        """Returns the vendor's delta if the price supports it, else the delta that the price implies.

        Returns None if no volatility explains the price, as below intrinsic value: nothing supports any delta then.
        """
        implied = self._implied_delta
        if implied is None or self.row.delta is None or self.is_doubted:
            return implied
        return round(self.row.delta, COMPARED_DIGITS)

    @functools.cached_property
    def iv(self) -> float | None:
        """Returns the vendor's IV, or the one that the mid implies if there is none or if the two are far apart."""
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


def entry_price(mid: int, ask: int, slippage: float) -> int:
    """Returns min(mid + slippage, ask), rounded up to a cent. ``slippage`` is in dollars, all else in option price units."""
    wanted = min(mid + round(slippage * OPTION_PRICE_UNIT), ask)
    return -(-wanted // CENT) * CENT


def level_below(price: int, percent: float) -> int:
    """Returns the greatest price that is at most ``price`` × (1 - ``percent`` / 100), without a float's error."""
    return math.floor(price * (100 - Decimal(str(percent))) / 100)


def pay_limit(entry: int, rules: Rules) -> int:
    """Returns the most to pay: ``entry`` plus `PAY_LIMIT_PERCENT` of it, or plus `PAY_LIMIT_MIN` if that is more.

    Rounds down to a cent. Prices are in option price units.
    """
    least = Decimal(str(rules.pay_limit_min)) * OPTION_PRICE_UNIT
    share = entry * Decimal(str(rules.pay_limit_percent)) / 100
    return math.floor((entry + max(least, share)) / CENT) * CENT


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
    """Returns the call to suggest at ``now``, or why there is none.

    ``prices`` has the newest quote of each contract. ``close`` is the session's close, when the call expires, ``spot``
    the share price in dollars, ``chain_age`` the age of ``rows``. Times are in µs.
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
    """One choice, stage by stage. Counts the calls that fail each rule."""

    def __init__(self, rules: Rules, now: int, spot: float) -> None:
        self._rules = rules
        self._now = now
        self._spot = spot
        self._fallen: Counter[ContractRule] = Counter()
        self._considered = 0
        self._doubted = 0

    def quoted(self, rows: Iterable[ChainRow], prices: Mapping[str, Price], years: float) -> list[_Call]:
        """Returns the symbol's plain calls with a two-sided quote, sorted by strike. Marks deltas that are out of order."""
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
        """Returns the calls whose quote is good enough to trade and whose delta is within the stretched range."""
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
        """Returns the candidates whose quote is at most `ENTRY_QUOTE_SECONDS` old."""
        limit = self._rules.entry_quote_seconds * SECOND
        return self._left(ContractRule.AGE, candidates, lambda item: item.price.age(self._now) <= limit)

    def roomy(self, fresh: list[_Candidate]) -> list[_Candidate]:
        """Returns the candidates whose stop lies further below the mid than a single tick falls."""
        return self._left(ContractRule.STOP, fresh, lambda item: _has_room(self._rules, item))

    def best(self, roomy: list[_Candidate], neighbours: list[_Call]) -> Selected:
        """Returns the cheapest candidate inside the delta range, or the nearest to the range if none is inside.

        A candidate's IV is compared with those of ``neighbours``, which are sorted by strike.
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
        """Returns a refusal for ``reason``, with the counts so far."""
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
    """Returns the rule that a call fails whatever its quote's quality: another root, other shares, or no usable quote."""
    if not is_standard(row, rules.symbol):
        return ContractRule.SHARES
    if price is None:
        # The row has a quote that was left out: it is delayed, or the answer's quotes do not move.
        return ContractRule.DELAYED if row.quoted_at and row.bid and row.ask else ContractRule.UNQUOTED
    return None if price.two_sided else ContractRule.UNQUOTED


def _mark_out_of_order(calls: list[_Call]) -> None:
    """Marks the calls whose delta must be wrong, because delta falls as the strike rises. ``calls`` are sorted by strike.

    Trusts the longest falling subsequence, found by patience sorting, so one wrong delta marks only itself.
    """
    ends: list[float] = []
    """For each length, the negated delta that ends the best run of that length."""
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
    """Returns the call with its entry and stop; None if its delta or IV is unknown, or its delta is out of reach."""
    price, delta = call.price, call.delta
    if delta is None or not _within_stretch(rules, delta) or (iv := call.iv) is None:
        return None
    entry = entry_price(price.mid, price.ask, rules.entry_slippage)
    stop = level_below(entry, rules.stop_loss_percent)
    return _Candidate(row=call.row, price=price, delta=delta, iv=iv, entry=entry, stop=stop)


def _static_fault(rules: Rules, row: ChainRow, price: Price) -> ContractRule | None:
    """Returns the first rule that the contract fails whatever its delta; None if it fails none."""
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
    """Returns how far a delta lies outside the range."""
    return round(max(rules.delta_min - delta, delta - rules.delta_max, 0.0), COMPARED_DIGITS)


def _has_room(rules: Rules, item: _Candidate) -> bool:
    """Returns whether the stop is at least `STOP_ROOM_SPREADS` spreads below the mid, so that a single tick does not sell."""
    return item.price.mid - item.stop >= rules.stop_room_spreads * (item.price.ask - item.price.bid)


def _cost(item: _Candidate, quoted: list[_Call]) -> float:
    """Returns spread plus overpayment, in percent of the premium. ``quoted`` is sorted by strike.

    Overpayment is how far the IV lies above the straight line between the neighbouring strikes' IVs.
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
    """Returns strike and IV of the first of ``calls`` with an IV; ``choose`` picks one if its strike has several."""
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
