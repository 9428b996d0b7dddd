"""The demonstration: a made session through real sockets, the ordinary worker, and its alerts as the phone shows them."""

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
from events import SECOND
from record.folder import records
from record.reader import Damage
from review import verify
from review.screen import framed
from sim.market import Episode, Market
from sim.pushover import LoopbackPushover, Message
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
        """Run until stopped."""

    def stop(self) -> None:
        """Ask it to stop."""


MakeWorker = Callable[[Settings, KeptClock, random.Random], Runnable]


class Phone:
    """Shows each push as the phone would, and knows when the story is told."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.sold = asyncio.Event()

    def show(self, message: Message) -> None:
        """A push has arrived."""
        self.titles.append(message.title)
        print(framed(message.title, message.text), flush=True)
        if "SELL" in message.title:
            self.sold.set()

    def count(self, word: str) -> int:
        """How many pushes have a word in their title."""
        return sum(word in title for title in self.titles)


async def play(speed: float, make_worker: MakeWorker) -> int:
    """Play the demonstration at ``speed`` times real time. Returns the exit status: 0 when BUY and SELL came."""
    session = session_on(DAY)
    assert session is not None
    began = time.monotonic()
    market = Market(SEED, session, episodes=EPISODES)
    start = session.open + START_S * SECOND
    with tempfile.TemporaryDirectory(prefix="iwm-demo-") as folder:
        clock = ScaledClock(start, speed)
        phone = Phone()
        async with (
            LoopbackMarket(market, clock, API_KEY) as vendor,
            LoopbackPushover(clock, TOKEN, USER, on_message=phone.show) as pushover,
        ):
            settings = Settings(
                polygon_api_key=SecretStr(API_KEY),
                pushover_token=SecretStr(TOKEN),
                pushover_user_key=SecretStr(USER),
                polygon_rest_url=vendor.rest_url,
                polygon_ws_url=vendor.ws_url,
                pushover_url=pushover.url,
                data_dir=Path(folder) / "data",
                log_file=Path(folder) / "demo.log",
            )
            logger.setup(
                level=settings.log_level,
                log_format=settings.log_format,
                log_file=settings.log_file,
                secrets=settings.secrets(),
                clock=clock.now,
            )
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
            proofs = [verify.check(path) for path in records(Path(folder) / "data")]
        except Damage as damage:  # the disk had no room for it, or this machine lets no file be as long
            print(f"The demo's record could not be written whole on this machine: {damage}", file=sys.stderr)
            return 1
    buys, sells = phone.count("BUY"), phone.count("SELL")
    print(
        f"\n{span_text(spent)} of market time in {time.monotonic() - began:.0f} s: "
        f"{buys} BUY, {sells} SELL, {len(phone.titles) - buys - sells} other pushes.",
        flush=True,
    )
    for proof in proofs:
        print(f"The session's record: {proof}.")
    if status == 0 and buys == sells == 1:
        print("This is what your phone would have shown. Next: README.md, 'Running it for real'.")
        return 0
    print("The demonstration did not go as it should. Is this machine very busy? Try a smaller --speed.")
    return status or 1


async def _until_told(worker: Runnable, phone: Phone, clock: Clock) -> int:
    """Run the worker until the SELL has come, or it has been too long."""
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
