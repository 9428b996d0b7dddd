"""Preflight: is everything there that the worker needs, and if not, what to do. Changes nothing and sends nothing.

It starts even where packages are missing or Python is too old, to say so.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

_import_error: Exception | None = None
try:
    import httpx

    import config
    import logger
    import utils
    from alerts import QUOTA_LOW, Answer, Pushover, Result
    from config import Settings
    from events import SECOND, Chain, Session
    from journal import Lease, LeaseHeld
    from polygon_client import Rest, RestError, RestErrorKind
    from utils import Clock
except (ImportError, SyntaxError) as error:  # an old Python, or a package that is missing: `main` says which
    _import_error = error
except KeyboardInterrupt:  # loading takes a moment, and Ctrl-C does not wait for it
    sys.exit(130)

EXIT_OK, EXIT_FAILS, EXIT_CONFIGURATION = 0, 1, 2
EXIT_INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""

FOLDER = Path(__file__).resolve().parent

PYTHON_LEAST = (3, 11)
"""Oldest Python that the program is written for."""

EMERGENCY_PRIORITY = 2
"""Pushover's priority that repeats until it is acknowledged."""

LAG_ODD_SECONDS = 60
"""A limit for late bars from which on it guards against nothing."""

MODULES = (
    *("events", "config", "utils", "signals", "contract_selector", "risk_manager", "engine"),
    *("polygon_client", "alerts", "journal", "logger", "desk", "main"),
)

DEMO_ONLY = frozenset({"numpy", "aiohttp"})
"""Packages that the worker does without."""

CHECK_SECONDS = 20.0
"""Real seconds for one question to a vendor, its own retry included."""

STOCKS_LAG_SECONDS = 120
"""Age of the newest second, during a session, from which a plan must be a delayed one: those are 900 s late."""

QUOTE_AGE_SECONDS = 120
"""Age of the newest quote of a whole chain, during a session, from which something is wrong."""

CALENDAR_DAYS = 40
"""How far ahead an early close is looked for."""

EPILOG = """\
exit status:
  0  all well (warnings allowed)
  1  something fails: every line with a cross says what to do
  2  bad configuration: one line for each fault
  130  ended by Ctrl-C

Keys are never printed. Nothing is sent to the phone, and no streaming connection is opened: a worker that runs
elsewhere on the same account is not disturbed.
"""


class Mark(Enum):
    """How a check came out."""

    OK = "✓"
    WARNING = "⚠"
    FAIL = "✗"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and what to do about it."""

    group: str
    mark: Mark
    found: str
    do: str = ""

    def line(self) -> str:
        """The line as it is printed."""
        return f"  {self.mark.value} {self.found}" + (f" — {self.do}" if self.do else "")


# --- Without the network: the machine ----------------------------------------------------------------


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Whether this Python is new enough."""
    text = "Python " + ".".join(map(str, version))
    if version >= PYTHON_LEAST:
        return Check("Machine", Mark.OK, text)
    return Check("Machine", Mark.FAIL, text, "install Python 3.11 or newer")


def check_packages(
    requirements: str, installed: Callable[[str], str] = importlib.metadata.version
) -> list[Check]:
    """Each pinned package against what is installed. ``installed`` raises PackageNotFoundError for none."""
    checks = []
    for line in requirements.splitlines():
        name, _, pinned = line.partition("#")[0].strip().partition("==")
        if not pinned:
            continue
        try:
            found = installed(name)
        except importlib.metadata.PackageNotFoundError:
            demo = name in DEMO_ONLY
            mark, text = (Mark.WARNING, "only the demo needs it") if demo else (Mark.FAIL, "missing")
            checks.append(Check("Packages", mark, f"{name}: {text}", "pip install -r requirements.txt"))
            continue
        if found == pinned:
            checks.append(Check("Packages", Mark.OK, f"{name} {found}"))
        else:
            do = f"tested with {pinned}: pip install -r requirements.txt"
            checks.append(Check("Packages", Mark.WARNING, f"{name} {found}", do))
    return checks


def check_modules(names: Sequence[str] = MODULES) -> list[Check]:
    """Whether each of the program's own modules can be imported."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  (a module can fail in any way; it is named, and that is the check)
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
        "2 repeats until acknowledged",
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
    opening = config.FULL_DAY_CLOSE_S - settings.before_close("09:30")
    if opening + settings.warmup_seconds >= config.seconds_of_day(settings.no_entry_after):
        text = "WARMUP_SECONDS lasts until NO_ENTRY_AFTER: there can be no entry at all"
        found.append(Check("Settings", Mark.WARNING, text, "shorten it"))
    names = config.variable_names()
    for name in sorted(set(environment) - {*names, *config.ALIASES}):
        if near := difflib.get_close_matches(name, names, n=1, cutoff=0.9):
            text = f"the environment has {name}, which is no setting"
            found.append(Check("Settings", Mark.WARNING, text, f"did you mean {near[0]}?"))
    return found


def check_places(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """Whether records and log can be written where they shall be, and whether a copy is at work there."""
    checks = [_check_folder("DATA_DIR", settings.data_dir, settings.data_dir, environment)]
    if checks[0].mark is not Mark.FAIL:
        checks += _check_lease(settings.data_dir)
    fault = _log_file_fault(settings.log_file)
    if fault is None:
        checks.append(_check_folder("LOG_FILE", settings.log_file, settings.log_file.parent, environment))
    else:
        text = f"LOG_FILE: {settings.log_file.absolute()} {fault}"
        checks.append(Check("Places", Mark.FAIL, text, "name a plain file that this user may write"))
    return checks


def _check_folder(name: str, place: Path, folder: Path, environment: Mapping[str, str]) -> Check:
    """Whether ``folder``, which ``place`` needs, is there or can be made, and can be written."""
    shown = place.absolute()
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        text = f"{name}: {shown} cannot be used: {nearest} is a file, not a folder"
        return Check("Places", Mark.FAIL, text, "name a folder that is one, or can be made")
    if not os.access(nearest, os.W_OK | os.X_OK):
        text = f"{name}: {shown} cannot be written"
        return Check("Places", Mark.FAIL, text, f"give this user the right to write {nearest}")
    if environment.get("RENDER") and not os.path.ismount(nearest) and not _on_disk(nearest):
        text = f"{name}: {shown} is not on a disk: it is lost at every deploy"
        return Check("Places", Mark.WARNING, text, "attach a disk at /var/data and point there")
    return Check("Places", Mark.OK, f"{name}: {shown} can be written")


def _log_file_fault(path: Path) -> str | None:
    """Why a log that is there cannot be written; None when it can, or is still to be made."""
    try:
        # As the log opens it, a symbolic link included, but nothing is made; a pipe does not keep us waiting.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        return None  # its folder is looked at on its own
    except OSError as error:
        if path.is_symlink():
            return "is a symbolic link, which the log refuses"
        return "is a folder, not a file" if path.is_dir() else f"cannot be opened ({error.strerror})"
    return None


def _check_lease(folder: Path) -> list[Check]:
    """Whether a copy of the worker is running on ``folder``. Takes its lease for a moment when there is one."""
    if not (folder / "lease").exists():
        return []  # no copy has ever run there, and this one makes nothing
    lease = Lease(folder)
    try:
        lease.take(f"{utils.day_text(utils.utc_now())} by diagnose.py")
    except LeaseHeld as held:
        text = f"DATA_DIR: a copy is running there ({held})"
        return [Check("Places", Mark.WARNING, text, "well if it is the one you mean: a second ends with 4")]
    except OSError as error:
        text = f"DATA_DIR: its lease cannot be taken ({error.strerror})"
        return [
            Check(
                "Places", Mark.WARNING, text, f"give this user the right to write {folder.absolute()}/lease"
            )
        ]
    lease.release()
    return []


def _on_disk(path: Path) -> bool:
    """Whether a folder is below a mounted disk other than the root."""
    return any(os.path.ismount(parent) for parent in path.parents if parent != Path(path.anchor))


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


def in_session(session: Session, now: int) -> bool:
    """Whether ``session`` is in progress."""
    return session.open <= now < session.close


# --- With the network --------------------------------------------------------------------------------


async def check_network(
    settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> list[Check]:
    """Ask both vendors, side by side. Never raises for what a vendor or the network did."""
    rest = Rest(settings.polygon_rest_url, settings.polygon_api_key.get_secret_value(), clock, transport)
    pushover = Pushover(
        settings.pushover_url, settings.pushover_token, settings.pushover_user_key, transport=transport
    )

    async def market(subject: str, ask: Callable[[], Awaitable[Check]]) -> Check:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await ask()
        except RestError as error:
            return Check("Market data", Mark.FAIL, f"{subject}: {error}", _rest_remedy(error.kind))
        except TimeoutError:
            text = f"{subject}: no answer within {CHECK_SECONDS:g} s"
            return Check("Market data", Mark.FAIL, text, _rest_remedy(RestErrorKind.TIMEOUT))

    try:
        return list(
            await asyncio.gather(
                market("key", lambda: _check_key(rest, settings, clock)),
                market("option chain", lambda: _check_chain(rest, settings, clock)),
                market("stock bars", lambda: _check_stocks(rest, settings, clock)),
                _check_user(pushover),
                _check_quota(pushover, clock),
            )
        )
    finally:
        await rest.aclose()
        await pushover.close()


def _rest_remedy(kind: RestErrorKind) -> str:
    """What to do about a request that gave nothing."""
    remedies = {
        RestErrorKind.UNAUTHORIZED: "check POLYGON_API_KEY against the dashboard at massive.com",
        RestErrorKind.FORBIDDEN: "the plan does not include it: Stocks Advanced and Options Advanced are needed",
        RestErrorKind.RATE_LIMITED: "a free plan allows 5 requests a minute: wait, or check the plan",
        RestErrorKind.CERTIFICATE: "check POLYGON_REST_URL, or the proxy and certificates of this machine",
        RestErrorKind.TRANSPORT: "check this machine's network, and POLYGON_REST_URL",
        RestErrorKind.TIMEOUT: "check this machine's network, then the vendor's status page",
        RestErrorKind.SERVER: "the vendor has trouble: see its status page, then ask again",
    }
    return remedies.get(kind, "ask again; if it stays, check POLYGON_REST_URL")


async def _check_key(rest: Rest, settings: Settings, clock: Clock) -> Check:
    """A cheap question that needs the key; its answer tells the exchange's state and the vendor's clock, too."""

    status = await rest.market_status()
    found = f"key: accepted; the exchange says {status}"
    now = clock.now()
    expected_open = in_session(utils.session_at(now), now)
    if rest.skew is not None and abs(rest.skew) > settings.clock_doubt_seconds:
        text = f"{found}; this machine's clock is {abs(rest.skew):.0f} s off"
        return Check("Market data", Mark.FAIL, text, "set the clock (NTP): entries are held until then")
    if expected_open and status != "open":
        return Check(
            "Market data", Mark.WARNING, f"{found}, the calendar says open", "no entries while it stays so"
        )
    return Check("Market data", Mark.OK, found)


async def _check_chain(rest: Rest, settings: Settings, clock: Clock) -> Check:
    """Whether the plan gives real-time option quotes."""

    now = clock.now()
    session = utils.session_at(now)
    chain = await rest.chain(settings.symbol, session.date, None, settings.chain_spot_percent)
    return judge_chain(chain, session, settings.symbol, now)


def judge_chain(chain: Chain, session: Session, symbol: str, now: int) -> Check:
    """What a session's chain says about the plan, and what only an open market can prove."""

    subject = f"option chain: {symbol} calls of {session.date}"
    if not chain.rows:
        if in_session(session, now):
            do = f"nothing expires today, or SYMBOL is wrong: {symbol} needs daily expirations"
            return Check("Market data", Mark.FAIL, f"{subject}: none", do)
        do = "ask again in the morning of that day"
        return Check("Market data", Mark.WARNING, f"{subject}: none listed yet", do)
    quoted = [row for row in chain.rows if row.quoted_at and (row.bid or row.ask)]
    found = f"{subject}: {len(chain.rows)} strikes, {len(quoted)} quoted"
    if not quoted:
        do = "the plan has no option quotes: Options Advanced is needed"
        return Check("Market data", Mark.FAIL, f"{found}, no last_quote", do)
    if not all(row.real_time for row in quoted):
        do = "a delayed plan: Options Advanced is needed"
        return Check("Market data", Mark.FAIL, f"{found}, timeframe is not REAL-TIME", do)
    found += ", REAL-TIME"
    age = now - max(row.quoted_at for row in quoted)
    if not in_session(session, now):
        return Check("Market data", Mark.OK, f"{found}; that quotes are fresh shows only after the open")
    if age > QUOTE_AGE_SECONDS * SECOND and now - session.open > QUOTE_AGE_SECONDS * SECOND:
        text = f"{found}, the newest {utils.span_text(age)} old"
        return Check("Market data", Mark.WARNING, text, "halted, or the vendor has trouble")
    greeks = sum(row.delta is not None for row in quoted)
    return Check(
        "Market data", Mark.OK, f"{found}, the newest {utils.span_text(age)} old, {greeks} with delta"
    )


async def _check_stocks(rest: Rest, settings: Settings, clock: Clock) -> Check:
    """Whether the plan gives seconds of the stock, and in a session whether they are in time."""

    now = clock.now()
    session = utils.session_at(now)
    minute = 60 * SECOND
    proving = in_session(session, now) and now - session.open > STOCKS_LAG_SECONDS * SECOND
    end = now if proving else last_close(now)
    bars = await rest.second_bars(
        settings.symbol, max(session.open, end - 30 * minute) if proving else end - 30 * minute, end
    )
    found = f"stock bars: {len(bars)} seconds of {settings.symbol} in the last half hour of the session"
    if not proving:
        if not bars:
            return Check("Market data", Mark.WARNING, found, "ask again during a session")
        return Check(
            "Market data", Mark.OK, f"{found}; that they come in real time shows only after the open"
        )
    age = now - bars[-1].end if bars else now - session.open
    if age > STOCKS_LAG_SECONDS * SECOND:
        text = f"{found}, the newest {utils.span_text(age)} old"
        return Check("Market data", Mark.FAIL, text, "a delayed plan, or a halt: Stocks Advanced is needed")
    return Check("Market data", Mark.OK, f"{found}, the newest {utils.span_text(age)} old")


def last_close(now: int) -> int:
    """The latest close before ``now``, µs. Raises LookupError when there was none in 30 days."""

    today = date.fromisoformat(utils.new_york_date(now))
    for days in range(31):
        session = utils.session_on(today - timedelta(days=days))
        if session is not None and session.close <= now:
            return session.close
    raise LookupError("no session within the last 30 days: the calendar must be wrong")


async def _check_user(pushover: Pushover) -> Check:
    """Whether token and user key are good, and which devices there are."""
    answer = await pushover.validate()
    if answer.result is not Result.OK:
        return _push_failure("user", answer)
    if not answer.devices:
        do = "install the Pushover app, or make sure that the group has members"
        return Check("Push", Mark.WARNING, "user: valid, and no device is named", do)
    return Check("Push", Mark.OK, f"user: valid; devices: {', '.join(answer.devices)}")


async def _check_quota(pushover: Pushover, clock: Clock) -> Check:
    """How many pushes are left this month."""

    answer = await pushover.limits()
    if answer.result is not Result.OK:
        return _push_failure("quota", answer)
    if answer.remaining is None:
        return Check("Push", Mark.WARNING, "quota: not told")
    reset = "" if answer.reset is None else f" until {utils.day_text(answer.reset * SECOND)}"
    found = f"quota: {answer.remaining} of {answer.limit} pushes left{reset}"
    if answer.remaining == 0:
        return Check("Push", Mark.FAIL, found, "no alert can arrive until then: buy more at pushover.net")
    if answer.remaining < QUOTA_LOW:
        return Check("Push", Mark.WARNING, found, "they may not last: buy more at pushover.net")
    return Check("Push", Mark.OK, found)


def _push_failure(subject: str, answer: Answer) -> Check:
    if answer.result is Result.REFUSED:
        wrong = "PUSHOVER_USER_KEY" if "user" in " ".join(answer.errors) else "PUSHOVER_TOKEN"
        return Check(
            "Push", Mark.FAIL, f"{subject}: refused, {answer.reason}", f"check {wrong} at pushover.net"
        )
    do = "check this machine's network, and PUSHOVER_URL"
    return Check("Push", Mark.FAIL, f"{subject}: {answer.reason}", do)


# --- The report --------------------------------------------------------------------------------------


def report_text(checks: Sequence[Check]) -> str:
    """The checks by group, one line each, and a summary."""
    lines: list[str] = []
    for group in dict.fromkeys(check.group for check in checks):
        lines += [group, *(check.line() for check in checks if check.group == group), ""]
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
    return json.dumps({"ready": not _fails(checks), "checks": rows}, ensure_ascii=False, indent=1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Ends the process with 2 for one that is wrong."""
    parser = argparse.ArgumentParser(
        prog="diagnose.py",
        description="Check settings, packages, calendar, market data and push before the worker runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody: leave market data and push out")
    parser.add_argument("--verbose", action="store_true", help="show every setting, its default included")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks, print the report, return the exit status. ``why`` as the first word is another command."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["why"]:
        return _why(words[1:])
    options = parse(words)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    requirements = (FOLDER / "requirements.txt").read_text(encoding="utf-8")
    checks = [check_python()]
    # What follows from a fault is not said as another one.
    if not _fails(checks):
        checks += check_packages(requirements)
    if not _fails(checks):
        checks += check_modules()
    if _import_error is not None:
        print(report_json(checks) if options.json else report_text(checks))
        return EXIT_FAILS
    try:
        settings, sources = config.load()
    except config.ConfigError as error:
        # One remedy for all: said once, with the last, unless a fault has said it itself.
        is_said = any(".env.example" in fault for fault in error.faults)
        do = "" if is_said else "see .env.example and the README's table of settings"
        *others, last = error.faults
        checks += [Check("Settings", Mark.FAIL, fault) for fault in others]
        checks.append(Check("Settings", Mark.FAIL, last, do))
        print(report_json(checks) if options.json else report_text(checks))
        return EXIT_CONFIGURATION
    checks += _check_program(
        settings, sources, offline=options.offline, verbose=options.verbose or options.json
    )
    report = report_json(checks) if options.json else report_text(checks)
    print(logger.redactor(settings.secrets())(report))
    return EXIT_FAILS if _fails(checks) else EXIT_OK


def _why(arguments: Sequence[str]) -> int:
    """Why there was no alert, from a session's record: a report that the worker does without."""
    try:
        why = importlib.import_module("sim.why")  # only here: the worker runs without sim/
    except ImportError as error:
        print(f"diagnose.py why needs sim/ and all of requirements.txt ({error}).", file=sys.stderr)
        return EXIT_FAILS
    status: int = why.main(arguments)
    return status


def _fails(checks: Sequence[Check]) -> bool:
    return any(check.mark is Mark.FAIL for check in checks)


def _check_program(
    settings: Settings, sources: Mapping[str, str], *, offline: bool, verbose: bool
) -> list[Check]:
    """What needs settings: themselves, places, calendar, and the vendors."""
    clock = utils.SystemClock()
    # What the edges log goes to standard error, without secrets, so that the report stays one.
    logger.setup(
        level="ERROR",
        log_format="console",
        log_file=None,
        secrets=settings.secrets(),
        clock=clock.now,
        stream=sys.stderr,
    )
    try:
        checks = check_settings(settings, sources, verbose=verbose)
        checks += check_oddities(settings, os.environ)
        checks += check_places(settings, os.environ)
        checks += check_calendar(settings, clock.now())
        if not offline:
            checks += asyncio.run(check_network(settings, clock))
    finally:
        logger.close()
    return checks


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
