"""`python -m research fetch` against the loopback market: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest

import utils
from research.__main__ import main
from sim.account import Plan
from sim.market import Market
from sim.server import LoopbackMarket
from tests.research.made import DAY, SEED, session

KEY = "made0up0key"
TODAY = date(2025, 7, 7)
"""The market's own day; an earlier one is fetched."""

PLAN = Plan(quote_history=False)
"""Bars and calls only, which is quick."""


async def ended(folder: Path, patch: pytest.MonkeyPatch, key: str, *arguments: str) -> int:
    """Runs the command while the market serves; returns its exit status."""
    market = Market(SEED, session(TODAY))
    clock = utils.ScaledClock(session(TODAY).open, 1.0)
    patch.chdir(folder)
    async with LoopbackMarket(market, clock, KEY, plan=PLAN) as server:
        patch.setenv("POLYGON_API_KEY", key)
        patch.setenv("POLYGON_REST_URL", server.rest_url)
        patch.setenv("HISTORY_DIR", str(folder / "history"))
        return await asyncio.to_thread(main, ["fetch", *arguments])


async def test_what_is_not_whole_is_said_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ended(tmp_path, monkeypatch, KEY, f"{DAY}..{DAY}") == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{DAY}  bars only   IWM ") and "Options Advanced" in said.out
    assert "1 bars only, in" in said.err and "ask again for what is not whole" in " ".join(said.err.split())
    assert KEY not in said.out + said.err


async def test_a_refused_key_is_said_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ended(tmp_path, monkeypatch, "another", str(DAY)) == 1
    said = capsys.readouterr()
    assert "the vendor refuses: key refused (401)" in said.err
    assert "look at POLYGON_API_KEY" in " ".join(said.err.split())
    assert "another" not in said.err


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ("yesterday", "takes one date or FROM..TO, such as 2025-10-01..2025-10-31, not 'yesterday'"),
        ("2025-10-01..", "takes one date or FROM..TO"),
        ("2025-10-02..2025-10-01", "begins after its end"),
    ],
)
def test_dates_that_are_none_end_with_status_2(
    dates: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fetch", dates])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_plan_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HISTORY_DIR", str(tmp_path / "history"))
    assert main(["fetch", "2025-09-29..2025-10-03", "--plan"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("5 sessions of IWM, 0 of them there already.\nTo fetch: about ")
    assert not (tmp_path / "history").exists()
