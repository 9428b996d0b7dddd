"""Judges what chain and bars say about the vendor's plan, and how many calls pass the rules. Pure: it asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

import option_quotes
import utils
from checks.check import MARKET, Check, Severity
from checks.sessions import in_session
from contract_selector import Refused, select
from events import SECOND, STRIKE_UNIT, Bar, Chain, Session
from option_quotes import polled_prices
from rules import Rules
from wording import fallen_text

STOCKS_LAG_SECONDS = 120
"""An older newest bar, during a session, means a delayed plan: those are 900 s late."""

FIRST_QUOTES_SECONDS = 120
"""For so long after the open, the newest quotes may still be yesterday's."""

QUOTE_AGE_SECONDS = 15
"""A chain whose newest quote is older, during a session, prices nothing. Equal to `QUOTE_FROZEN_SECONDS`."""


def judge_chain(chain: Chain, session: Session, symbol: str, now: int) -> Check:
    """Judges the plan by a session's chain. Says what only an open market can prove."""
    subject = f"option chain: {symbol} calls of {session.date}"
    is_open = in_session(session, now)
    if not chain.rows:
        if is_open:
            do = f"nothing expires today, or SYMBOL is wrong: {symbol} needs daily expirations"
            return Check(MARKET, Severity.FAIL, f"{subject}: none", do)
        do = "run this again on the morning of that day"
        return Check(MARKET, Severity.WARNING, f"{subject}: none listed yet", do)
    quoted = [row for row in chain.rows if row.quoted_at and (row.bid or row.ask)]
    found = f"{subject}: {len(chain.rows)} strikes, {len(quoted)} quoted"
    if not quoted:
        do = "the plan has no option quotes: Options Advanced is needed"
        return Check(MARKET, Severity.FAIL, f"{found}, no last_quote", do)
    if not all(row.real_time for row in quoted):
        do = "a delayed plan: Options Advanced is needed"
        return Check(MARKET, Severity.FAIL, f"{found}, timeframe is not REAL-TIME", do)
    greeks = sum(row.delta is not None for row in quoted)
    found += f", REAL-TIME, {greeks} with delta"
    if not is_open:
        return Check(
            MARKET, Severity.OK, f"{found}; whether quotes are fresh can be told only after the open"
        )
    age = now - max(row.quoted_at for row in quoted)
    found += f", the newest {utils.span_text(age)} old"
    if age > QUOTE_AGE_SECONDS * SECOND and now - session.open > FIRST_QUOTES_SECONDS * SECOND:
        return Check(MARKET, Severity.WARNING, found, "they do not change: a halt, or a fault at the vendor")
    return Check(MARKET, Severity.OK, found)


def judge_bars(bars: Sequence[Bar], session: Session, symbol: str, now: int, *, proving: bool) -> Check:
    """Judges the plan by half an hour of one-second bars. ``proving``: the bars are of the session in progress."""
    if not proving:
        found = f"stock bars: {len(bars)} seconds of {symbol} in the last half hour of the last session"
        if not bars:
            return Check(MARKET, Severity.WARNING, found, "run this again during a session")
        return Check(
            MARKET, Severity.OK, f"{found}; whether they are real-time can be told only after the open"
        )
    found = f"stock bars: {len(bars)} seconds of {symbol} in the last half hour"
    age = now - bars[-1].end if bars else now - session.open
    found += f", the newest {utils.span_text(age)} old"
    if age > STOCKS_LAG_SECONDS * SECOND:
        return Check(MARKET, Severity.FAIL, found, "a delayed plan, or a halt: Stocks Advanced is needed")
    return Check(MARKET, Severity.OK, found)


def judge_contracts(chain: Chain, rules: Rules, session: Session, spot: float, now: int) -> Check:
    """Counts the calls that fail each rule for the contract now, by the worker's own selection and in its words."""
    result = select(
        rules,
        now=now,
        close=session.close,
        spot=spot,
        rows=chain.rows,
        prices=polled_prices(rules, now, spot, chain.rows),
        chain_age=0,
    )
    told = f"of {result.considered} call{'' if result.considered == 1 else 's'}"
    if fell := fallen_text(result.fallen):
        told += f", rejected by: {fell}"
    if isinstance(result, Refused):
        do = "no BUY as long as it stays so; the README says which setting each rule has"
        return Check(MARKET, Severity.WARNING, f"contracts: none passes right now; {told}", do)
    outside = "" if result.in_range else f", outside {rules.delta_min:.2f}–{rules.delta_max:.2f}"
    spread = f"spread {result.price.spread_percent:.1f}%"
    best = f"{result.row.contract} (Δ{result.delta:.2f}{outside}, {spread})"
    return Check(MARKET, Severity.OK, f"contracts: {best} would be chosen now; {told}")


def nearest(chain: Chain | None, spot: float | None, count: int) -> list[str]:
    """Returns the calls nearest the money, or those in the middle of the chain if the price is unknown."""
    rows = () if chain is None else chain.rows
    if not rows:
        return []
    middle = rows[len(rows) // 2].strike / STRIKE_UNIT if spot is None else spot
    return option_quotes.nearest(rows, middle, count)
