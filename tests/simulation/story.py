"""What the worker's surroundings saw of one run. It is gathered apart from the worker's code, and nothing in it is judged.

Every time is µs of UTC by the true clock: the market's. The worker's own clock may be off (`ClockChange`). None stands for
what never happened. No list has the warm part: a story begins with the first life, on a record that others have written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from record.folder import record_path


class Place(StrEnum):
    """What the worker connects to."""

    STOCKS = "stocks"
    OPTIONS = "options"
    REST = "rest"
    PUSH = "push"
    HEARTBEAT = "heartbeat"
    UNKNOWN = "unknown"
    """A connection that ended before it said what it was for."""


class DialEnd(StrEnum):
    """What became of an attempt to connect."""

    CONNECTED = "connected"
    REFUSED = "refused"
    UNRESOLVED = "unresolved"
    """The name server did not know the name, or did not answer."""
    GIVEN_UP = "given up"
    """The worker cancelled it: nothing answered in time, or the worker ended."""


class LifeEnd(StrEnum):
    """How a life of the worker ended."""

    STOPPED = "stopped"
    """It was asked to stop (SIGTERM), and did."""
    CUT_OFF = "cut off"
    """It was asked to stop, and had not 23 s later: its own deadline ended the process (status 0)."""
    KILLED = "killed"
    """SIGKILL, a power cut, or a host that died."""
    ENDED = "ended"
    """It ended by itself, with a status of its own."""
    CRASHED = "crashed"
    """An exception came out of `Worker.run`."""
    WATCHDOG = "watchdog"
    """Its loop had stood for 30 s: its watchdog ended the process (status 1)."""


class DiskAction(StrEnum):
    """What was done to a record's file."""

    OPEN = "open"
    WRITE = "write"
    SYNC = "sync"
    TRUNCATE = "truncate"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Dial:
    """An attempt of the worker to open a connection, on the way from its call to its end."""

    at: int
    ended_at: int | None
    life: int
    place: Place
    end: DialEnd
    connection: int | None
    """The connection that came of it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection, as the network saw it."""

    number: int
    life: int
    place: Place
    opened_at: int
    closed_at: int | None
    """When the first side ended it, or the network cut it."""
    ended_by: str
    """``worker``, ``server``, ``network`` (a reset by a fault) or ``death`` (the worker's process ended); empty: still open."""
    is_reset: bool
    """Whether it ended without a FIN."""
    sent: int
    """Bytes that the worker wrote."""
    received: int
    """Bytes that reached the worker."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One websocket message of the market, whole."""

    at: int
    connection: int
    cluster: Place
    payload: str | bytes
    arrived_at: int | None
    """When its last byte reached the worker's process; None: never (cut, blackholed, or the run ended before)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the worker said on a websocket: ``auth`` (``pairs`` is empty), ``subscribe``, ``unsubscribe`` or other."""

    at: int
    """When it reached the market."""
    connection: int
    cluster: Place
    action: str
    pairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A REST request that reached the market whole."""

    at: int
    connection: int
    life: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    """Never with a key."""
    status: int
    """0: it was not answered (reset, hung or still open)."""
    answered_at: int | None
    """When the server had written the whole answer."""
    body: bytes
    """The answer's body as the market made it; the worker may have received only part of it."""


@dataclass(frozen=True, slots=True)
class Push:
    """A request to ``messages.json``, from its first byte on the worker's side. A part of it may never have arrived."""

    life: int
    connection: int
    first_byte_at: int
    """When the worker wrote its first byte."""
    fields: tuple[tuple[str, str], ...]
    """Every field but the keys, as far as they reached the service; empty if not all of them did."""
    has_picture: bool
    arrived_at: int | None
    """When the service had the whole request."""
    accepted_at: int | None
    """When the service accepted it: from then on the phone has it, whatever became of the answer."""
    status: int
    """What it was answered with; 0: not at all."""
    answered_at: int | None
    """When the service had written its answer."""
    answer_arrived_at: int | None
    """When the answer's last byte reached the worker's process; None: it was cut, or never came."""
    receipt: str

    @property
    def text(self) -> dict[str, str]:
        """The fields by name."""
        return dict(self.fields)


@dataclass(frozen=True, slots=True)
class ServiceQuestion:
    """Any other request to the push service: its path, such as ``receipts/r01.json``, ``limits.json``, ``users/validate.json``."""

    at: int
    life: int
    path: str
    status: int
    """0: not answered."""
    answered_at: int | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The owner tapped an emergency push on the phone."""

    at: int
    receipt: str


@dataclass(frozen=True, slots=True)
class Beat:
    """A request to the heartbeat's service: ``word`` is empty for a beat, else ``start`` or ``fail``."""

    at: int
    life: int
    word: str
    text: str
    status: int
    """0: not answered."""


@dataclass(frozen=True, slots=True)
class Life:
    """One process of the worker."""

    number: int
    began_at: int
    stop_asked_at: int | None
    ended_at: int | None
    """None: it was still running when the run ended, which never happens: the run stops it."""
    end: LifeEnd | None
    status: int | None
    """Its exit status; None for a killed one."""
    error: str
    """Type and text of the exception that ended it."""
    pauses: tuple[tuple[int, int], ...]
    """From when to when nothing of this process ran (SIGSTOP, a blocked loop, a starved processor)."""


@dataclass(frozen=True, slots=True)
class DiskEvent:
    """Something that was done to a record's file."""

    at: int
    done_at: int | None
    """When it was finished: a sync on a slow disk takes long. None: the worker died before."""
    life: int
    name: str
    """The file's name."""
    action: DiskAction
    offset: int
    """The file's size before it (for ``TRUNCATE``: after it)."""
    data: bytes
    """What was written, as far as it reached the page cache."""
    error: str
    """The error's name, such as ``ENOSPC``; empty: it worked."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the worker's log, without a fault of its own: the simulated console never fails."""

    at: int
    life: int
    text: str


@dataclass(frozen=True, slots=True)
class ClockChange:
    """From ``at`` on, the worker's wall clock is ahead of the true one by ``ahead`` µs (negative: behind)."""

    at: int
    ahead: int


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault of the schedule, and how often it really hit something."""

    number: int
    """Its place in the schedule."""
    kind: str
    at: int
    until: int
    hits: int


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file in the worker's folder when the run had ended."""

    name: str
    size: int
    digest: str
    """SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True)
class Story:
    """One run, from the first life's start to the last one's end."""

    seed: int
    session: str
    """ISO date of the session."""
    is_whole_session: bool
    began_at: int
    healed_at: int
    """From then on every fault is over."""
    stopped_at: int
    """When the run asked the last life to stop."""
    ended_at: int
    folder: Path
    """DATA_DIR as it was left, until the next `run` in this process. Not part of the digest."""
    warm_bytes: int
    """So many bytes of the session's record were there before the first life, and are not of this story."""
    settings: tuple[tuple[str, str], ...]
    """The settings of the worker that are not the defaults, without addresses, places and keys."""
    lives: tuple[Life, ...]
    injected: tuple[Injected, ...]
    dials: tuple[Dial, ...]
    connections: tuple[Connection, ...]
    frames: tuple[Frame, ...]
    requests: tuple[Request, ...]
    questions: tuple[Question, ...]
    pushes: tuple[Push, ...]
    service_questions: tuple[ServiceQuestion, ...]
    acknowledged: tuple[Acknowledged, ...]
    beats: tuple[Beat, ...]
    disk: tuple[DiskEvent, ...]
    lines: tuple[Line, ...]
    clock: tuple[ClockChange, ...]
    files: tuple[LeftFile, ...]

    @property
    def record(self) -> Path:
        """Where the session's record is, if there is one."""
        return record_path(self.folder, self.session)

    def digest(self) -> str:
        """SHA-256 of everything in it: equal for two runs of one seed, in whatever process."""
        made = hashlib.sha256()
        for each in fields(self):
            if each.name == "folder":
                continue
            value = getattr(self, each.name)
            for part in value if isinstance(value, tuple) else (value,):
                made.update(repr(part).encode())
                made.update(b"\n")
        return made.hexdigest()
