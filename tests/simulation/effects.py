"""What each kind of fault does to the network, the services, the clock, the process and the disk around the worker."""

from __future__ import annotations

import asyncio
import errno
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sim.link import TO_CLIENT, TO_SERVER, Route
from sim.network import Network
from tests.simulation.disk import Disk
from tests.simulation.faults import Fault, Kind
from tests.simulation.host import Host
from tests.simulation.services import Services


class Stage(Protocol):
    """What faults act on."""

    network: Network
    services: Services
    disk: Disk
    host: Host
    source: random.Random

    def clock_changed(self) -> None:
        """Notes how far the worker's clock is off now."""

    def spoil_record(self, how: str) -> bool:
        """Does something to the record's name in its folder. Returns whether there was one."""


@dataclass(slots=True)
class Effect:
    """A fault in force: how often it has hit something so far, and how it is taken back."""

    hits: Callable[[], int]
    undo: Callable[[], None] = lambda: None


Play = Callable[[Stage, Fault], Effect]


class Layers:
    """Values that faults lay over attributes; taken back in any order, what is left on top holds."""

    def __init__(self) -> None:
        self._stacks: dict[tuple[int, str], list[list[Any]]] = {}

    def lay(self, target: object, name: str, value: Any) -> Callable[[], None]:
        """Sets an attribute. Returns what takes that back."""
        stack = self._stacks.setdefault((id(target), name), [[getattr(target, name)]])
        entry = [value]
        stack.append(entry)
        setattr(target, name, value)

        def undo() -> None:
            stack[:] = [each for each in stack if each is not entry]
            setattr(target, name, stack[-1][0])

        return undo


def once(count: int | bool) -> Effect:
    """The effect of something that happened at once."""
    return Effect(lambda: int(count))


# --- The market's own faults -------------------------------------------------------------------------

MARKET: Mapping[Kind, str] = {
    Kind.STALL: "silence",
    Kind.NO_PONG: "no_pong",
    Kind.KICK: "evict",
    Kind.MAX_CONNECTIONS_AT_AUTH: "max_connections_at_auth",
    Kind.ACCEPT_THEN_CLOSE: "accept_then_close",
    Kind.AUTH_FAILED: "refuse_auth",
    Kind.HANDSHAKE: "handshake",
    Kind.NO_ACK: "no_ack",
    Kind.NO_CONNECTED: "no_connected",
    Kind.GIANT_FRAME: "flood",
    Kind.GARBAGE: "garbage",
    Kind.ABSURD_PRINT: "absurd_print",
    Kind.SAME_AGAIN: "repeat",
    Kind.BURST: "burst",
    Kind.DUPLICATES: "duplicates",
    Kind.CORRECTIONS: "corrections",
    Kind.OUT_OF_ORDER: "out_of_order",
    Kind.FUTURE: "future",
    Kind.WRONG_SYMBOL: "wrong_symbol",
    Kind.WRONG_DAY: "wrong_day",
    Kind.MISSED_BARS: "missed_bars",
    Kind.HALT: "halt",
    Kind.REST_ERROR_BODY: "rest_error_body",
    Kind.TRUNCATED_PAGE: "truncated_page",
    Kind.ZERO_BIDS: "zero_bids",
    Kind.LATE: "late",
    Kind.ONE_SILENT: "one_silent",
    Kind.REST_429: "rest_429",
    Kind.REST_500: "rest_500",
    Kind.REST_RESET: "rest_reset",
    Kind.REST_HANG: "rest_hang",
    Kind.REST_SLOW: "rest_slow",
    Kind.REST_HTML: "rest_html",
    Kind.REST_BAD_JSON: "rest_bad_json",
    Kind.REST_EMPTY: "rest_empty",
    Kind.REST_NO_ROWS: "rest_no_rows",
    Kind.REST_NULL: "rest_null",
    Kind.REST_401: "rest_401",
    Kind.REST_403: "rest_403",
    Kind.BAD_PAGE: "bad_page",
    Kind.NEXT_URL_LOOP: "next_url_loop",
    Kind.NEXT_URL_OFFHOST: "next_url_offhost",
    Kind.AGGREGATES_LAG: "aggregates_lag",
    Kind.STALE_QUOTES: "frozen_quotes",
    Kind.DELAYED_QUOTES: "delayed_quotes",
    Kind.NO_QUOTES: "no_quotes",
    Kind.ABSURD_QUOTES: "absurd_quotes",
    Kind.ZERO_GREEKS: "zero_greeks",
    Kind.ABSURD_DELTA: "absurd_delta",
    Kind.ADJUSTED_ROOT: "adjusted_root",
    Kind.MARKET_CLOSED: "market_closed",
    Kind.SKEWED_DATE: "skewed_date",
    Kind.CACHED_DATE: "cached",
    Kind.NO_DATE: "no_date",
}
"""Kinds that the loopback market plays itself, and what it calls them."""

CONTRACT = re.compile(r"O:[A-Z]+\d{6}[CP]\d{8}")

DROPS_FIRST = frozenset(
    {Kind.ACCEPT_THEN_CLOSE, Kind.AUTH_FAILED, Kind.HANDSHAKE, Kind.NO_ACK, Kind.NO_CONNECTED}
)
"""Kinds that strike a new connection: what is open is dropped, so that there is one."""


def market(stage: Stage, fault: Fault) -> Effect:
    """Asks the loopback market for one of its faults."""
    if fault.kind in DROPS_FIRST:
        for link in tuple(stage.network.open_links(*feeds(fault))):
            link.reset()
    return asked_of(stage, fault, MARKET[fault.kind], **fault.options)


def asked_of(stage: Stage, fault: Fault, name: str, **options: Any) -> Effect:
    """Asks the market for a fault by its own name."""
    faults, times = stage.services.vendor.faults, options.pop("times", None)
    asked = faults.add(
        name, times=None if times is None else int(times), seconds=fault.seconds or None, **options
    )
    return Effect(lambda: asked.fired, lambda: faults.end(asked))


def contract_gone(stage: Stage, fault: Fault) -> Effect:
    """The contract of the newest BUY leaves the chain and the stream."""
    told = [CONTRACT.search(dict(push.fields).get("message", "")) for push in stage.services.pushes]
    found = [match[0] for match in told if match is not None]
    return asked_of(stage, fault, "contract_gone", contract=found[-1]) if found else once(0)


# --- The network -------------------------------------------------------------------------------------

HOSTS: Mapping[str, tuple[str, ...]] = {
    "socket": ("ws", "stocks", "options"),
    "rest": ("rest",),
    "push": ("push",),
    "": ("ws", "stocks", "options", "rest", "push", "heartbeat"),
}


def feeds(fault: Fault) -> tuple[str, ...]:
    """The sockets that a fault strikes."""
    feed = str(fault.options.get("feed", ""))
    return (feed,) if feed else ("stocks", "options")


class Weather:
    """The network's faults. ``layers`` keeps what lies on what."""

    def __init__(self) -> None:
        self.layers = Layers()

    def plays(self) -> Iterator[tuple[Kind, Play]]:
        """Each kind, and what plays it."""
        yield Kind.DROP, self._drop
        yield Kind.HALF_OPEN, self._half_open
        yield Kind.UNREACHABLE, self._unreachable
        yield Kind.NO_NAME, self._no_name
        yield Kind.LATENCY, self._latency
        yield Kind.CHOPPED, self._chopped
        yield Kind.TRICKLE, self._trickle
        yield Kind.PUSH_DOWN, self._push_down
        yield Kind.HEARTBEAT_DOWN, self._heartbeat_down

    def _set(self, routes: list[Route], name: str, value: Any, *hindrances: str) -> Effect:
        """Lays a value over an attribute of routes. Its hits are those of the hindrances meanwhile."""
        undos = [self.layers.lay(route, name, value) for route in routes]
        before = sum(route.hits[each] for route in routes for each in hindrances)

        def undo() -> None:
            for each in undos:
                each()

        return Effect(lambda: sum(route.hits[each] for route in routes for each in hindrances) - before, undo)

    def _drop(self, stage: Stage, fault: Fault) -> Effect:
        if fault["stage"] != "now":
            asked = stage.services.vendor.faults.add(
                "drop", feed=fault["feed"], stage=fault["stage"], times=1
            )
            for link in tuple(stage.network.open_links(*feeds(fault))):
                link.reset()
            return Effect(lambda: asked.fired)
        links = list(stage.network.open_links(*feeds(fault)))
        for link in links:
            way = link.directions[TO_CLIENT]
            way.cut_is_reset = fault["how"] == "rst"
            way.cut_after = way.delivered + int(fault["bytes"])
            if not fault["bytes"]:
                way.arrived(0)
        return Effect(lambda: sum(link.ended_by == "network" for link in links))

    def _half_open(self, stage: Stage, fault: Fault) -> Effect:
        routes = [stage.network.route(name) for name in feeds(fault)]
        to = fault["to"]
        before = self._set(routes, "hole_before", len(stage.network.links) + 1)
        holes = self._set(routes, "holes", [to in ("server", "both"), to in ("client", "both")], "holes")

        def undo() -> None:
            holes.undo()
            before.undo()

        return Effect(holes.hits, undo)

    def _unreachable(self, stage: Stage, fault: Fault) -> Effect:
        return self._down(stage, HOSTS[str(fault["host"])])

    def _down(self, stage: Stage, names: tuple[str, ...]) -> Effect:
        cut = 0
        for link in tuple(stage.network.open_links(*names)):
            link.reset()
            cut += 1
        refused = self._set([stage.network.route(name) for name in names], "dial", "refused", "dial")
        return Effect(lambda: cut + refused.hits(), refused.undo)

    def _no_name(self, stage: Stage, fault: Fault) -> Effect:
        routes = [stage.network.route(name) for name in HOSTS[str(fault["host"])]]
        how = stage.source.choice(("unknown", "silent"))
        return self._set(routes, "unresolved", how, "unresolved")

    def _latency(self, stage: Stage, fault: Fault) -> Effect:
        names = HOSTS[str(fault["host"])]
        routes = [stage.network.route(name) for name in names]
        carried = sum(link.carried for link in stage.network.links if link.route in routes)
        slow = self._set(routes, "latency_s", float(fault["by"]))
        return Effect(
            lambda: sum(link.carried for link in stage.network.links if link.route in routes) - carried,
            slow.undo,
        )

    def _chopped(self, stage: Stage, fault: Fault) -> Effect:
        routes = [stage.network.route(name) for name in HOSTS[str(fault["host"])]]
        return self._set(routes, "slice", int(fault["size"]), "slice")

    def _trickle(self, stage: Stage, fault: Fault) -> Effect:
        routes = [stage.network.route(name) for name in feeds(fault)]
        rate = [0.0, 0.0]
        rate[TO_CLIENT] = float(fault["rate"])
        rate[TO_SERVER] = 0.0
        return self._set(routes, "rate", rate, "rate")

    def _push_down(self, stage: Stage, fault: Fault) -> Effect:
        return self._down(stage, ("push",))

    def _heartbeat_down(self, stage: Stage, fault: Fault) -> Effect:
        how, services = str(fault["how"]), stage.services
        if how == "refused":
            return self._down(stage, ("heartbeat",))
        before = services.beat_hits
        name, value = ("beat_hangs", True) if how == "hang" else ("beat_status", int(how))
        undo = self.layers.lay(services, name, value)
        return Effect(lambda: services.beat_hits - before, undo)


# --- Clocks and the process --------------------------------------------------------------------------


def clock_step(stage: Stage, fault: Fault) -> Effect:
    """The wall clock steps, and perhaps back again."""
    clock, by, back = stage.host.clock, float(fault["by"]), float(fault["back"])
    clock.step(by)
    stage.clock_changed()
    if back:

        def again() -> None:
            clock.step(-by)
            stage.clock_changed()

        asyncio.get_running_loop().call_later(back, again)
    return once(1)


def clock_drift(stage: Stage, fault: Fault) -> Effect:
    """The wall clock runs fast or slow."""
    stage.host.clock.drift(float(fault["rate"]))

    def undo() -> None:
        stage.host.clock.drift(0.0)
        stage.clock_changed()

    return Effect(lambda: 1, undo)


def suspend(stage: Stage, fault: Fault) -> Effect:
    """The machine sleeps."""
    if stage.host.life is None:
        return once(0)
    stage.host.life.pause(fault.seconds, sleeps=bool(fault["stopped"]))
    return once(1)


def loop_lag(stage: Stage, fault: Fault) -> Effect:
    """A callback holds the loop up."""
    if stage.host.life is None:
        return once(0)
    stage.host.life.pause(float(fault["by"]))
    return once(1)


def ends(how: str) -> Play:
    """Returns what ends the worker."""

    def play(stage: Stage, fault: Fault) -> Effect:
        return once(stage.host.end_life(how, float(fault["restart"])))

    return play


def second_copy(stage: Stage, fault: Fault) -> Effect:
    """Another copy is started on the same folder."""
    is_running = stage.host.life is not None
    stage.host.second_copy()
    return once(is_running)


# --- The disk and the push service -------------------------------------------------------------------


class Layered:
    """Faults that lay a value over an attribute of the disk or of the push service."""

    def __init__(self) -> None:
        self.layers = Layers()

    def plays(self) -> Iterator[tuple[Kind, Play]]:
        """Each kind, and what plays it."""
        for kind, names in (
            (Kind.WRITE_FAILS, ("write_fault", "open_fault")),
            (Kind.SYNC_FAILS, ("sync_fault",)),
        ):
            yield kind, self._failing(names)
        yield Kind.READ_ONLY, lambda stage, fault: self._disk(stage, {"open_fault": errno.EACCES})
        yield Kind.SYNC_SLOW, lambda stage, fault: self._disk(stage, {"sync_s": float(fault["by"])})
        yield Kind.SHORT_WRITE, lambda stage, fault: self._disk(stage, {"is_short": True})
        yield Kind.PUSH_ANSWER, lambda stage, fault: self._push(stage, answer=str(fault["answer"]))
        yield Kind.PUSH_SLOW, lambda stage, fault: self._push(stage, slow_s=float(fault["by"]))
        yield Kind.PUSH_HANG, self._push_hang
        yield Kind.PUSH_LOST, lambda stage, fault: counted(stage, "lost", int(fault["times"]))
        yield Kind.PUSH_CUT, lambda stage, fault: counted(stage, "cut", int(fault["times"]))

    def _failing(self, names: tuple[str, ...]) -> Play:
        return lambda stage, fault: self._disk(
            stage, dict.fromkeys(names, getattr(errno, str(fault["errno"])))
        )

    def _disk(self, stage: Stage, values: Mapping[str, Any]) -> Effect:
        disk, hits = stage.disk, stage.disk.hits
        before = sum(hits[name] for name in values)
        undos = [self.layers.lay(disk, name, value) for name, value in values.items()]

        def undo() -> None:
            for each in undos:
                each()

        return Effect(lambda: sum(hits[name] for name in values) - before, undo)

    def _push(self, stage: Stage, **values: Any) -> Effect:
        push = stage.services.push
        before = sum(push.hits.get(name, 0) for name in values)
        undos = [self.layers.lay(push, name, value) for name, value in values.items()]

        def undo() -> None:
            for each in undos:
                each()

        return Effect(lambda: sum(push.hits.get(name, 0) for name in values) - before, undo)

    def _push_hang(self, stage: Stage, fault: Fault) -> Effect:
        return self._push(stage, hangs=True, hang_accepts=bool(fault["accepted"]))


def counted(stage: Stage, name: str, times: int) -> Effect:
    """The next so many messages meet something."""
    push = stage.services.push
    before = push.hits.get(name, 0)
    setattr(push, name, getattr(push, name) + times)

    def undo() -> None:
        setattr(push, name, 0)

    return Effect(lambda: min(times, push.hits.get(name, 0) - before), undo)


def folder(how: str) -> Play:
    """Returns what does something to the record's name."""
    return lambda stage, fault: once(stage.spoil_record(how or str(fault["by"])))


def plays() -> dict[Kind, Play]:
    """Returns what plays each kind."""
    return {
        **dict.fromkeys(MARKET, market),
        **dict(Weather().plays()),
        **dict(Layered().plays()),
        Kind.CONTRACT_GONE: contract_gone,
        Kind.CLOCK_STEP: clock_step,
        Kind.CLOCK_DRIFT: clock_drift,
        Kind.SUSPEND: suspend,
        Kind.LOOP_LAG: loop_lag,
        Kind.KILL: ends("kill"),
        Kind.TERMINATE: ends("stop"),
        Kind.CRASH: ends("crash"),
        Kind.SECOND_COPY: second_copy,
        Kind.FOLDER_GONE: folder("gone"),
        Kind.FILE_REPLACED: folder(""),
    }
