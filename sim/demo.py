"""The demonstration: a simulated session through real sockets, the ordinary worker, and its alerts as on the phone."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

import logger
from config import Settings
from events import SECOND, Session
from record.folder import records
from record.reader import Damage
from review import verify
from review.screen import framed
from sim.episodes import Episode
from sim.market import Market
from sim.push_account import Message
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from utils import Clock, KeptClock, ScaledClock, clock_text, session_on, span_text

DAY = date(2025, 10, 2)
SEED = 5
START_S = 4_200
"""The demonstration begins 70 minutes after the open: 10:40 in New York."""

EPISODES = (
    Episode(START_S - 1_800, 1_890, "calm"),
    Episode(START_S + 90, 130, "surge"),
    Episode(START_S + 220, 300, "fade"),
    Episode(START_S + 520, 600, "calm"),
)
LIMIT_S = 840
"""Market seconds after which the demonstration gives up: under 15 minutes."""

AFTERGLOW_S = 5
"""Market seconds that it goes on after the SELL."""

API_KEY = "demo-key-of-the-loopback-market"
TOKEN = "demotoken0demotoken0demotoken0"
USER = "demouser00demouser00demouser00"


class Runnable(Protocol):
    """What the demonstration needs of a worker."""

    async def run(self) -> int:
        """Runs until stopped. Returns the exit status."""

    def stop(self) -> None:
        """Asks it to stop."""


MakeWorker = Callable[[Settings, KeptClock, random.Random], Runnable]


class Phone:
    """Prints each push as the phone would show it, and knows when the SELL has come."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.sold = asyncio.Event()

    def show(self, message: Message) -> None:
        """Prints a push that has arrived."""
        self.titles.append(message.title)
        print(framed(message.title, message.text), flush=True)
        if "SELL" in message.title:
            self.sold.set()

    def summary(self) -> str:
        """How many pushes came, by kind."""
        buys, sells = self._count("BUY"), self._count("SELL")
        return f"{buys} BUY, {sells} SELL, {len(self.titles) - buys - sells} other pushes."

    def is_told(self) -> bool:
        """Whether the story was told: one BUY and one SELL."""
        return self._count("BUY") == self._count("SELL") == 1

    def _count(self, word: str) -> int:
        """How many pushes have a word in their title."""
        return sum(word in title for title in self.titles)


async def play(speed: float, make_worker: MakeWorker) -> int:
    """Plays the demonstration at ``speed`` times real time. Returns the exit status: 0 when BUY and SELL came."""
    began = time.monotonic()
    market = Market(SEED, _session(), episodes=EPISODES)
    start = market.session.open + START_S * SECOND
    with tempfile.TemporaryDirectory(prefix="iwm-demo-") as folder:
        clock = ScaledClock(start, speed)
        phone = Phone()
        async with (
            LoopbackMarket(market, clock, API_KEY) as vendor,
            LoopbackPushover(clock, TOKEN, USER, on_message=phone.show) as pushover,
        ):
            settings = _settings(vendor, pushover, Path(folder))
            _set_up_log(settings, clock)
            print(
                f"A made session on loopback sockets: {DAY} from {clock_text(start)} New York time, "
                f"{speed:g} times as fast. No keys, no orders, no network.\n",
                flush=True,
            )
            worker = make_worker(settings, clock, random.Random(SEED))
            status = await _until_told(worker, phone, clock)
            logger.close()
        spent = clock.now() - start
        try:
            proofs = [verify.check(path) for path in records(settings.data_dir)]
        except Damage as damage:  # the disk had no room for it, or this machine lets no file be as long
            print(f"The demo's record could not be written whole on this machine: {damage}", file=sys.stderr)
            return 1
    print(
        f"\n{span_text(spent)} of market time in {time.monotonic() - began:.0f} s: {phone.summary()}",
        flush=True,
    )
    for proof in proofs:
        print(f"The session's record: {proof}.")
    if status == 0 and phone.is_told():
        print("This is what your phone would have shown. Next: README.md, 'Running it for real'.")
        return 0
    print("The demonstration did not go as it should. Is this machine very busy? Try a smaller --speed.")
    return status or 1


def _session() -> Session:
    session = session_on(DAY)
    assert session is not None
    return session


def _settings(vendor: LoopbackMarket, pushover: LoopbackPushover, folder: Path) -> Settings:
    """Settings that point a worker at the loopback servers."""
    return Settings(
        polygon_api_key=SecretStr(API_KEY),
        pushover_token=SecretStr(TOKEN),
        pushover_user_key=SecretStr(USER),
        polygon_rest_url=vendor.rest_url,
        polygon_ws_url=vendor.ws_url,
        pushover_url=pushover.url,
        data_dir=folder / "data",
        log_file=folder / "demo.log",
    )


def _set_up_log(settings: Settings, clock: Clock) -> None:
    logger.setup(
        level=settings.log_level,
        log_format=settings.log_format,
        log_file=settings.log_file,
        secrets=settings.secrets(),
        clock=clock.now,
    )


async def _until_told(worker: Runnable, phone: Phone, clock: Clock) -> int:
    """Runs the worker until the SELL has come, or until the limit. Returns the worker's exit status."""
    running = asyncio.create_task(worker.run(), name="worker")
    told = asyncio.create_task(phone.sold.wait(), name="told")
    limit = asyncio.create_task(clock.sleep(LIMIT_S), name="limit")
    await asyncio.wait((running, told, limit), return_when=asyncio.FIRST_COMPLETED)
    if told.done():
        await clock.sleep(AFTERGLOW_S)
    worker.stop()
    for task in (told, limit):
        task.cancel()
    await asyncio.gather(told, limit, return_exceptions=True)
    return await running
