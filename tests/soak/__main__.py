"""`python -m tests.soak --days 5 --speed 60 --seed 1`: market days over real sockets, with a fault every 30 s of the market."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.soak import draw, judge
from tests.soak.ground import Seen
from tests.soak.play import Soak
from tests.soak.table import table
from utils import span_text

SPEED_MOST = 60.0
"""Beyond it, the machine's own delays look like the market's."""

SHOW_REAL_S = 5.0


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 nothing was wrong, 1 something was, 130 ended by Ctrl-C and nothing was wrong until then."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=5, metavar="N", help="market days (default 5)")
    parser.add_argument(
        "--minutes", type=float, default=0.0, metavar="N", help="so many minutes of one day instead"
    )
    parser.add_argument(
        "--speed", type=float, default=SPEED_MOST, metavar="N", help=f"at most {SPEED_MOST:g}"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="draws the market and the faults")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave records and logs in this new folder")
    chosen = parser.parse_args(words)
    if not 0 < chosen.speed <= SPEED_MOST or chosen.days < 1 or chosen.minutes < 0:
        parser.error(
            f"--speed is above 0 and at most {SPEED_MOST:g}, --days at least 1, --minutes not negative"
        )
    plan = draw.plan(chosen.seed, chosen.days, chosen.minutes)
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    seen, wrong, is_whole = asyncio.run(soaked(plan, folder, chosen.speed))
    print("\n".join(table(seen)))
    print(f"\n{len(wrong)} violations", *wrong, sep="\n  ")
    if wrong:
        print(f"Its records and logs: {folder}")
        return 1
    if chosen.keep is None:
        shutil.rmtree(folder)
    return 0 if is_whole else 130


async def soaked(plan: draw.Plan, folder: Path, speed: float) -> tuple[Seen, list[str], bool]:
    """Plays a run and judges it. Returns what was seen, what was wrong, and whether it was played to its end."""
    soak = Soak(plan, folder, speed, _Progress().show)
    loop, is_whole = asyncio.get_running_loop(), True

    def stop() -> None:
        nonlocal is_whole
        is_whole = False
        soak.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    seen = await soak.run()
    failed = [f"the soak itself failed: {error!r}" for error in soak.ground.failures()]
    (folder / "samples.json").write_bytes(msgspec.json.encode(seen.samples))
    print("Verifying the records.", file=sys.stderr, flush=True)
    return seen, [*failed, *judge.violations(seen)], is_whole


class _Progress:
    """A line every few seconds: how far it is, what it has seen, and how long the rest takes."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def show(self, seen: Seen) -> None:
        """Shows it, if that is due."""
        if (now := time.monotonic()) - self._shown < SHOW_REAL_S:
            return
        self._shown = now
        left = (seen.plan.awake - seen.awake) / 1e6 / seen.speed
        rss = (
            f"{seen.samples[-1].rss / 1e6:.0f} MB, {seen.samples[-1].descriptors} descriptors"
            if seen.samples
            else "–"
        )
        print(
            f"{span_text(seen.awake)} of {span_text(seen.plan.awake)}, {span_text(round(left * 1e6))} left; "
            f"{len(seen.done)} faults, process {len(seen.lives)}, {rss}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
