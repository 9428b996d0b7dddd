"""What a contestant's process tells of one run: time, and what it found. Standard library only, as peers need it."""

from __future__ import annotations

import json
import resource
import statistics
import zlib
from collections.abc import Sequence
from typing import Any

from benchmarks.contest import Stopwatch

KIB_IN_MIB = 1024


def told(watch: Stopwatch, found: Sequence[object], **more: Any) -> dict[str, Any]:
    """A result as `benchmarks.harness.call` reads it. ``found`` is anything that JSON can hold; it is told as a digest."""
    text = json.dumps(found, default=str).encode()
    return {
        "wall": watch.wall,
        "cpu": watch.cpu,
        "digest": f"{zlib.crc32(text):08x}",
        "count": len(found),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_IN_MIB,
        **more,
    }


def tell(result: dict[str, Any]) -> None:
    """Print a result as the last line of the process's output."""
    print(json.dumps(result), flush=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that ``percent`` of ``values`` do not exceed, between neighbours in a straight line."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)
