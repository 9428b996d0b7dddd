"""What chain and bars say about the plan, and how many calls pass the rules. It asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

import contract_selector
import utils
from checks.check import MARKET, Check, Severity
from checks.sessions import in_session
from contract_selector import Refused, polled_prices, select
from events import SECOND, STRIKE_UNIT, Bar, Chain, Session
from rules import Rules
from wording import fallen_text

STOCKS_LAG_SECONDS = 120
"""Age of the newest second, during a session, from which a plan must be a delayed one: those are 900 s late."""

FIRST_QUOTES_SECONDS = 120
"""So long after the open, yesterday's quotes may still be what there is."""

QUOTE_AGE_SECONDS = 15
"""Age of the newest quote of a whole chain, during a session, beyond which it prices nothing: `QUOTE_FROZEN_SECONDS`."""


def judge_chain(chain: Chain, session: Session, symbol: str, now: int) -> Check:
    """What a session's chain says about the plan, and what only an open market can prove."""
    subject = f"option chain: {symbol} calls of {session.date}"
    is_open = in_session(session, now)
    if not chain.rows:
        if is_open:
            do = f"nothing expires today, or SYMBOL is wrong: {symbol} needs daily expirations"
            return Check(MARKET, Severity.FAIL, f"{subject}: none", do)
        do = "ask again in the morning of that day"
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
        return Check(MARKET, Severity.OK, f"{found}; that quotes are fresh shows only after the open")
    age = now - max(row.quoted_at for row in quoted)
    found += f", the newest {utils.span_text(age)} old"
    if age > QUOTE_AGE_SECONDS * SECOND and now - session.open > FIRST_QUOTES_SECONDS * SECOND:
        return Check(MARKET, Severity.WARNING, found, "they stand still: a halt, or the vendor has trouble")
    return Check(MARKET, Severity.OK, found)


def judge_bars(bars: Sequence[Bar], session: Session, symbol: str, now: int, *, proving: bool) -> Check:
    """What the seconds of half an hour say about the plan; ``proving`` when they are the session's own."""
    if not proving:
        found = f"stock bars: {len(bars)} seconds of {symbol} in the last session's last half hour"
        if not bars:
            return Check(MARKET, Severity.WARNING, found, "ask again during a session")
        return Check(MARKET, Severity.OK, f"{found}; that they come in real time shows only after the open")
    found = f"stock bars: {len(bars)} seconds of {symbol} in the last half hour"
    age = now - bars[-1].end if bars else now - session.open
    found += f", the newest {utils.span_text(age)} old"
    if age > STOCKS_LAG_SECONDS * SECOND:
        return Check(MARKET, Severity.FAIL, found, "a delayed plan, or a halt: Stocks Advanced is needed")
    return Check(MARKET, Severity.OK, found)


def judge_contracts(chain: Chain, rules: Rules, session: Session, spot: float, now: int) -> Check:
    """How many calls fall to each rule for the contract at this moment, by the worker's own judgement and in its words."""
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
        told += f", fell to each rule: {fell}"
    if isinstance(result, Refused):
        do = "no BUY as long as it stays so; the README says which setting each rule has"
        return Check(MARKET, Severity.WARNING, f"contracts: none passes now; {told}", do)
    outside = "" if result.in_range else f", outside {rules.delta_min:.2f}–{rules.delta_max:.2f}"
    spread = f"spread {result.price.spread_percent:.1f}%"
    best = f"{result.row.contract} (Δ{result.delta:.2f}{outside}, {spread})"
    return Check(MARKET, Severity.OK, f"contracts: {best} would be taken now; {told}")


def nearest(chain: Chain | None, spot: float | None, count: int) -> list[str]:
    """The calls nearest the money; the middle of the chain where the price is not known."""
    rows = () if chain is None else chain.rows
    if not rows:
        return []
    middle = rows[len(rows) // 2].strike / STRIKE_UNIT if spot is None else spot
    return contract_selector.nearest(rows, middle, count)
