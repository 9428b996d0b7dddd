"""The contestant: a page's bytes through `Rest.chain` and `contract_selector.select` to the ranked contract.

``python -m benchmarks.chain_ours PAGE TIMES [--all]``. The HTTP client takes part; only its network is a page in memory.
All rows are read and checked, those near spot are kept and ranked, as the worker does it. With ``--all`` every row is
kept and ranked.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx

from benchmarks.contest import Stopwatch
from benchmarks.made_chain import CLOSE_S, DATE, NOW_S, SPOT
from benchmarks.measured import tell, told
from contract_selector import Refused, Selected, select
from events import OPTION_PRICE_UNIT, SECOND, STRIKE_UNIT, Chain, ChainRow
from feeds.massive.rest import Rest
from option_quotes import price_of
from rules import Rules
from utils import ScaledClock

EVERY_STRIKE_PERCENT = 60.0
"""Wide enough that every row is kept."""

WARM = 3

Seen = tuple[str, float, float, float, float, float, float]
"""Of each row what everyone must find: ticker, strike, bid, ask, their sizes, open interest."""


def rank(chain: Chain) -> Selected | Refused:
    """The contract, as the engine asks for it when the chain is all it knows."""
    now = NOW_S * SECOND
    return select(
        Rules(),
        now=now,
        close=CLOSE_S * SECOND,
        spot=SPOT,
        rows=chain.rows,
        prices={row.contract: price_of(row, row.quoted_at, now) for row in chain.rows},
        chain_age=0,
    )


async def run(body: bytes, times: int, watch: Stopwatch, percent: float) -> tuple[Chain, Selected | Refused]:
    """``times`` times from bytes to contract, then the whole page for comparison; the stopwatch runs after a few.

    ``percent``: how far from spot rows are kept.
    """
    headers = {"content-type": "application/json"}
    memory = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers=headers))
    rest = Rest("http://127.0.0.1", "benchmark-key", ScaledClock(NOW_S * SECOND, 1.0), memory)
    for number in range(WARM + times):
        if number == WARM:
            watch.start()
        chain = await rest.chain("IWM", DATE, SPOT, percent)
        chosen = rank(chain)
    watch.stop()
    whole = await rest.chain("IWM", DATE, SPOT, EVERY_STRIKE_PERCENT)
    await rest.aclose()
    return whole, chosen


def shown(row: ChainRow) -> Seen:
    """What is compared."""
    bid, ask = row.bid / OPTION_PRICE_UNIT, row.ask / OPTION_PRICE_UNIT
    return row.contract, row.strike / STRIKE_UNIT, bid, ask, row.bid_size, row.ask_size, row.open_interest


def main() -> None:
    """Rank, and tell."""
    body, times = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
    watch = Stopwatch()
    percent = EVERY_STRIKE_PERCENT if "--all" in sys.argv else Rules().chain_spot_percent
    chain, chosen = asyncio.run(run(body, times, watch, percent))
    if not isinstance(chosen, Selected):
        raise RuntimeError(f"no contract: {chosen.reason}")
    tell(told(watch, [shown(row) for row in chain.rows], contract=chosen.row.contract))


if __name__ == "__main__":
    main()
