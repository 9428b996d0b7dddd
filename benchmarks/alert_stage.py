"""The tick-to-alert benchmark's run: ``python -m benchmarks.alert_stage PEER_PYTHON FOLDER ALERTS``. Prints JSON.

The worker, the floor and the vendor's client run side by side, each in its own process, and take their turns within
each second of the market; this process is the vendors and the stopwatch. All read the same monotonic clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import alert_market as market
from benchmarks.alert_outside import Outside, Peer, Push

ROOT = Path(__file__).parent.parent

SPEED = 10
"""Market seconds in a real one: two frames of bars a market second, twenty a real one."""

LOAD_PER_S = 1_000
"""Frames a real second, with corrections, in the busy phase."""

LOAD_BEHIND_MAX = 50
"""Frames that are sent at once when the load has fallen behind; the others are left out."""

SENT_AFTER_S = 1
"""Market seconds after its end that a bar is sent."""

NS = 1_000_000_000
SECOND_NS = NS // SPEED
PUSH_LIMIT_NS = 2 * NS
PENDING_MAX = 10
"""Market seconds, a real one in all, that an alert is waited for; the market goes on meanwhile."""

START_LIMIT_NS = 90 * NS
LATE_NS = SECOND_NS
MISSES_MAX = 150
WARM = 12
"""Alerts that are not counted."""

END_S = 10.0

WORKER_KEY, PEER_KEY = "worker-key", "peer-key"
TOKEN, USER = "benchmarkToken0000000000000000", "benchmarkUser00000000000000000"

Samples = dict[str, dict[str, list[float]]]
"""Phase and contestant to times in µs, to the first byte and to the acceptance."""


class MadeMarket:
    """The market's time, and what the vendor answers about it."""

    def __init__(self) -> None:
        self.begin_us = (market.OPEN_S + market.BEGIN_S) * 1_000_000
        self.origin_ns = time.monotonic_ns()
        self.is_holding = False
        """Whether the worker holds a position: the option has given back a little then."""
        self.history = {
            symbol: [market.bar(symbol, second) for second in range(market.BEGIN_S)]
            for symbol in (market.SYMBOL, market.BENCHMARK)
        }

    def now_ms(self) -> int:
        """The market's time, ms of UTC."""
        passed_us = (time.monotonic_ns() - self.origin_ns) * SPEED // 1000
        return (self.begin_us + passed_us) // 1000

    def answer(self, path: str, query: dict[str, str]) -> bytes:
        """What REST answers."""
        del query
        parts = path.strip("/").split("/")
        if parts[1] == "marketstatus":
            return market.page({"market": "open", "exchanges": {"nyse": "open"}})
        if parts[1] == "aggs":
            first, last = int(parts[-2]), int(parts[-1])
            rows = [bar for bar in self.history[parts[3]] if first <= bar["s"] <= last]
            return market.page({"status": "OK", "results": [market.history_row(bar) for bar in rows]})
        at = self.now_ms()
        rows = [market.chain_row(strike, at, low=self.is_holding) for strike in market.STRIKES]
        if parts[-1].startswith("O:"):
            found = next(row for row in rows if row["details"]["ticker"] == parts[-1])
            return market.page({"status": "OK", "results": found})
        return market.page({"status": "OK", "results": rows})

    def send_quotes(self, options: Peer) -> None:
        """Send a quote of each contract that the worker has subscribed to."""
        at = self.now_ms()
        quotes = [market.quote(strike, at, low=self.is_holding) for strike in market.STRIKES]
        wanted = [quote for quote in quotes if f"Q.{quote['sym']}" in options.pairs]
        if wanted:
            options.send_frame(market.page(wanted))


class Stage:
    """What is sent in the market's time, and what comes back."""

    def __init__(self) -> None:
        self.made = MadeMarket()
        self.outside = Outside(self.made.answer)
        self.samples: dict[str, Samples] = {}
        self.missed = self.strays = self.load_sent = self.load_left_out = 0
        self._second = market.BEGIN_S
        self._number = 0
        self._rests = 0
        self._pending: tuple[int, str, int] | None = None
        """The deciding bar that has brought no push yet: when it was sent, its phase, and in which second."""
        self._load_to: Peer | None = None
        self._load_due_ns = 0
        self._form: dict[str, str] = {}

    # --- Who is there ---

    def _stream(self, key: str, path: str) -> Peer | None:
        return self.outside.streams.get((key, path))

    @property
    def is_up(self) -> bool:
        """Whether everyone is connected and subscribed."""
        wanted = ((WORKER_KEY, "/stocks"), (WORKER_KEY, "/options"), (PEER_KEY, "/stocks"))
        return all(self._stream(*name) for name in wanted) and bool(self.outside.controls)

    # --- Waiting ---

    def _work(self, until_ns: int, holds: Callable[[], bool]) -> bool:
        """Handle what comes and send the load until a time, or until something holds. Returns whether it does."""
        while not holds():
            now = time.monotonic_ns()
            if now >= until_ns:
                return False
            end = until_ns
            if self._load_to is not None:
                self._send_load(now)
                end = min(end, self._load_due_ns)
            self.outside.step((end - time.monotonic_ns()) / NS)
        return True

    def _send_load(self, now: int) -> None:
        behind = (now - self._load_due_ns) * LOAD_PER_S // NS
        if behind > LOAD_BEHIND_MAX:
            self.load_left_out += behind - LOAD_BEHIND_MAX
            self._load_due_ns = now - LOAD_BEHIND_MAX * NS // LOAD_PER_S
        while self._load_to is not None and self._load_due_ns <= now:
            number = self.load_sent
            again = market.correction(self._second - 100 - number % 500, number)
            self._load_to.send_frame(market.page([again]))
            self.load_sent += 1
            self._load_due_ns += NS // LOAD_PER_S

    def _await_push(self, token: str, until_ns: int) -> Push | None:
        """The next alert of a contestant; None when there is none in time. Other pushes, as alarms, are strays."""
        while self._work(until_ns, lambda: bool(self.outside.pushes)):
            push = self.outside.pushes.popleft()
            if push.form["token"] == token and ("BUY" in push.form["title"] or "SELL" in push.form["title"]):
                return push
            self.strays += 1
        return None

    # --- A second of the market ---

    def second(self, sort: str | None, turns: Sequence[str]) -> bool:
        """Play one second. ``sort``: the phase its alert is counted in, None for a second without one.

        Returns whether there was an alert of the worker.
        """
        due = self.made.origin_ns + (self._second - market.BEGIN_S + 1 + SENT_AFTER_S) * SECOND_NS
        self._work(due, lambda: False)
        is_late = time.monotonic_ns() - due > LATE_NS
        stocks, options = self._stream(WORKER_KEY, "/stocks"), self._stream(WORKER_KEY, "/options")
        benchmark_bar = market.bar(market.BENCHMARK, self._second)
        self.made.history[market.BENCHMARK].append(benchmark_bar)
        if stocks is not None:
            stocks.send_frame(market.page([benchmark_bar]))
        if options is not None:
            self.made.send_quotes(options)
        if not is_late and self._form and self._pending is None:
            for way in turns:
                self._turn(sort or "", way)
        self._work(due + SECOND_NS // 2, lambda: False)
        was_told = self._decide(stocks, None if is_late else sort, due + SECOND_NS)
        self._second += 1
        return was_told

    def _decide(self, stocks: Peer | None, sort: str | None, until_ns: int) -> bool:
        """Send the watched symbol's bar, and wait for its alert, if it is one that decides, till the second is over."""
        kind: market.Kind = "plain"
        if sort is not None and self._rests == 0 and self._pending is None:
            kind = "down" if self.made.is_holding else "up"
            self._number += kind == "up"
        self._rests = max(0, self._rests - 1)
        bar = market.bar(market.SYMBOL, self._second, kind, self._number)
        self.made.history[market.SYMBOL].append(bar)
        if stocks is None:
            return False
        payload = market.page([bar])
        if self._pending is None:
            self.outside.pushes.clear()
        began = stocks.send_frame(payload)
        if kind != "plain":
            self._pending = began, sort or "", self._second
        return self._pending is not None and self._settle(*self._pending, until_ns)

    def _settle(self, began: int, sort: str, second: int, until_ns: int) -> bool:
        """Wait for a deciding bar's alert. Returns whether it has come; after a while it is given up."""
        push = self._await_push(TOKEN, until_ns)
        if push is None:
            if self._second - second >= PENDING_MAX:
                self._pending = None
                self.missed += 1
            return False
        self._pending = None
        self._form = push.form
        self.made.is_holding = "BUY" in push.form["title"]
        self._rests = (
            0 if self.made.is_holding else 1
        )  # flat, quotes are handed on once a second: let the next one come
        self._keep(sort, "worker", began, push)
        return True

    def _turn(self, sort: str, way: str) -> None:
        """One turn of the floor (``floor``, ``bare``) or of the vendor's client (``massive``)."""
        self.outside.pushes.clear()
        limit = time.monotonic_ns() + PUSH_LIMIT_NS
        if way == "massive":
            stream = self._stream(PEER_KEY, "/stocks")
            if stream is None:
                raise RuntimeError("the vendor's client has gone")
            began = stream.send_frame(market.page([market.bar(market.SYMBOL, self._second, "up")]))
            push = self._await_push(PEER_KEY, limit)
        else:
            control = self.outside.controls[0].connection
            self.outside.lines.clear()
            form = self._form | {"token": way}
            control.sendall(f"{way} {json.dumps(form)}\n".encode())
            push = self._await_push(way, limit)
            if not self._work(limit, lambda: bool(self.outside.lines)):
                raise RuntimeError("the floor does not answer")
            began = int(self.outside.lines.popleft())
        if push is None:
            raise RuntimeError(f"no push of {way}")
        self._keep(sort, way, began, push)

    def _keep(self, sort: str, who: str, began: int, push: Push) -> None:
        kept = self.samples.setdefault(sort, {}).setdefault(who, {"first_us": [], "accepted_us": []})
        kept["first_us"].append((push.first_ns - began) / 1000)
        kept["accepted_us"].append((push.accepted_ns - began) / 1000)

    # --- The run ---

    def until_up(self) -> None:
        """Play plain seconds until everyone is there, and warm ones until alerts come."""
        end = time.monotonic_ns() + START_LIMIT_NS
        while not self.is_up:
            if time.monotonic_ns() > end:
                raise RuntimeError(f"not everyone has connected: {sorted(self.outside.streams)}")
            self.second(None, ())
        self.alerts("warm", WARM, ("floor", "bare", "massive"))
        self.missed = self.strays = 0  # before all windows are known, no bar decides

    def alerts(self, sort: str, count: int, turns: Sequence[str]) -> None:
        """Play seconds until there were ``count`` alerts of the worker."""
        told = misses = 0
        while told < count:
            if self.second(sort, turns):
                told, misses = told + 1, 0
            else:
                misses += 1
            if misses > MISSES_MAX:
                raise RuntimeError(f"no alert in {misses} seconds of the market; {self.missed} missed before")

    @contextlib.contextmanager
    def load(self, key: str) -> Iterator[None]:
        """A busy feed for one contestant."""
        self._load_to, self._load_due_ns = self._stream(key, "/stocks"), time.monotonic_ns()
        try:
            yield
        finally:
            self._load_to = None

    def peer_alone(self, sort: str, count: int) -> None:
        """Play seconds in which the vendor's client alone has something to tell."""
        for _ in range(count):
            due = self.made.origin_ns + (self._second - market.BEGIN_S + 1 + SENT_AFTER_S) * SECOND_NS
            self._work(due, lambda: False)
            stocks = self._stream(WORKER_KEY, "/stocks")
            for symbol in (market.BENCHMARK, market.SYMBOL):
                bar = market.bar(symbol, self._second)
                self.made.history[symbol].append(bar)
                if stocks is not None:
                    stocks.send_frame(market.page([bar]))
            options = self._stream(WORKER_KEY, "/options")
            if options is not None:
                self.made.send_quotes(options)
            self._turn(sort, "massive")
            self._second += 1


@contextlib.contextmanager
def running(stage: Stage, peer_python: Path, folder: Path) -> Iterator[None]:
    """The worker, the floor and the vendor's client, each in a process of its own, ended in any case."""
    ports = stage.outside.ports
    push_url = f"http://127.0.0.1:{ports['push']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    of_worker = {
        "POLYGON_API_KEY": WORKER_KEY,
        "POLYGON_REST_URL": f"http://127.0.0.1:{ports['vendor']}",
        "POLYGON_WS_URL": f"ws://127.0.0.1:{ports['vendor']}",
        "PUSHOVER_TOKEN": TOKEN,
        "PUSHOVER_USER_KEY": USER,
        "PUSHOVER_URL": push_url,
        **market.RULES,
    }
    clock = (str(stage.made.begin_us), str(SPEED), str(stage.made.origin_ns))
    floor = (str(folder / "floor.jsonl"), str(ports["control"]), push_url)
    peer = (f"127.0.0.1:{ports['vendor']}", push_url, PEER_KEY, str(market.SURGE_VOLUME))
    commands: tuple[tuple[str, str, str, tuple[str, ...], dict[str, str]], ...] = (
        ("worker", sys.executable, "benchmarks.live_worker", clock, of_worker),
        ("floor", sys.executable, "benchmarks.alert_floor", floor, {}),
        ("massive", str(peer_python), "benchmarks.peers.massive_alert", peer, {}),
    )
    with contextlib.ExitStack() as stack:
        for name, python, module, arguments, more in commands:
            log = stack.enter_context((folder / f"{name}.txt").open("w", encoding="utf-8"))
            process = subprocess.Popen(
                [python, "-m", module, *arguments],
                cwd=folder,
                env=environment | more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait, END_S)
            stack.callback(process.kill)
        yield


def main() -> None:
    """Run all phases and print the samples."""
    peer_python, folder, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage()
    turns = ("floor", "bare", "massive")
    with contextlib.closing(stage.outside), running(stage, peer_python, folder):
        try:
            stage.until_up()
            stage.alerts("quiet", count, turns)
            with stage.load(WORKER_KEY):
                stage.alerts("busy", count, turns[:2])
            with stage.load(PEER_KEY):
                stage.peer_alone("busy", count)
        except RuntimeError as error:
            end = (folder / "worker.txt").read_text(encoding="utf-8")[-2_000:]
            raise SystemExit(f"{error}\n{end}") from None
    told: dict[str, Any] = {
        "samples": stage.samples,
        "missed": stage.missed,
        "strays": stage.strays,
        "load_sent": stage.load_sent,
        "load_left_out": stage.load_left_out,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
