"""Both vendors on loopback at one moment of the made day, and what the checks find there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import config
import diagnose
import utils
from checks.check import Severity
from checks.questions import LIMIT_S, Asked
from checks.vendors import check_network
from sim.account import Plan
from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.checks.given import KEY, MINUTE, SECRETS, SESSION, TOKEN, USER, settings_of
from tests.patience import PatientClock

SUNDAY = SESSION.open + (3 * 24 * 60 + 150) * MINUTE
"""Three days later at noon in New York."""

SOCKETS = Asked(sockets=True)

NOBODY = "ws://127.0.0.1:9"


@dataclass
class Report:
    """What the command printed, and its exit status."""

    status: int
    lines: list[str]
    errors: str

    def line(self, subject: str) -> str:
        """The one line about a subject, without its indent."""
        found = [line for line in self.lines if line[2:].startswith(subject)]
        assert len(found) == 1, (subject, self.lines)
        return found[0]

    def failing(self) -> list[str]:
        """The subjects of the lines with a cross."""
        return [line[2:].partition(":")[0] for line in self.lines if line.startswith("✗")]


class Vendors:
    """Both vendors on loopback at one moment of the made day, and what the preflight finds there."""

    def __init__(
        self,
        market: LoopbackMarket,
        pushover: LoopbackPushover,
        clock: utils.Clock,
        home: tuple[Path, pytest.MonkeyPatch, pytest.CaptureFixture[str]],
    ) -> None:
        self.market, self.pushover, self.clock = market, pushover, clock
        self._folder, self._monkeypatch, self._capture = home

    def _addresses(self) -> dict[str, str]:
        return {
            "POLYGON_REST_URL": self.market.rest_url,
            "POLYGON_WS_URL": self.market.ws_url,
            "PUSHOVER_URL": self.pushover.url,
        }

    async def run(self, *arguments: str, **changes: str) -> Report:
        """The command as it is run in a folder with a ``.env``, by the vendors' clock."""
        values = {**SECRETS, **self._addresses(), **changes}
        for name in (*config.variable_names(), *config.ALIASES, "RENDER"):
            self._monkeypatch.delenv(name, raising=False)
        self._monkeypatch.chdir(self._folder)
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        (self._folder / ".env").write_text(text, encoding="utf-8")
        async with asyncio.timeout(60):
            status = await asyncio.to_thread(diagnose.main, arguments, self.clock)
        output, errors = self._capture.readouterr()
        for secret in (*SECRETS.values(), *changes.values(), "Canary"):
            assert "Canary" not in secret or secret not in output + errors
        return Report(status, [line.strip() for line in output.splitlines()], errors)

    async def ask(self, asked: Asked | None = None, limit_s: float = LIMIT_S, **changes: str) -> Report:
        """Only the lines of the vendors, with a limit for each question."""
        settings = settings_of(**{**self._addresses(), **changes})
        async with asyncio.timeout(60):
            checks = await check_network(settings, self.clock, asked, limit_s=limit_s)
        lines = [check.line().strip() for check in checks]
        assert not [line for line in lines if "Canary" in line]
        status = diagnose.EXIT_FAILS if any(c.severity is Severity.FAIL for c in checks) else diagnose.EXIT_OK
        return Report(status, lines, "")


class Open:
    """Opens `Vendors` at a moment; all are closed when the test ends."""

    def __init__(
        self,
        market: Market,
        stack: AsyncExitStack,
        home: tuple[Path, pytest.MonkeyPatch, pytest.CaptureFixture[str]],
    ) -> None:
        self._market, self._stack, self._home = market, stack, home

    async def __call__(self, at: int, plan: Plan | None = None, speed: float = 1.0) -> Vendors:
        clock = PatientClock(at, speed)
        market = await self._stack.enter_async_context(LoopbackMarket(self._market, clock, KEY, plan=plan))
        pushover = await self._stack.enter_async_context(LoopbackPushover(clock, TOKEN, USER))
        return Vendors(market, pushover, clock, self._home)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives every connection one answer (none: it keeps it waiting). Yields its port and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).strip())
        if answer:
            writer.write(answer)
        else:
            while await reader.read(4096):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def http(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
