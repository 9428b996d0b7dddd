"""The chain benchmark: its page is what the vendor sends, and our side finds all of it. Nothing is timed."""

from __future__ import annotations

import asyncio
import json

from benchmarks.chain_ours import EVERY_STRIKE_PERCENT, run, shown
from benchmarks.contest import Stopwatch
from benchmarks.made_chain import ROWS, SPOT, page
from contract_selector import Selected
from rules import Rules

PAGE = page()
SENT = json.loads(PAGE)["results"]


def test_every_row_of_the_page_is_found_as_it_was_sent() -> None:
    chain, _ = asyncio.run(run(PAGE, 1, Stopwatch(), EVERY_STRIKE_PERCENT))
    assert len(SENT) == len(chain.rows) == ROWS
    for sent, row in zip(SENT, chain.rows, strict=True):
        quote = sent["last_quote"]
        assert shown(row) == (
            sent["details"]["ticker"],
            sent["details"]["strike_price"],
            quote["bid"],
            quote["ask"],
            quote["bid_size"],
            quote["ask_size"],
            sent["open_interest"],
        )
        assert (row.delta is None) == (not sent["greeks"])
        assert (row.iv is None) == ("implied_volatility" not in sent)


def test_a_contract_is_chosen_and_it_is_the_same_however_many_rows_are_kept() -> None:
    rules = Rules()
    watch = Stopwatch()
    _, near = asyncio.run(run(PAGE, 1, watch, rules.chain_spot_percent))
    _, every = asyncio.run(run(PAGE, 1, Stopwatch(), EVERY_STRIKE_PERCENT))
    assert isinstance(near, Selected) and isinstance(every, Selected)
    assert near.row == every.row
    assert rules.delta_min <= near.delta <= rules.delta_max
    assert every.considered == ROWS > near.considered > 0
    assert watch.cpu > 0


def test_the_page_thins_out_far_from_the_money_and_the_seed_decides() -> None:
    near = [row for row in SENT if abs(row["details"]["strike_price"] / SPOT - 1) < 0.02]
    assert all(row["greeks"] and "implied_volatility" in row for row in near)
    assert any("implied_volatility" not in row for row in SENT)
    assert page() == PAGE != page(2)
