"""*Start* and *memory*: process start to subscribed, to warm after a restart late in the session, and what it holds."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import ROOT, BenchmarkError, Context, Outcome, Row
from benchmarks.rebuild import record_of

SECOND = 1_000_000
OPEN_US = 1_759_411_800 * SECOND
"""2025-10-02 09:30 in New York: the made day's open."""

NOON_US = OPEN_US + 9_000 * SECOND
RESTART_US = OPEN_US + 21_600 * SECOND
"""15:30."""

GAP_S = 30
"""How long before the restart its record ends."""

EARLY_US = OPEN_US - 290 * SECOND
"""When the worker that lives through a session starts."""

GOAL = 1.5
"""Our time to the subscription over the bare process's, at most."""

GOAL_MB = 90.0

ROUNDS, QUICK_ROUNDS = 9, 4
WARM_ROUNDS = 3
"""None of them in a quick run: one takes a quarter of a minute."""

NS = 1_000_000_000
ASKED = "Pushover accepts our pushes"
"""The worker's line by which the first requests have been answered."""

LIMIT_S = 120.0
END_S = 10.0


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a process in ``folder``: our modules found, and their bytecode kept, as in a deployment.

    It is kept beside the folder and not in the checkout, so that nobody else's start is measured by accident.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode")}


def processor_s(process: int) -> float:
    """Seconds that the threads of a process have been at work so far, as Linux counts them; 0 on another system."""
    total = 0
    for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            total += int(task.read_text(encoding="ascii").split()[0])
    return total / NS


class Line(NamedTuple):
    """A line of a process, and the seconds since its start and at work when it came."""

    passed_s: float
    worked_s: float
    text: str


class Child:
    """A process whose lines are read with the time they came."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.began = time.perf_counter()
        self._log = (folder / "child.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            command,
            cwd=folder,  # no .env of this checkout
            env={**surroundings(folder), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            passed = time.perf_counter() - self.began
            self._lines.put(Line(passed, processor_s(self.process.pid), line))
        self._lines.put(None)

    def until(self, text: str) -> Line:
        """The first line that holds ``text``."""
        seen: list[str] = []
        end = time.perf_counter() + LIMIT_S
        while True:
            try:
                item = self._lines.get(timeout=max(0.0, end - time.perf_counter()))
            except queue.Empty:
                raise BenchmarkError(f"no line with {text!r} within {LIMIT_S:.0f} s") from None
            if item is None:
                told = "".join(seen[-8:]) + self._errors()
                raise BenchmarkError(f"a process ended before it said {text!r}:\n{told}")
            seen.append(item.text)
            if text in item.text:
                return item

    def _errors(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")[-1_000:]

    def end(self) -> None:
        """End it, whatever it does."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self._reader.join(END_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def child(
    folder: Path, module: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """A module of ours in a process of its own that is ended in any case."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    made = Child(command, folder, environment or {})
    try:
        yield made
    finally:
        made.end()


@contextlib.contextmanager
def vendors(
    folder: Path, start: int, speed: float = 1.0
) -> Iterator[tuple[dict[str, str], tuple[object, ...]]]:
    """The loopback vendors; yields a worker's environment, and the clock to give it."""
    with child(folder / "vendors", "loopback", start, speed) as served:
        told = json.loads(served.until("environment").text)
        yield told["environment"], (start, speed, told["origin_ns"])


@contextlib.contextmanager
def worker(
    folder: Path, environment: Mapping[str, str], clock: Sequence[object], *options: object
) -> Iterator[Child]:
    """A worker in ``folder``, where its data and log are, too."""
    with child(folder, "live_worker", *clock, *options, environment=environment) as started:
        yield started


class Start:
    """The benchmark."""

    name = "start"
    title = "from the process's start to subscribed and to warm, and its memory"

    def __init__(self) -> None:
        self._record = Path()

    def prepare(self, context: Context) -> None:
        """Make the record that the restart and the session are made of."""
        self._record, _ = record_of(context)

    def run(self, context: Context) -> Outcome:
        """Start, restart, and live through a session."""
        outcome = Outcome(rows=[])
        self._starts(context, outcome)
        if not context.quick:
            self._restarts(context, outcome)
        self._lives(context, outcome)
        return outcome

    def _starts(self, context: Context, outcome: Outcome) -> None:
        """Our process and the bare one in turns, against the same vendors."""
        ours: list[Line] = []
        bare: list[Line] = []
        with vendors(context.directory, NOON_US) as (environment, clock):
            # Once for nothing: from then on there is bytecode, as after the first start of a deployment. What is
            # imported with the first request, behind the subscription, counts: compiling it later takes memory.
            with worker(context.directory / "first", environment, clock) as started:
                started.until(ASKED)
            self._bare(context.directory / "first", environment)
            for number in range(QUICK_ROUNDS if context.quick else ROUNDS):
                for is_ours in (True, False) if number % 2 == 0 else (False, True):
                    folder = context.directory / f"start-{number}-{is_ours}"
                    (ours if is_ours else bare).append(
                        self._ours(folder, environment, clock) if is_ours else self._bare(folder, environment)
                    )
                context.say(
                    f"round {number + 1}: ours {ours[-1].passed_s:.2f} s, bare {bare[-1].passed_s:.2f} s"
                )
        both = list(zip(ours, bare, strict=True))
        passed = [(a.passed_s, b.passed_s) for a, b in both]
        worked = [(a.worked_s, b.worked_s) for a, b in both]
        outcome.raw["start_s"] = {"ours, bare: passed": passed, "ours, bare: worked": worked}
        outcome.rows.append(self._start_row("start to subscribed ÷ a bare process's", passed, GOAL))
        if all(seconds for pair in worked for seconds in pair):
            outcome.rows.append(self._start_row("processor time of these", worked, None))

    def _start_row(self, what: str, pairs: Sequence[tuple[float, float]], goal: float | None) -> Row:
        """Our time over the bare process's, of pairs of neighbours."""
        ours, bare = (min(pair[who] for pair in pairs) for who in (0, 1))
        return Row(
            benchmark=self.name, what=what, figure=ours / bare, goal=goal,
            median=statistics.median(a / b for a, b in pairs),
            note=f"{ours:.2f} s instead of {bare:.2f} s",
        )  # fmt: skip

    def _ours(self, folder: Path, environment: Mapping[str, str], clock: Sequence[object]) -> Line:
        with worker(folder, environment, clock) as started:
            return started.until("2 of 2 subscribed")

    def _bare(self, folder: Path, environment: Mapping[str, str]) -> Line:
        url, key = environment["POLYGON_WS_URL"], environment["POLYGON_API_KEY"]
        with child(folder, "bare_start", url, key) as started:
            return started.until("subscribed")

    def _restarts(self, context: Context, outcome: Outcome) -> None:
        """A start at 15:30 behind a record that ends half a minute earlier."""
        # Later than this process: its imports are no part of what is measured.
        from benchmarks.made_record import cut  # noqa: PLC0415

        subscribed: list[float] = []
        warm: list[float] = []
        until = RESTART_US - GAP_S * SECOND
        part = context.directory / "until-restart.jsonl"
        facts = cut(self._record, part, until)
        for number in range(WARM_ROUNDS):
            folder = context.directory / f"restart-{number}"
            sessions = folder / "data" / "sessions"
            sessions.mkdir(parents=True)
            shutil.copy(part, sessions / self._record.name)
            with (
                vendors(context.directory, RESTART_US) as (environment, clock),
                worker(folder, environment, clock, "--warm", RESTART_US) as started,
            ):
                subscribed.append(started.until("2 of 2 subscribed").passed_s)
                warm.append(started.until('"warm"').passed_s)
            context.say(f"restart {number + 1}: subscribed {subscribed[-1]:.2f} s, warm {warm[-1]:.2f} s")
        outcome.raw["restart_s"] = {"subscribed": subscribed, "warm": warm, "facts": facts}
        for what, values, note in (
            ("restart at 15:30 to subscribed", subscribed, f"{facts:,} facts folded first"),
            (
                "restart at 15:30 to warm",
                warm,
                "the gap is asked for again after 5 s, as the vendor's REST lags",
            ),
        ):
            outcome.rows.append(
                Row(
                    benchmark=self.name, what=what, figure=min(values), unit="s",
                    median=statistics.median(values), note=note,
                )
            )  # fmt: skip

    def _lives(self, context: Context, outcome: Outcome) -> None:
        """Memory at the start and when every fact of a session has been handled."""
        folder = context.directory / "session"
        context.say("living through a session")
        with (
            vendors(context.directory, EARLY_US) as (environment, clock),
            worker(folder, environment, clock, "--session", self._record) as started,
        ):
            first: dict[str, Any] = json.loads(started.until('"started"').text)
            last: dict[str, Any] = json.loads(started.until('"lived"').text)
        begin, end = first["started"], last["lived"]
        outcome.raw["memory_mb"] = {"start": begin, "session": end}
        outcome.rows += [
            Row(
                benchmark=self.name, what="memory at the start", unit="MB", figure=begin["rss_mb"],
                note="resident, subscribed, before the open",
            ),
            Row(
                benchmark=self.name, what="memory after a session", unit="MB", figure=end["rss_mb"], goal=GOAL_MB,
                note=f"at most {end['highest_mb']:.0f}; {last['evaluations']:,} evaluations, {last['entries']} entries",
            ),
        ]  # fmt: skip
