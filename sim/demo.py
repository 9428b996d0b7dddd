"""The demonstration: a simulated session through real sockets, the ordinary worker, and its alerts as on the phone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

import entry
import logger
from config import Settings
from events import SECOND, Session
from record.folder import records
from record.reader import Damage
from review import verify
from sim import kept
from sim.episodes import Episode
from sim.market import Market
from sim.next_steps import steps
from sim.phone import Phone, following_log
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

LOG = "demo.log"
"""The log's name in the demonstration's folder."""


PICTURE_REAL_S = 15.0
"""Real seconds that it waits for the picture of the trade."""


class Runnable(Protocol):
    """What the demonstration needs of a worker."""

    async def run(self) -> int:
        """Runs until stopped. Returns the exit status."""

    def stop(self) -> None:
        """Asks it to stop."""


MakeWorker = Callable[[Settings, KeptClock, random.Random], Runnable]


async def play(speed: float, make_worker: MakeWorker, keep: Path | None = None) -> int:
    """Plays the demonstration at ``speed`` times real time, and leaves its record.

    ``keep`` is the folder for it (None: a new temporary one). Returns the exit status: 0 when BUY and SELL came, 2 when
    ``keep`` cannot be used.
    """
    began = time.monotonic()
    market = Market(SEED, _session(), episodes=EPISODES)
    start = market.session.open + START_S * SECOND
    clock, phone = ScaledClock(start, speed), Phone()
    async with (
        LoopbackMarket(market, clock, API_KEY) as vendor,
        LoopbackPushover(clock, TOKEN, USER, on_message=phone.receive) as pushover,
    ):
        try:
            folder = kept.folder_for(keep)
        except kept.Refused as error:
            print(f"The demo cannot begin: {error}", file=sys.stderr)
            return entry.EXIT_CONFIGURATION
        _print_beginning(start, speed, folder)
        settings = _settings(vendor, pushover, folder)
        _set_up_log(settings, clock)
        with _last_word(folder), following_log(phone):
            status = await _until_told(make_worker(settings, clock, random.Random(SEED)), phone, clock)
        logger.close()
    spent = f"{span_text(clock.now() - start)} of market time in {time.monotonic() - began:.0f} s"
    try:
        proofs = {path: verify.check(path) for path in records(folder)}
    except Damage as damage:  # the disk had no room for it, or this machine lets no file be as long
        print(f"The demo's record could not be written completely on this machine: {damage}", file=sys.stderr)
        return entry.EXIT_FAILED
    print(f"\n{spent}: {phone.summary()}", flush=True)
    print(*(f"The session's record: {proof}." for proof in proofs.values()), *_saved(phone, folder), sep="\n")
    if status != entry.EXIT_OK or not phone.is_told():
        print("The demo did not go as planned. Is this machine very busy? Try a lower --speed.")
        return status or entry.EXIT_FAILED
    print("This is what your phone would have shown. Next: README.md, 'Running it for real'.")
    # What else shows the day goes into the folder here: nothing is printed after the commands.
    _print_steps(folder, *proofs)
    return entry.EXIT_OK


@contextlib.contextmanager
def _last_word(folder: Path) -> Iterator[None]:
    """Says where the record is after Ctrl-C, below what the worker logs as it ends."""
    try:
        yield
    except asyncio.CancelledError:
        logger.close()
        print(f"\nDemo stopped. Its record so far: {folder}", flush=True)
        raise


def _print_beginning(start: int, speed: float, folder: Path) -> None:
    print(
        f"A simulated session on local sockets: {DAY} from {clock_text(start)} New York time, "
        f"{speed:g} times faster than real time. No keys, no orders, no network.\nIts record is kept in {folder}\n",
        flush=True,
    )


def _saved(phone: Phone, folder: Path) -> list[str]:
    """Puts the pictures into the demonstration's folder. Returns a line about each, or why there is none."""
    try:
        paths = phone.save(folder)
    except OSError as error:
        return [f"The picture of the trade could not be kept: {error.strerror or error}"]
    lines = [f"The picture of the trade, as the phone would have it: {path}" for path in paths]
    return lines or ["There is no picture of the trade: the log may say why."]


def _print_steps(folder: Path, record: Path) -> None:
    print("\nTo try on its record:")
    for step in steps(folder, record):
        print("", step.text, *(f"  {command}" for command in step.commands), sep="\n")
    sys.stdout.flush()


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
        data_dir=folder,
        log_file=folder / LOG,
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
    pictured = asyncio.create_task(phone.pictured.wait(), name="pictured")
    try:
        await asyncio.wait((running, told, limit), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            await clock.sleep(AFTERGLOW_S)
            await asyncio.wait(
                (running, pictured), timeout=PICTURE_REAL_S, return_when=asyncio.FIRST_COMPLETED
            )
        worker.stop()
        return await running
    finally:
        for task in (running, told, limit, pictured):
            task.cancel()
        await asyncio.gather(running, told, limit, pictured, return_exceptions=True)
