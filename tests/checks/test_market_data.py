"""Key, clock, plan and contracts against the made vendor: each fault is a line of its own."""

from __future__ import annotations

import re

import pytest

import diagnose
from sim.account import Plan
from tests.checks.given import BEFORE, IN_SESSION
from tests.checks.made_vendors import SOCKETS, Open


async def test_a_bad_key(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    report = await vendors.run(POLYGON_API_KEY="CanaryOtherKey")
    assert report.status == diagnose.EXIT_FAILS
    remedy = "— check POLYGON_API_KEY against the dashboard at massive.com"
    for subject in ("key", "option chain", "stock bars"):
        assert report.line(subject) == f"✗ {subject}: key refused (401): Unknown API Key {remedy}"
    for market in ("stocks", "options"):
        assert report.line(f"{market} socket") == (
            f"✗ {market} socket: auth_failed: authentication failed — The vendor refuses the API key (it says: "
            "authentication failed). Check POLYGON_API_KEY against the vendor's dashboard and start again."
        )
    assert report.failing() == ["key", "option chain", "stock bars", "stocks socket", "options socket"]
    # A refusal tells the time as well as any answer.
    assert report.line("clock").startswith("✓")


async def test_a_plan_without_option_quotes(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, Plan(option_channels=()))
    vendors.market.faults.add("no_quotes")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.status == diagnose.EXIT_FAILS
    assert report.line("option chain").endswith(
        "0 quoted, no last_quote — the plan has no option quotes: Options Advanced is needed"
    )
    assert report.line("contracts").startswith("⚠ contracts: none passes right now; of ")
    assert "rejected by: unquoted 19" in report.line("contracts")
    assert report.line("options socket").startswith(
        "⚠ options socket: connected, key accepted, 0 of 10 subscribed, not Q.O:IWM"
    )
    assert report.line("options socket").endswith(
        "the plan has no quote stream (Options Advanced does); without it the program polls the chain every 2 s"
    )
    assert report.failing() == ["option chain"]


async def test_a_delayed_plan(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("delayed_quotes")
    vendors.market.faults.add("aggregates_lag", by=900)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_FAILS
    assert report.line("option chain").endswith(
        "timeframe is not REAL-TIME — a delayed plan: Options Advanced is needed"
    )
    assert "rejected by: delayed 1" in report.line("contracts")
    assert "the newest 15m" in report.line("stock bars")
    assert report.line("stock bars").endswith("a delayed plan, or a halt: Stocks Advanced is needed")
    assert report.failing() == ["option chain", "stock bars"]


async def test_a_plan_without_chain_bars_and_streaming(vendors_at: Open) -> None:
    plan = Plan(chain=False, aggregates=False, websocket=False)
    report = await (await vendors_at(BEFORE, plan)).run()
    remedy = "the plan does not include it: Stocks Advanced and Options Advanced are needed"
    for subject in ("option chain", "stock bars"):
        assert report.line(subject).startswith(f"✗ {subject}: not in the plan (403): ")
        assert report.line(subject).endswith(remedy)
    assert "Your plan has no websocket access for stocks" in report.line("stocks socket")
    assert report.failing() == ["option chain", "stock bars", "stocks socket", "options socket"]


@pytest.mark.parametrize(("by", "text"), [(-45, "ahead of"), (45, "behind")])
async def test_a_clock_that_is_off(vendors_at: Open, by: float, text: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=by)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_FAILS
    assert report.failing() == ["clock"]
    found = re.fullmatch(
        rf"✗ clock: (4\d\.\d) s {text} the vendor's, which comes in whole seconds \(limit 2 s\) "
        r"— set this machine's clock \(NTP\): entries are held until then",
        report.line("clock"),
    )
    assert found is not None, report.line("clock")
    assert abs(float(found[1]) - abs(by)) < 3


@pytest.mark.parametrize(
    ("by", "fails", "text"),
    [
        (1.2, False, "s behind"),
        (-1.2, False, "s ahead of"),
        (2.8, True, "s behind"),
        (-2.8, True, "s ahead of"),
    ],
)
async def test_a_clock_at_both_sides_of_its_limit(
    vendors_at: Open, by: float, fails: bool, text: str
) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=by)
    report = await vendors.run()
    assert report.line("clock").startswith("✗ clock: " if fails else "✓ clock: ")
    assert f" {text} the vendor's, which comes in whole seconds (limit 2 s)" in report.line("clock")


async def test_a_clock_that_is_days_off(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=-3 * 86_400)
    report = await vendors.run()
    assert report.line("clock").startswith("✗ clock: 3 days ahead of the vendor's")


async def test_a_clock_that_cannot_be_compared(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("no_date")
    report = await vendors.run()
    assert "clock: could not be compared with the vendor's" in report.line("clock")


async def test_an_unscheduled_closing(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("market_closed")
    report = await vendors.run()
    assert report.line("key") == (
        "⚠ key: accepted; the exchange says closed, the calendar says open — no entries while it stays so"
    )
    assert report.status == diagnose.EXIT_OK


@pytest.mark.parametrize("fault", ["rest_html", "rest_bad_json", "rest_429", "rest_reset"])
async def test_a_vendor_in_trouble_costs_its_own_line_only(vendors_at: Open, fault: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add(fault, times=4, path="/v3/snapshot/")
    report = await vendors.run()
    assert report.failing() == ["option chain"]
    assert " — " in report.line("option chain")
    # What follows from it is not said as another fault.
    assert not [line for line in report.lines if "contracts" in line]
