"""Draws the faults of a seed. Knows only the table of faults (`tests/simulation/kinds.py`)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.simulation.faults import Fault, Place
from tests.simulation.kinds import KINDS

WINDOW_S = 600.0
"""The length of an ordinary run, market seconds: its faults begin within it."""

SESSION_EVERY = 100
"""One seed in so many is a whole session: those that end with this number less one."""

SESSION_S = 23_400.0
"""The length of a session, market seconds."""

HOT = (150.0, 240.0, 360.0)
"""Where the markets' rallies bring a BUY, and where its SELL comes, market seconds after an ordinary run's begin."""

WEIGHTS: Mapping[Place, int] = {
    Place.SOCKET: 6,
    Place.PAYLOAD: 4,
    Place.REST: 4,
    Place.CLOCK: 2,
    Place.PROCESS: 3,
    Place.LOOP: 1,
    Place.DISK: 3,
    Place.PUSH: 4,
    Place.HEARTBEAT: 1,
}
"""How often faults strike there, of 28."""

NONE_SHARE = 0.04
"""The share of seeds without any fault."""

COUNTS, COUNT_WEIGHTS = (1, 2, 3, 4, 5, 6), (15, 30, 30, 12, 8, 5)
"""How many faults ten minutes have. Pairs and triples are what breaks real systems (Yuan et al., OSDI 2014: 77 % of
failures need more than one event, 90 % no more than three)."""

SESSION_COUNTS = (3, 30)
"""How many faults a whole session has."""

TOGETHER_SHARE, TOGETHER_S = 0.6, 30.0
"""The share of further faults that strike near another, and how near, s."""

HOT_SHARE, HOT_S = 0.5, 20.0
"""The share of first faults that strike near a moment that matters, such as a BUY, and how near, s."""


def draw(seed: int, length: float = WINDOW_S, hot: Sequence[float] = ()) -> list[Fault]:
    """Draws the faults of a seed, in the order of their times.

    ``length`` is the run's, market seconds. ``hot`` are moments that matter, market seconds after the begin.
    """
    source = random.Random(seed)
    if source.random() < NONE_SHARE:
        return []
    if length > 2 * WINDOW_S:
        count = source.randint(*SESSION_COUNTS)
    else:
        count = source.choices(COUNTS, COUNT_WEIGHTS)[0]
    faults: list[Fault] = []
    for _ in range(count):
        faults.append(_drawn(source, _moment(source, faults, length, hot)))
    return sorted(faults, key=lambda fault: fault.at)


def is_session(seed: int) -> bool:
    """Whether a seed is a whole session."""
    return seed % SESSION_EVERY == SESSION_EVERY - 1


def drawn(seed: int) -> list[Fault]:
    """Draws the faults of a seed of the suite: ten minutes with a rally, or a whole session."""
    return draw(seed, SESSION_S) if is_session(seed) else draw(seed, hot=HOT)


def _moment(source: random.Random, faults: Sequence[Fault], length: float, hot: Sequence[float]) -> float:
    if faults and source.random() < TOGETHER_SHARE:
        at = source.choice(faults).at + source.uniform(-TOGETHER_S, TOGETHER_S)
    elif hot and source.random() < HOT_SHARE:
        at = source.choice(hot) + source.uniform(-HOT_S, HOT_S)
    else:
        at = source.uniform(0, length)
    return round(min(max(at, 0.0), length), 3)


def _drawn(source: random.Random, at: float) -> Fault:
    place = source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    kind = source.choice([kind for kind, spec in KINDS.items() if spec.place is place])
    spec = KINDS[kind]
    seconds = 0.0 if spec.seconds is None else float(spec.seconds.draw(source))
    return Fault(kind, at, seconds, {name: of.draw(source) for name, of in spec.options.items()})
