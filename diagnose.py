"""Preflight: is everything there that the worker needs, and if not, what to do. ``why``: why there was no alert.

It starts even where packages are missing or Python is too old, to say so. What only the vendors can tell is asked in
`preflight`; here is everything that this machine knows, and the report.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, which takes 5 ms to load
import os
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Ctrl-C ends a program that has not begun, without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

if getattr(sys.flags, "safe_path", False):  # -P, or PYTHONSAFEPATH: this folder is still where the program is
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin("diagnose.py", reports=sys.argv[1:2] != ["why"])

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TextIO

# Loads what it can: where a package is missing, `import_error` says so, and `main` says which.
from preflight import Asked, Check, Mark, check_network, import_error, in_session, may_be_connected

if import_error is None:
    import structlog

    import config
    import logger
    import utils
    from checks import machine
    from config import Settings
    from events import SECOND
    from record.disk import DiskFile, Opener
    from record.folder import Kind, look_through, record_path, records, shown
    from record.lease import Lease, LeaseHeld
    from rules import FULL_DAY_CLOSE_S, seconds_of_day
    from utils import Clock

    log = structlog.get_logger("diagnose")

EXIT_OK, EXIT_FAILS, EXIT_CONFIGURATION = 0, 1, 2

FOLDER = Path(__file__).resolve().parent

EMERGENCY_PRIORITY = 2
"""Pushover's priority that repeats until it is acknowledged."""

LAG_ODD_SECONDS = 60
"""A limit for late bars from which on it guards against nothing."""

BAR_DELAY_SECONDS = 3
"""Bars come about 2 s after their second has ended; a limit for them under this catches ordinary ones."""

QUOTE_PAUSE_SECONDS = 1
"""A contract's newest quote is handed on so often."""

FILLED_SHARE = 2 / 3
"""The part of an ordinary window's seconds that has a bar; in up to a third of them nothing is traded."""

MODULES = (
    *("events", "rules", "config", "utils", "network"),
    *(
        "windows",
        "price_level",
        "signals",
        "contract_selector",
        "risk_manager",
        "lags",
        "gaps",
        "telling",
        "sight",
    ),
    *("quotes", "gates", "decisions", "engine"),
    *("feeds", "polygon_client", "messages", "alerts", "delivery", "record", "logger", "worker", "main"),
    *("checks", "preflight"),
)

DEMO_ONLY = frozenset(
    {
        *("numpy", "plotly", "aiohttp"),
        # And what aiohttp needs in turn.
        *("aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache", "yarl"),
    }
)
"""Packages that the worker does without."""

MEGABYTE = 1_000_000

SESSION_BYTES = 60 * MEGABYTE
"""The most that the record of one session takes while it is written."""

PACKED_BYTES = 8 * MEGABYTE
"""The most that it takes once it is packed, after the close."""

PROBE_BYTES = 64 * 1024
"""What is written to see whether a folder can be: more than fits into a file system's spare corners."""

PROBE_NAME = ".preflight"

CALENDAR_DAYS = 40
"""How far ahead an early close is looked for."""

EPILOG = """\
python diagnose.py why [DATE] tells afterwards why there was no alert (python diagnose.py why --help).

exit status:
  0  all well (warnings allowed)
  1  something fails: every line with a cross says what to do
  2  bad configuration: one line for each fault
  130  ended by Ctrl-C
  141  whoever read the output has gone, as with | head

Keys are never printed, and without --send-test nothing is sent to the phone. The vendor allows one streaming connection
per account and kind of market, so a copy that runs elsewhere would lose its own to this check: the sockets are tried
only while no copy runs on DATA_DIR and, from 10 minutes before a session to its end, only with --sockets.
"""


# --- Without the network: the machine ----------------------------------------------------------------


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Whether this Python is new enough."""
    text = "Python " + ".".join(map(str, version))
    if version < entry.PYTHON_LEAST:
        return Check("Machine", Mark.FAIL, text, "install Python 3.11 or newer")
    if fault := entry.platform_text():
        return Check("Machine", Mark.FAIL, f"{text}, but {fault}")
    return Check("Machine", Mark.OK, text)


def check_packages(
    requirements: str, installed: Callable[[str], str] = importlib.metadata.version
) -> list[Check]:
    """Each locked package against what is installed. ``installed`` raises PackageNotFoundError for none.

    Skips a package with a marker: only some machines need it.
    """
    checks = []
    for line in requirements.splitlines():
        name, _, pinned = line.partition("#")[0].strip(" \\").partition("==")
        if not pinned or ";" in pinned:
            continue
        try:
            found = installed(name)
        except importlib.metadata.PackageNotFoundError:
            demo = name in DEMO_ONLY
            mark, text = (
                (Mark.WARNING, "only the demo and reports need it") if demo else (Mark.FAIL, "missing")
            )
            checks.append(Check("Packages", mark, f"{name}: {text}", "pip install -r requirements.txt"))
            continue
        if found == pinned:
            checks.append(Check("Packages", Mark.OK, f"{name} {found}"))
        else:
            do = f"tested with {pinned}: pip install -r requirements.txt"
            checks.append(Check("Packages", Mark.WARNING, f"{name} {found}", do))
    return checks


def _shortened(checks: list[Check], verbose: bool) -> list[Check]:
    """Packages that are as they should be in one line, unless each is asked for."""
    good = sum(check.mark is Mark.OK for check in checks)
    if verbose or not good:
        return checks
    line = Check("Packages", Mark.OK, f"{good} as tested (--verbose shows them)")
    return [line, *(check for check in checks if check.mark is not Mark.OK)]


def check_modules(names: Sequence[str] = MODULES) -> list[Check]:
    """Whether each of the program's own modules can be imported."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  (a module can fail in any way; it is named, and that is the check)
            if shortage := entry.shortage_text(error):
                return [Check("Modules", Mark.FAIL, *shortage.split(": ", 1))]
            text = f"{name}: {type(error).__name__}: {error}"
            failures.append(Check("Modules", Mark.FAIL, text, "the installation is incomplete: get it anew"))
    return failures or [Check("Modules", Mark.OK, f"all {len(names)} can be imported")]


# --- Without the network: the settings ---------------------------------------------------------------


def setting_text(value: Any) -> str:
    """A setting's value as it is written in the environment; of a secret only whether it is set."""
    if hasattr(value, "get_secret_value"):
        return "set" if value.get_secret_value() else "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_settings(settings: Settings, sources: Mapping[str, str], *, verbose: bool = False) -> list[Check]:
    """Each setting that was given, its value and where that came from; with ``verbose`` the defaults, too."""
    file = Path(".env").absolute()
    read = f"{file} is read" if file.is_file() else f"there is no {file}: environment and defaults only"
    shown = {name: source for name, source in sources.items() if verbose or source != "default"}
    lines = [read] + [
        f"{name} = {setting_text(getattr(settings, name.lower())) or '(empty)'} ({source})"
        for name, source in shown.items()
    ]
    if others := len(sources) - len(shown):
        lines.append(f"{others} others at their default (--verbose shows them)")
    return [Check("Settings", Mark.OK, line) for line in lines]


ODD: tuple[tuple[Callable[[Settings], bool], str, str], ...] = (
    (
        lambda s: not s.heartbeat_url.get_secret_value(),
        "HEARTBEAT_URL is not set: when the whole machine dies, nobody tells you",
        "set it to a check of healthchecks.io or alike",
    ),
    (
        lambda s: s.pushover_token == s.pushover_user_key,
        "PUSHOVER_TOKEN and PUSHOVER_USER_KEY are the same",
        "the token is the application's, the user key is yours",
    ),
    (
        lambda s: "delayed" in s.polygon_ws_url,
        "POLYGON_WS_URL is a delayed feed",
        "every bar will be too late to act on: use the real-time address",
    ),
    (
        lambda s: s.sell_priority < EMERGENCY_PRIORITY,
        "SELL_PRIORITY is under 2: a SELL sounds once",
        "2 repeats until acknowledged, for 25 minutes",
    ),
    (
        lambda s: s.log_level in {"WARNING", "ERROR"},
        "LOG_LEVEL hides the lines of the session",
        "INFO shows which condition stood in the way",
    ),
    (
        lambda s: s.on_shutdown == "keep",
        "ON_SHUTDOWN is keep: after a stop, an open position is unwatched",
        "close sends its SELL instead",
    ),
    (lambda s: not s.benchmark, "BENCHMARK is empty: the condition SPY lag is left out", ""),
    (lambda s: s.relative_volume_min == 0, "RELATIVE_VOLUME_MIN is 0: that condition is left out", ""),
    (
        lambda s: s.delta_stretch_down == 0 and s.delta_stretch_up == 0,
        "DELTA_STRETCH_DOWN and _UP are 0: on many days no contract is inside the delta range",
        "",
    ),
    (
        lambda s: s.hard_time_stop > "15:55",
        "HARD_TIME_STOP is later than 15:55",
        "many brokers close 0DTE positions before that, some from 15:00 on",
    ),
    (
        lambda s: s.max_lag_seconds > LAG_ODD_SECONDS,
        "MAX_LAG_SECONDS is over a minute: entries on old prices",
        "a 0DTE option moves within seconds",
    ),
    (
        lambda s: s.max_lag_seconds < BAR_DELAY_SECONDS,
        f"MAX_LAG_SECONDS is under {BAR_DELAY_SECONDS}: bars come about 2 s late, so the feed may always be blind",
        "the default is 15",
    ),
    (
        lambda s: 0 < s.entry_bar_seconds < BAR_DELAY_SECONDS,
        f"ENTRY_BAR_SECONDS is under {BAR_DELAY_SECONDS}: bars come about 2 s late, so there may be no entry at all",
        "the default is 5",
    ),
    (
        lambda s: s.entry_quote_seconds < QUOTE_PAUSE_SECONDS,
        "ENTRY_QUOTE_SECONDS is under 1: quotes are taken over once a second, so many entries have none",
        "the default is 3",
    ),
    (
        lambda s: s.volume_min_bars > s.volume_window_seconds * FILLED_SHARE,
        "VOLUME_MIN_BARS is more than an ordinary VOLUME_WINDOW_SECONDS holds: there may be no entry at all",
        "up to a third of the seconds have no bar",
    ),
    (
        lambda s: s.momentum_min_bars > s.momentum_seconds * FILLED_SHARE,
        "MOMENTUM_MIN_BARS is more than an ordinary MOMENTUM_SECONDS holds: there may be no entry at all",
        "up to a third of the seconds have no bar",
    ),
)
"""Settings that are legal and odd: when, what is odd, what to do."""

OFF_AT_ZERO = (
    *("WARMUP_SECONDS", "ENTRY_BAR_SECONDS", "ENTRY_COOLDOWN_SECONDS", "MIN_QUOTE_SIZE", "MIN_PREMIUM"),
    *("MIN_OPEN_INTEREST", "STOP_ROOM_SPREADS", "PUSH_CAP_COUNT"),
)
"""Protections that 0 turns off."""


def check_oddities(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """What is legal and yet probably not meant."""

    found = [Check("Settings", Mark.WARNING, text, do) for when, text, do in ODD if when(settings)]
    for name in OFF_AT_ZERO:
        if not getattr(settings, name.lower()):
            found.append(Check("Settings", Mark.WARNING, f"{name} is 0: this protection is off"))
    opening = FULL_DAY_CLOSE_S - settings.before_close("09:30")
    if opening + settings.warmup_seconds >= seconds_of_day(settings.no_entry_after):
        text = "WARMUP_SECONDS lasts until NO_ENTRY_AFTER: there can be no entry at all"
        found.append(Check("Settings", Mark.WARNING, text, "shorten it"))
    found += _doubted("Settings", config.doubts(environment))
    return found


def _doubted(group: str, doubts: Sequence[str]) -> list[Check]:
    parted = (doubt.partition(": ") for doubt in doubts)
    return [Check(group, Mark.WARNING, text, do) for text, _, do in parted]


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of ``folder`` for this user."""
    return shutil.disk_usage(folder).free


def check_places(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    opener: Opener | None = None,
    free: Callable[[Path], int] = free_bytes,
    is_mount: Callable[[Path], bool] = os.path.ismount,
) -> list[Check]:
    """Whether records and log can be written where they shall be, and whether there is room for them.

    ``opener`` opens the file that is written as a trial (None: as the record's own is opened).
    """
    found = _guarded(
        "DATA_DIR", settings.data_dir, lambda: _check_data(settings, environment, opener, free, is_mount)
    )
    return found + _guarded("LOG_FILE", settings.log_file, lambda: [_check_log(settings.log_file)])


def _guarded(name: str, place: Path, check: Callable[[], list[Check]]) -> list[Check]:
    """What ``check`` finds; that it cannot look, as into a folder that may not be searched, is a finding, too."""
    try:
        return check()
    except OSError as error:
        text = f"{name}: {place} cannot be used ({error.strerror or type(error).__name__})"
        return [Check("Places", Mark.FAIL, text, "name a place that this user may search, read and write")]


def _check_data(
    settings: Settings,
    environment: Mapping[str, str],
    opener: Opener | None,
    free: Callable[[Path], int],
    is_mount: Callable[[Path], bool],
) -> list[Check]:
    """The folder of records. Raises OSError where it cannot even be looked at."""
    folder = settings.data_dir
    found = [_check_folder("DATA_DIR", folder, folder)]
    if found[0].mark is not Mark.FAIL:
        fault = _write_fault(folder, DiskFile if opener is None else opener)
        if fault is not None:
            found = [fault]
        found.append(_check_room(settings, free))
    if folder.is_dir():
        found += _record_faults(folder)
    if environment.get("RENDER"):
        found.append(_check_disk(folder, is_mount))
    return found


def _check_log(path: Path) -> Check:
    """The log. Raises OSError where its folder cannot even be looked at."""
    fault = _log_file_fault(path)
    if fault is None and os.path.lexists(path):
        return _check_rotation(path)
    if fault is None:
        return _check_folder("LOG_FILE", path, path.parent)
    text = f"LOG_FILE: {path.absolute()} {fault}"
    return Check("Places", Mark.FAIL, text, "name a plain file that this user may write")


def _check_rotation(path: Path) -> Check:
    """A log that is there and can be written: whether it can be renamed, too, when it is full."""
    can_be = f"LOG_FILE: {path.absolute()} can be written"
    if path.is_file() and not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        do = f"give this user the right to write {path.absolute().parent}"
        return Check(
            "Places", Mark.WARNING, f"{can_be}, but not renamed when it is full: it would grow on", do
        )
    return Check("Places", Mark.OK, can_be)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists. A link that leads nowhere stands in the way, too."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))


def _check_folder(name: str, place: Path, folder: Path) -> Check:
    """Whether ``folder``, which ``place`` needs, is there or can be made, and may be written."""
    absolute = place.absolute()
    nearest = _nearest(folder)
    if not nearest.is_dir():
        what = "a link that leads to no folder" if nearest.is_symlink() else "a file, not a folder"
        text = f"{name}: {absolute} cannot be used: {nearest} is {what}"
        return Check("Places", Mark.FAIL, text, "name a folder that is one, or can be made")
    if not os.access(nearest, os.W_OK | os.X_OK):
        text = f"{name}: {absolute} cannot be written"
        return Check("Places", Mark.FAIL, text, f"give this user the right to write {nearest}")
    if nearest == folder.absolute():
        return Check("Places", Mark.OK, f"{name}: {absolute} can be written")
    return Check("Places", Mark.OK, f"{name}: {absolute} can be made")


def _record_faults(folder: Path) -> list[Check]:
    """Records that this user may not read, and a folder of them that cannot be looked through: each ends a start."""
    try:
        found = look_through(folder)
    except OSError as error:
        text = f"DATA_DIR: {error.filename or folder} cannot be looked through ({error.strerror})"
        return [
            Check("Places", Mark.FAIL, text, "give this user the right to read it: the worker does not start")
        ]
    do = "the worker may not start: a position may be recorded there"
    return [
        Check(
            "Places",
            Mark.FAIL,
            f"DATA_DIR: {shown(item.path)} is damaged, or cannot be read ({item.reason})",
            do,
        )
        for item in found
        if item.kind is Kind.DAMAGED
    ]


def _write_fault(folder: Path, opener: Opener) -> Check | None:
    """Why a file cannot be written where records go; None when it can. The file is removed; no folder is made."""

    def fault(place: Path, reason: str, do: str) -> Check:
        text = f"DATA_DIR: {place.absolute()} cannot be written ({reason})"
        return Check("Places", Mark.FAIL, text, do)

    repair = "make room, or repair the disk: no entries until then"
    for place in (folder, record_path(folder, "").parent):
        if not place.is_dir():
            continue
        path = place / f"{PROBE_NAME}-{os.getpid()}"
        try:
            try:
                file = opener(path)
                try:
                    taken = file.write(bytes(PROBE_BYTES))
                    file.sync()
                finally:
                    file.close()
            finally:
                path.unlink(missing_ok=True)
        except PermissionError:
            return fault(place, "Permission denied", f"give this user the right to write {place.absolute()}")
        except OSError as error:
            return fault(place, error.strerror or type(error).__name__, repair)
        if taken < PROBE_BYTES:
            return fault(place, "No space left on device", repair)
    return None


def _check_room(settings: Settings, free: Callable[[Path], int]) -> Check:
    """Whether today's record fits on the disk, and those that are to be kept."""
    try:
        room = free(_nearest(settings.data_dir))
    except OSError as error:
        text = f"DATA_DIR: its free space cannot be read ({error.strerror})"
        return Check("Places", Mark.WARNING, text, f"a session needs up to {SESSION_BYTES // MEGABYTE} MB")
    found = f"DATA_DIR: {room // MEGABYTE:,} MB free"
    if room < SESSION_BYTES + PACKED_BYTES:
        need = f"a session needs up to {(SESSION_BYTES + PACKED_BYTES) // MEGABYTE} MB"
        return Check("Places", Mark.FAIL, f"{found}, {need}", "make room: a full disk holds entries")
    sessions = (room - SESSION_BYTES) // PACKED_BYTES
    if sessions < settings.keep_sessions - len(records(settings.data_dir)):
        text = (
            f"{found}, enough for about {sessions} more sessions; KEEP_SESSIONS is {settings.keep_sessions}"
        )
        return Check("Places", Mark.WARNING, text, "a bigger disk, or a smaller KEEP_SESSIONS")
    return Check("Places", Mark.OK, found)


def _check_disk(folder: Path, is_mount: Callable[[Path], bool]) -> Check:
    """On Render, where everything outside a mounted disk is lost: whether the folder is on one."""
    absolute = folder.absolute()
    mount = next((path for path in (absolute, *absolute.parents[:-1]) if is_mount(path)), None)
    if mount is None:
        text = f"DATA_DIR: {absolute} is not on a disk: a deploy loses it, and forgets an open position"
        do = "attach a disk at /var/data, and set DATA_DIR to it"
        return Check("Places", Mark.FAIL, text, do)
    return Check("Places", Mark.OK, f"DATA_DIR: on the disk that is mounted at {mount}")


def _log_file_fault(path: Path) -> str | None:
    """Why a log that is there cannot be written; None when it can, or is still to be made."""
    try:
        # As the log opens it, a symbolic link included, but nothing is made; a pipe does not keep us waiting.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        return "is a pipe, not a file" if is_pipe else None
    except (FileNotFoundError, NotADirectoryError):
        return None  # its folder is looked at on its own
    except OSError as error:
        if path.is_symlink():
            return "is a symbolic link, which the log refuses"
        return (
            "is a folder, not a file" if path.is_dir() else f"cannot be opened ({logger.file_fault(error)})"
        )


def check_lease(folder: Path) -> tuple[Check, bool]:
    """Whether a copy of the worker runs on ``folder``: the line about it, and whether it does.

    Takes its lease for a moment when there is one.
    """
    try:
        has_run = (folder / "lease").exists()
    except OSError as error:
        text = f"lease: cannot be looked for ({error.strerror})"
        return Check(
            "Places", Mark.FAIL, text, f"give this user the right to search {folder.absolute()}"
        ), False
    if not has_run:
        return Check("Places", Mark.OK, "lease: free, no copy has run on DATA_DIR yet"), False
    lease = Lease(folder)
    try:
        lease.take(f"{utils.utc_iso(utils.utc_now())} by diagnose.py")
    except LeaseHeld as held:
        text = f"lease: a copy is running on DATA_DIR ({held})"
        return Check(
            "Places", Mark.WARNING, text, "fine if you started it: a second copy ends with status 4"
        ), True
    except OSError as error:
        text = f"lease: cannot be taken ({error.strerror})"
        do = f"move away what stands at {folder.absolute()}/lease: the program makes its own"
        if isinstance(error, PermissionError):
            do = f"give this user the right to write {folder.absolute()}/lease"
        return Check("Places", Mark.FAIL, text, do), False
    lease.release()
    return Check("Places", Mark.OK, "lease: free, no copy runs on DATA_DIR"), False


# --- Without the network: the calendar ---------------------------------------------------------------


def check_calendar(settings: Settings, now: int) -> list[Check]:
    """Today's session or the next one, its hours, and the next early close."""

    session = utils.session_at(now)
    today = utils.new_york_date(now)
    checks = [Check("Calendar", Mark.OK, f"now {utils.day_text(now)} in New York")]
    hours = f"{utils.day_text(session.open)}–{utils.minute_text(session.close)} New York"
    if session.early:
        hours += " (early close)"
    if in_session(session, now):
        text = f"in session: {hours}, closes in {utils.span_text(session.close - now)}"
    elif session.date == today:
        text = f"session today: {hours}, opens in {utils.span_text(session.open - now)}"
    else:
        text = f"no session now; next: {hours}, opens in {utils.span_text(session.open - now)}"
    checks.append(Check("Calendar", Mark.OK, text))
    no_entry, time_stop = (
        utils.minute_text(session.close - settings.before_close(at) * SECOND)
        for at in (settings.no_entry_after, settings.hard_time_stop)
    )
    checks.append(Check("Calendar", Mark.OK, f"that day: no entry from {no_entry}, time stop {time_stop}"))
    ahead = (date.fromisoformat(today) + timedelta(days=days) for days in range(CALENDAR_DAYS))
    early = next((found for day in ahead if (found := utils.session_on(day)) and found.early), None)
    if early is not None:
        text = f"next early close: {utils.day_text(early.close)}"
        checks.append(Check("Calendar", Mark.OK, text))
    return checks


# --- With the network --------------------------------------------------------------------------------


def what_to_ask(options: argparse.Namespace, *, is_running: bool, now: int) -> Asked:
    """What the vendors are asked. A socket of ours would take the account's only connection from a running copy."""
    if is_running:
        why = "because a copy is running on DATA_DIR and would lose its connection"
        return Asked(no_sockets=why, do="its log says whether bars come", send_test=options.send_test)
    if may_be_connected(utils.session_at(now), now) and not options.sockets:
        why = "because a copy that runs elsewhere would be blind for a minute"
        do = "if there is none: python diagnose.py --sockets"
        return Asked(no_sockets=why, do=do, send_test=options.send_test)
    return Asked(sockets=True, send_test=options.send_test)


class Screen:
    """Says on a terminal what is being asked, in one line that is wiped in the end. Elsewhere it says nothing."""

    WIPE = "\r\x1b[K"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_on = stream.isatty()
        self._open: list[str] = []

    def begin(self, subject: str) -> None:
        """It is asked from now on."""
        self._open.append(subject)
        self._draw()

    def end(self, subject: str) -> None:
        """It has been answered, or given up."""
        self._open.remove(subject)
        self._draw()

    def _draw(self) -> None:
        if self._is_on:
            text = f"Asking: {', '.join(self._open)} …" if self._open else ""
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(self.WIPE + text[:width])
            self._stream.flush()


# --- The report --------------------------------------------------------------------------------------


def report_text(checks: Sequence[Check]) -> str:
    """The checks by group, one line each, and a summary."""
    lines: list[str] = []
    for group in dict.fromkeys(check.group for check in checks):
        lines += [group, *(_shown(check.line()) for check in checks if check.group == group), ""]
    counts = {mark: sum(check.mark is mark for check in checks) for mark in Mark}
    verdict = "Not ready" if counts[Mark.FAIL] else "Ready"
    lines.append(
        f"{verdict}: {counts[Mark.OK]} well, {counts[Mark.WARNING]} to look at, {counts[Mark.FAIL]} failing"
    )
    return "\n".join(lines)


def report_json(checks: Sequence[Check]) -> str:
    """The checks as one JSON object."""
    rows = [
        {"group": check.group, "mark": check.mark.name.lower(), "found": check.found, "do": check.do}
        for check in checks
    ]
    report = json.dumps({"ready": not _fails(checks), "checks": rows}, ensure_ascii=False, indent=1)
    return _shown(report, as_json=True)


def _shown(text: str, *, as_json: bool = False) -> str:
    """What may be printed of what vendors, files and variables say. Where nothing could be loaded, all is our own."""
    return utils.printable(text, as_json=as_json) if import_error is None else text


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Ends the process with 2 for one that is wrong."""
    parser = argparse.ArgumentParser(
        prog="diagnose.py",
        description="Check settings, packages, calendar, market data and push before the worker runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody: leave market data and push out")
    parser.add_argument(
        "--send-test",
        action="store_true",
        help="send one real push, as loud as a BUY, and a test to SECOND_CHANNEL_URL",
    )
    parser.add_argument(
        "--sockets",
        action="store_true",
        help="try the sockets in a session, too: a copy that runs elsewhere is blind for a minute",
    )
    parser.add_argument("--verbose", action="store_true", help="show every setting, its default included")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    options = parser.parse_args(arguments)
    if options.offline and (options.send_test or options.sockets):
        parser.error("--offline asks nobody: leave it, or --send-test and --sockets, out")
    return options


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the checks, print the report, return the exit status. ``why`` as the first word is another command.

    ``clock`` is what the checks go by (None: the machine's).
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["why"]:
        return _why(words[1:])
    options = parse(words)
    checks = [check_python()]
    # What follows from a fault is not said as another one.
    if not _fails(checks):
        checks += _check_requirements(options.verbose or options.json)
    if not _fails(checks):
        checks += check_modules()
    if import_error is not None:
        print(report_json(checks) if options.json else report_text(checks))
        return EXIT_FAILS
    settings, sources, faults = _settings()
    if settings is None or faults:
        # One remedy for all: said once, with the last, unless a fault has said it itself.
        is_said = settings is not None or any(".env.example" in fault for fault in faults)
        do = "" if is_said else "see .env.example and the README's table of settings"
        *others, last = faults
        checks += [Check("Settings", Mark.FAIL, fault) for fault in others]
        checks.append(Check("Settings", Mark.FAIL, last, do))
        print(report_json(checks) if options.json else report_text(checks))
        return EXIT_CONFIGURATION
    checks += _check_program(settings, sources, options, clock or utils.SystemClock())
    report = report_json(checks) if options.json else report_text(checks)
    print(logger.redactor(settings.secrets())(report))
    return EXIT_FAILS if _fails(checks) else EXIT_OK


def _check_requirements(every: bool) -> list[Check]:
    """The packages, each in its line if ``every`` is asked for."""
    path = FOLDER / "requirements.txt"
    try:
        requirements = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        text = f"{path}: cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
        return [Check("Packages", Mark.FAIL, text, "the installation is incomplete: get it anew")]
    return _shortened(check_packages(requirements), every)


def _settings() -> tuple[Settings | None, dict[str, str], list[str]]:
    """The settings (None when they are bad), their sources, and every fault, the machine's own variables' included."""
    settings: Settings | None = None
    sources: dict[str, str] = {}
    faults: list[str] = []
    try:
        settings, sources = config.load()
    except config.ConfigError as error:
        faults = error.faults
    faults = faults + machine.faults(settings)
    if not faults:
        machine.unify()
    return settings, sources, faults


def _why(arguments: Sequence[str]) -> int:
    """Why there was no alert, from a session's record: a report that the worker does without."""
    try:
        why = importlib.import_module("review.why")  # only here: the worker runs without sim/
    except ImportError as error:
        print(f"diagnose.py why needs review/ and all of requirements.txt ({error}).", file=sys.stderr)
        return EXIT_FAILS
    status: int = why.main(arguments)
    return status


def _fails(checks: Sequence[Check]) -> bool:
    return any(check.mark is Mark.FAIL for check in checks)


def _check_program(
    settings: Settings, sources: Mapping[str, str], options: argparse.Namespace, clock: Clock
) -> list[Check]:
    """What needs settings: themselves, places, calendar, and the vendors."""
    # What the edges log is in the lines already. What crashes goes to standard error, without secrets.
    logger.setup(
        level="CRITICAL",
        log_format="console",
        log_file=None,
        secrets=settings.secrets(),
        clock=clock.now,
        stream=sys.stderr,
    )
    checks: list[Check] = []
    try:
        checks += check_settings(settings, sources, verbose=options.verbose or options.json)
        checks += check_oddities(settings, os.environ)
        checks += _doubted("Machine", machine.doubts())
        checks += check_places(settings, os.environ)
        lease, is_running = check_lease(settings.data_dir)
        checks.append(lease)
        try:
            checks += check_calendar(settings, clock.now())
        except (LookupError, OverflowError, ValueError, OSError) as error:
            # No calendar reaches as far as this clock: nobody needs to be asked before it is set.
            text = f"no session near this machine's time ({error})"
            return [*checks, Check("Calendar", Mark.FAIL, text, "set this machine's clock (NTP)")]
        if not options.offline:
            asked = what_to_ask(options, is_running=is_running, now=clock.now())
            if asked.sockets and may_be_connected(utils.session_at(clock.now()), clock.now()):
                print(SOCKETS_WARNING, file=sys.stderr)
            checks += asyncio.run(_ask(settings, clock, asked))
    except Exception as error:
        if shortage := entry.shortage_text(error):
            return [*checks, Check("Machine", Mark.FAIL, *shortage.split(": ", 1))]
        name = type(error).__name__
        log.critical("crashed", text=f"🛑 The checks were ended by {name}: {error}", exc_info=error)
        checks.append(
            Check(
                "Machine", Mark.FAIL, f"the checks were ended by a fault of their own ({name})", "report it"
            )
        )
    finally:
        logger.close()
    return checks


async def _ask(settings: Settings, clock: Clock, asked: Asked) -> list[Check]:
    """Ask the vendors. A name server that does not answer holds the end up no longer than anybody else."""
    asyncio.get_running_loop().set_default_executor(entry.threads())
    return await check_network(settings, clock, asked, progress=Screen(sys.stderr))


SOCKETS_WARNING = "Opening both sockets: a copy that runs elsewhere on this account is blind for a minute."


if _STARTED:
    entry.run(main)
