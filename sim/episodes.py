"""What a simulated day is told to do: stretches that surge, fade or stay calm, on a grid of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from events import SECOND, Session

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Kind = Literal["surge", "fade", "calm"]

PRE_MARKET_S = 600
"""The simulated day begins this long before the open, s."""


class Effect(msgspec.Struct, frozen=True):
    """What an episode does to a second.

    ``drift`` is the log return per second, ``volume`` a factor on the normal volume (at the episode's begin and at
    its end), ``empty`` the probability that the second has no trade.
    """

    drift: float
    benchmark_drift: float
    volume: tuple[float, float]
    empty: float


EFFECTS: dict[Kind, Effect] = {
    "calm": Effect(drift=-1.5e-6, benchmark_drift=-1.2e-6, volume=(0.55, 0.55), empty=0.27),
    "surge": Effect(drift=3.0e-5, benchmark_drift=1.4e-5, volume=(2.5, 11.0), empty=0.02),
    "fade": Effect(drift=-4.5e-5, benchmark_drift=-2.5e-5, volume=(4.0, 3.0), empty=0.05),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """A scripted stretch of the session, from ``start_s`` seconds after the open.

    ``surge`` climbs steadily on growing volume, ``fade`` falls steadily, ``calm`` drifts down so quietly that
    it cannot produce a signal. Where two overlap, the later in the list counts.
    """

    start_s: int
    duration_s: int
    kind: Kind


class Day:
    """What both funds share: the grid of seconds, the day's shape, the episodes."""

    def __init__(self, session: Session, episodes: Sequence[Episode]) -> None:
        self.first = session.open - PRE_MARKET_S * SECOND
        self.regular = (session.close - session.open) // SECOND
        self.count = PRE_MARKET_S + self.regular
        seconds = np.arange(self.count) - PRE_MARKET_S
        part = np.clip(seconds / self.regular, 0.0, 1.0)
        self.shape: Floats = 1.0 + 2.2 * np.exp(-part * 13) + 1.5 * np.exp((part - 1) * 14)
        self.shape[:PRE_MARKET_S] = 0.35
        self.episode = np.full(self.count, -1, dtype=np.int64)
        self.episodes = tuple(episodes)
        for number, episode in enumerate(self.episodes):
            begin = PRE_MARKET_S + episode.start_s
            self.episode[max(0, begin) : max(0, begin + episode.duration_s)] = number

    def stretch(self, number: int) -> tuple[Effect, Flags, Floats]:
        """Returns an episode's effect, which seconds belong to it, and how far through it each of them is (0 to 1)."""
        episode = self.episodes[number]
        own: Flags = self.episode == number
        begin = PRE_MARKET_S + episode.start_s
        progress: Floats = (np.flatnonzero(own) - begin) / max(1, episode.duration_s)
        return EFFECTS[episode.kind], own, progress
