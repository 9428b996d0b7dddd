"""The markets that runs are played on, and a warm record of each: made once in a run of the tests, and copied for every run."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from events import SECOND, Session
from sim.demo import DAY
from sim.episodes import Episode
from sim.market import Market
from tests.simulation import SHARED
from utils import session_on

MARKETS = 4
"""How many markets take turns over the seeds."""

WARM_S = 540
"""The record begins with the open, and is this old when a run begins; no entry is made in the first 600 s."""

WINDOW_S = 600
"""The length of an ordinary run, market seconds: all of its faults begin within it."""

SURGE_S, SURGE_LASTS_S, FADE_LASTS_S = (660, 700, 740, 690), (130, 120, 150, 140), (240, 300, 120, 420)
"""For each market: when its rally begins, seconds after the open; how long that lasts, and the fall after it."""


@functools.cache
def session() -> Session:
    """The day that is played."""
    found = session_on(DAY)
    assert found is not None
    return found


@functools.cache
def market(number: int) -> Market:
    """Makes one of the markets."""
    surge, lasts, fades = SURGE_S[number], SURGE_LASTS_S[number], FADE_LASTS_S[number]
    end = surge + lasts + fades
    episodes = (
        Episode(0, surge, "calm"),
        Episode(surge, lasts, "surge"),
        Episode(surge + lasts, fades, "fade"),
        Episode(end, 1_500 - end, "calm"),
    )
    return Market(100 + number, session(), episodes=episodes)


def begin() -> int:
    """When an ordinary run begins, µs."""
    return session().open + WARM_S * SECOND


@functools.cache
def scratch() -> Path:
    """Where this process keeps its folders, until it ends; in memory where the machine has such a place."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def shared() -> Path:
    """Where the folders are that every process of a run of the tests may use, else this process's own."""
    named = os.environ.get(SHARED)
    return Path(named) if named else scratch()
