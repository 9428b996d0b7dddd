"""Fixtures of the tests of the checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sim.market import Market
from tests.checks.given import SESSION
from tests.checks.made_vendors import Open
from tests.environment import bare

__all__ = ["bare"]  # a fixture that every test here uses, too


@pytest.fixture(scope="session")
def market() -> Market:
    return Market(7, SESSION)


@pytest.fixture
async def vendors_at(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:
        yield Open(market, stack, (tmp_path, monkeypatch, capsys))
