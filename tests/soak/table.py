"""The table that a soak ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from events import SECOND
from tests.soak import growth
from tests.soak.draw import Kind
from tests.soak.ground import Seen
from tests.soak.judge import brought, log_bytes, told
from utils import span_text

MB = 1e6


def table(seen: Seen) -> Iterator[str]:
    """Yields the lines of what was measured."""
    rows = [*_played(seen), *_memory(seen), *_counts(seen), *_files(seen), *_loop(seen), *_market(seen)]
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:<{width}}  {value}" for name, value in rows)
    yield ""
    yield f"{'fault':<28}{'brought':>9}{'hit':>9}"
    for name, (count, hit) in sorted(_faults(seen).items()):
        yield f"{name:<28}{count:>9,}{hit:>9}"


def _played(seen: Seen) -> Iterator[tuple[str, str]]:
    days = len(seen.plan.days)
    yield "seed", str(seen.plan.seed)
    yield (
        "market time",
        f"{span_text(seen.awake)} of {span_text(seen.plan.awake)} ({days} day{'s' if days > 1 else ''}, nights left out)",
    )
    yield "real time", f"{seen.real_s:,.0f} s, at {seen.speed:g} times its pace"
    ends = Counter(life.asked or f"by itself, status {life.status}" for life in seen.lives)
    yield "processes", f"{len(seen.lives)}: " + ", ".join(f"{name} {n}" for name, n in ends.items())
    stops = [life.ended_s for life in seen.lives if life.asked == "SIGTERM"]
    yield "longest stop", f"{max(stops, default=0):.1f} s real"


def _memory(seen: Seen) -> Iterator[tuple[str, str]]:
    begins = [0, *(night.at for night in seen.plan.nights)]
    grown = growth.by_day(seen.samples, begins)
    if grown is None:
        yield "memory by the day", "cannot be told: no process has seen three whole days"
    else:
        yield (
            "memory by the day",
            f"{grown.percent:+.2f} ± {grown.error:.2f} % a day, over {grown.days} whole days of one process",
        )
    within = growth.within_day(seen.samples)
    if within is not None:
        yield (
            "memory within a day",
            f"{within.percent:+.1f} ± {within.error:.1f} % in a session's length, for the windows that it fills; shown, not judged",
        )
    settled = growth.settled(seen.samples)
    yield (
        "memory",
        _range([sample.rss / MB for sample in settled or seen.samples], "MB", 1)
        + (" after the first hour" if settled else ", no process was an hour old"),
    )


def _counts(seen: Seen) -> Iterator[tuple[str, str]]:
    yield "descriptors", _range([float(sample.descriptors) for sample in seen.samples])
    yield "threads", _range([float(sample.threads) for sample in seen.samples])
    yield "tasks", _range([float(loop.tasks) for life in seen.lives for loop in life.loops])


def _files(seen: Seen) -> Iterator[tuple[str, str]]:
    yield (
        "log",
        f"{log_bytes(seen) / MB:.2f} MB at DEBUG in {len(list(seen.folder.glob('worker.log*')))} files",
    )
    files = sorted(path for path in seen.data.rglob("*") if path.is_file())
    yield "records and others", ", ".join(f"{path.name} {path.stat().st_size / MB:.2f} MB" for path in files)


def _loop(seen: Seen) -> Iterator[tuple[str, str]]:
    lags = sorted(lag for life in seen.lives for loop in life.loops for lag in loop.lags)
    if lags:
        shares = "  ".join(f"p{share:g} {quantile(lags, share):.1f}" for share in (50, 99, 99.9, 100))
        yield "loop's lag, ms real", f"{shares}  (SIGSTOPs are in it; the machine is shared with the market)"
    yield "the soak's own lag", f"{seen.late_s:.2f} s at most"


def quantile(values: Sequence[float], percent: float) -> float:
    """The value of a sorted list that so many percent do not exceed."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def _market(seen: Seen) -> Iterator[tuple[str, str]]:
    yield "connections", ", ".join(f"{name} {count}" for name, count in sorted(seen.connects.items()))
    buys, sells = told(seen, "BUY"), told(seen, "SELL")
    times = sorted(message.at for message in seen.messages)
    most = max(
        (sum(1 for at in times[i:] if at - first <= 600 * SECOND) for i, first in enumerate(times)), default=0
    )
    yield (
        "pushes accepted",
        f"{len(times)}: {sum(map(len, buys.values()))} BUY, {sum(map(len, sells.values()))} SELL, most in ten minutes {most}",
    )


def _faults(seen: Seen) -> dict[str, tuple[int, str]]:
    """How many of each fault were brought, and how often it hit, as far as its doer counts it."""
    found: dict[str, tuple[int, str]] = {}
    for fault, count in Counter(f.name for f in seen.done if f.kind is Kind.MARKET).items():
        found[fault] = count, f"{seen.fired[fault]:,}"
    for kind in Kind:
        if kind is not Kind.MARKET and (count := brought(seen, kind)):
            found[kind.value] = count, f"{seen.fired[kind.value]:,}"
    return found


def _range(values: Sequence[float], unit: str = "", digits: int = 0) -> str:
    if not values:
        return "not seen"
    ordered = sorted(values)
    low, middle, high = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    return f"{low:.{digits}f} to {high:.{digits}f}, median {middle:.{digits}f} {unit}".rstrip()
