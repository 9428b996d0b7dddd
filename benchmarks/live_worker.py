"""`main.py` as it starts, with a clock of another day: ``python -m benchmarks.live_worker START_US SPEED ORIGIN_NS``.

A worker on the machine's clock would sleep outside sessions. Settings come from the environment, as always. Options:
``--warm AFTER_US`` says when a second after that has been evaluated with every window known; ``--session RECORD`` has
the facts of a record handled as if they came in, and says how much memory the process has then.
"""

from __future__ import annotations

import asyncio
import json
import random
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
STATUS = Path("/proc/self/status")
LOOK_S = 0.005
SETTLE_S = 2.0
PUSH_S = 0.2
"""Long enough for a push on loopback."""

TURN = 200
"""Facts handled before other tasks get a turn."""

KIB_IN_MIB = 1024


def say(**told: Any) -> None:
    """A line for whoever measures, among the log's lines."""
    print(json.dumps(told), flush=True)


def memory() -> dict[str, float]:
    """Resident memory now and at its highest, MiB, as Linux counts it."""
    lines = (line.split() for line in STATUS.read_text(encoding="ascii").splitlines())
    found = {line[0]: int(line[1]) / KIB_IN_MIB for line in lines if line[0] in ("VmRSS:", "VmHWM:")}
    return {"rss_mb": found["VmRSS:"], "highest_mb": found["VmHWM:"]}


async def tell_when_warm(worker: Any, after: int) -> None:
    """Look until a second after ``after`` (µs) has been evaluated and nothing is missing any more."""
    from events import DeclineReason  # noqa: PLC0415 - `main.py` is what is to import first

    missing = (
        DeclineReason.BLIND,
        DeclineReason.WARM_UP,
        DeclineReason.NOT_COVERED,
        DeclineReason.HELD,
    )
    while True:
        evaluation = None if worker.engine is None else worker.engine.evaluation
        if evaluation is not None and evaluation.start > after and evaluation.gate not in missing:
            say(warm=evaluation.start, gate=evaluation.gate)
            return
        await asyncio.sleep(LOOK_S)


async def live_through(worker: Any, record: Path) -> None:
    """Hand the desk every fact of a record but the outcomes, which the sender reports itself."""
    from events import AlertOutcome, FeedCause  # noqa: PLC0415
    from record.lines import Entry  # noqa: PLC0415
    from record.reader import Reader  # noqa: PLC0415

    while worker.engine is None or worker.engine.feed.cause is FeedCause.NOT_CONNECTED:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(LOOK_S)
    await asyncio.sleep(SETTLE_S)
    say(started=memory())
    for line in Reader(record):
        if not isinstance(line, Entry) or isinstance(line.event, AlertOutcome):
            continue
        position = worker.engine.position
        worker.live.handle(line.now, line.event)
        if worker.engine.position is not position:
            await asyncio.sleep(PUSH_S)  # a BUY that has not been sent when its SELL comes is withdrawn
        elif line.number % TURN == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(SETTLE_S)
    say(lived=memory(), evaluations=worker.engine.evaluations, entries=worker.engine.book.entries)


async def work(space: dict[str, Any], settings: Any, clock: Any, options: list[str]) -> int:
    """The worker, and beside it what looks at it."""
    worker = space["Worker"](settings, clock=clock, random_source=random.Random())
    looking: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:  # an error of those who look ends the process, and is seen
        if "--warm" in options:
            looking.append(group.create_task(tell_when_warm(worker, int(options[-1]))))
        if "--session" in options:
            looking.append(group.create_task(live_through(worker, Path(options[-1]))))
        with space["Watchdog"](asyncio.get_running_loop()):
            status: int = await worker.run()
        for task in looking:
            task.cancel()
    return status


def main() -> int:
    """Start as `main.py` does. It is compiled anew, as Python does it with the file that is run."""
    space = runpy.run_path(str(ROOT / "main.py"), run_name="live_worker")
    start, speed, origin_ns = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    settings, _ = space["load"]()
    clock = sys.modules["utils"].ScaledClock(start, speed, origin_ns)
    space["logger"].setup(
        level=settings.log_level,
        log_format=settings.log_format,
        log_file=settings.log_file,
        secrets=settings.secrets(),
        clock=clock.now,
    )
    return asyncio.run(work(space, settings, clock, sys.argv[4:]))


if __name__ == "__main__":
    sys.exit(main())
