"""The sockets, tried once against the made vendor."""

from __future__ import annotations

import re

import pytest

import diagnose
from sim.account import Plan
from tests.checks.given import BEFORE, IN_SESSION
from tests.checks.made_vendors import SOCKETS, Open


async def test_the_sockets_in_a_session(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, speed=4.0)
    report = await vendors.run("--sockets")
    assert report.status == diagnose.EXIT_OK, report.lines
    seen = re.fullmatch(
        r"✓ stocks socket: connected, key accepted, 2 of 2 subscribed, (\d+) bars, \d+\.\d s late \(median, limit 15 s\)",
        report.line("stocks socket"),
    )
    # Enough are 5; more than one may come in the last frame.
    assert seen is not None and int(seen[1]) >= 5, report.line("stocks socket")
    assert report.line("options socket").startswith(
        "✓ options socket: connected, key accepted, 10 of 10 subscribed, "
    )
    assert report.errors.splitlines() == [diagnose.SOCKETS_WARNING]
    # Closed with a close frame, so that the account's only connection is free at once.
    assert {(ended.cluster, ended.code) for ended in vendors.market.ended} == {
        ("options", 1000),
        ("stocks", 1000),
    }


async def test_bars_of_a_delayed_plan_on_the_socket(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, speed=20.0)
    vendors.market.faults.add("late", by=40.0)
    report = await vendors.ask(SOCKETS)
    found = re.fullmatch(
        r"✗ stocks socket: connected, key accepted, 2 of 2 subscribed, 5 bars, (\d+\.\d) s late \(median, limit 15 s\) "
        r"— a delayed plan or address: real time is needed",
        report.line("stocks socket"),
    )
    assert found is not None, report.line("stocks socket")
    assert float(found[1]) >= 40
    assert report.status == diagnose.EXIT_FAILS


async def test_a_plan_without_second_bars_on_the_socket(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE, Plan(stock_channels=("AM",)))
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 0 of 2 subscribed, not A.IWM, A.SPY (the vendor says: not "
        "authorized) — Stocks Advanced is needed for bars in real time"
    )


@pytest.mark.parametrize("feed", ["stocks", "options"])
@pytest.mark.parametrize("fault", ["evict", "max_connections_at_auth"])
async def test_another_copy_has_the_connection(vendors_at: Open, feed: str, fault: str) -> None:
    vendors = await vendors_at(BEFORE)
    vendors.market.faults.add(fault, feed=feed)
    report = await vendors.run()
    assert vendors.market.faults.fired[fault] == 1
    assert report.line(f"{feed} socket") == (
        f"✗ {feed} socket: max_connections: another copy has taken the connection — another copy has the account's "
        "only connection: stop it, or do not run this one (a second key does not help)"
    )
    assert report.failing() == [f"{feed} socket"]
    assert report.status == diagnose.EXIT_FAILS


async def test_a_pair_that_is_not_acknowledged(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    vendors.market.faults.add("no_ack", feed="stocks", pair="A.SPY")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 1 of 2 subscribed, not A.SPY "
        "— run this again; if it persists, check SYMBOL and BENCHMARK"
    )


async def test_a_socket_on_which_no_bars_come(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("silence", feed="stocks")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 2 of 2 subscribed, but no bars came in time "
        "— run this again; if it persists: a halt, or the plan"
    )
