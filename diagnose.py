"""The command line of the checks: reports what the worker lacks, and what to do about it.

``why`` as the first word is another command, which explains why there was no alert; ``watch`` shows the session in
progress; ``--init`` asks for the keys. The checks start even without packages or with an old Python, to report that: Python 3.8 can read everything
that is loaded until then.
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
    # A first word that is no option names another command, which reports nothing of the installation.
    entry.begin(entry.called("diagnose.py"), reports=all(word.startswith("-") for word in sys.argv[1:2]))

import argparse
import asyncio
import difflib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from checks.check import Check, Severity
from checks.installation import check_modules, check_python, check_requirements
from checks.report import TerminalDisplay, coloured, fails, report_json, report_text
from terminal import is_coloured

import_error: Exception | None = None
"""Why the rest of the program cannot be loaded; None if it can. `main` reports it."""
try:
    from checks.questions import Asked
    from checks.vendors import check_addresses, check_network
except (ImportError, SyntaxError) as error:  # an old Python, or a package that is missing
    import_error = error

if import_error is None:
    import structlog

    import config
    import logger
    import utils
    from checks import init, machine
    from checks.places import check_lease, check_places
    from checks.sessions import check_calendar, may_be_connected
    from checks.settings import check_oddities, check_settings, doubted
    from config import Settings
    from redaction import redactor
    from utils import Clock

    log = structlog.get_logger("diagnose")

EXIT_OK, EXIT_FAILS, EXIT_CONFIGURATION = 0, 1, 2

SOCKETS_WARNING = "Opening both sockets: a copy running elsewhere on this account goes blind for a minute."

REVIEWS = {"why": "review.why", "days": "review.days", "watch": "review.watch.command"}
"""The commands that read what was recorded, and where they are."""

NAME_NEAR = 0.5
"""How similar (`difflib` ratio) a word must be to a command's name to be taken for it."""

EPILOG = """\
other commands, each with its own --help:
  python diagnose.py why [DATE]    why there was no alert, second by second
  python diagnose.py days          every session so far in a row, and what they came to
  python diagnose.py watch         the session in progress, in this terminal

exit status:
  0  all well (warnings allowed)
  1  something is wrong: every line with a cross says what to do
  2  bad configuration: one line for each fault
  130  stopped by Ctrl-C
  141  whoever was reading the output is gone, as with | head

Keys are never printed, and nothing is sent to the phone without --send-test. The vendor allows one streaming connection
per account and kind of market, so a copy running elsewhere would lose its own to this check. The sockets are therefore
tested only while no copy runs on DATA_DIR and, from 10 minutes before a session to its end, only with --sockets.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line. Ends the process with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog=entry.called("diagnose.py"),
        description="Check settings, packages, calendar, market data and push before the worker runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", metavar=f"{{{','.join(REVIEWS)}}}", help="another command: see below"
    )
    parser.add_argument("--offline", action="store_true", help="contact nobody: skip market data and push")
    parser.add_argument(
        "--send-test",
        action="store_true",
        help="send one real push, as loud as a BUY, and a test to SECOND_CHANNEL_URL",
    )
    parser.add_argument(
        "--sockets",
        action="store_true",
        help="test the sockets even during a session: a copy running elsewhere goes blind for a minute",
    )
    parser.add_argument("--verbose", action="store_true", help="show every setting, including defaults")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument(
        "--init", action="store_true", help="ask for the three keys, try them, and write them to .env"
    )
    parser.add_argument(
        "--env", metavar="FILE", help="with --init: the file to write instead (default: .env)"
    )
    options = parser.parse_args(arguments)
    if options.command is not None:
        parser.error(_unknown(options.command))
    if options.env is not None and not options.init:
        parser.error("--env goes with --init")
    if options.init and (options.offline or options.send_test or options.sockets or options.json):
        parser.error("--init tries the keys online and writes them: of the other options it takes only --env")
    if options.offline and (options.send_test or options.sockets):
        parser.error("--offline contacts nobody: it does not go with --send-test or --sockets")
    return options


def _unknown(command: str) -> str:
    """Returns what is wrong with a word that is not the first one, or not a command."""
    if command in REVIEWS:
        return f"{command} comes first: python diagnose.py {command}"
    close = difflib.get_close_matches(command, REVIEWS, n=1, cutoff=NAME_NEAR)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(REVIEWS)}"
    return f"unknown command {command}; {hint}"


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Runs the checks, prints the report, returns the exit status. A first word out of `REVIEWS` is another command.

    ``clock`` gives the time (None: the machine's).
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in REVIEWS:
        return _review(words[0], words[1:])
    options = parse(words)
    checks = _check_installation(options)
    if import_error is not None:
        _print(_report(checks, options), options)
        return EXIT_FAILS
    if options.init:
        return init.run(Path(options.env or ".env"), clock or utils.SystemClock())
    settings, sources, faults = _settings()
    if settings is None or faults:
        _print(_report([*checks, *_fault_lines(settings, faults)], options), options)
        return EXIT_CONFIGURATION
    checks += _check_program(settings, sources, options, clock or utils.SystemClock())
    _print(redactor(settings.secrets())(_report(checks, options)), options)
    return EXIT_FAILS if fails(checks) else EXIT_OK


def _review(command: str, arguments: Sequence[str]) -> int:
    """Runs a command that reads what was recorded, such as ``why``."""
    try:
        review = importlib.import_module(REVIEWS[command])  # only here: the worker runs without review/
    except ImportError as error:
        print(f"diagnose.py {command} needs review/ and all of requirements.txt ({error}).", file=sys.stderr)
        return EXIT_FAILS
    status: int = review.main(arguments)
    return status


def _report(checks: Sequence[Check], options: argparse.Namespace) -> str:
    """Returns the report, with everything escaped by which a vendor, a file or a variable could steer a terminal."""
    report = report_json(checks) if options.json else report_text(checks)
    # If the program cannot be loaded, every text is our own.
    return utils.printable(report, as_json=options.json) if import_error is None else report


def _print(report: str, options: argparse.Namespace) -> None:
    """Prints a report, in colours on a terminal."""
    print(coloured(report) if is_coloured(sys.stdout) and not options.json else report)


def _check_installation(options: argparse.Namespace) -> list[Check]:
    """Checks Python, packages and modules. Stops at the first failing layer: later ones would only repeat it."""
    checks = [check_python()]
    if not fails(checks):
        checks += check_requirements(options.verbose or options.json)
    if not fails(checks):
        checks += check_modules()
    return checks


def _settings() -> tuple[Settings | None, dict[str, str], list[str]]:
    """Returns the settings (None if they are invalid), their sources, and every fault, the machine's own variables included."""
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


def _fault_lines(settings: Settings | None, faults: Sequence[str]) -> list[Check]:
    """Returns one line for each fault. The last one carries the remedy, unless a fault names it itself."""
    is_said = settings is not None or any(".env.example" in fault for fault in faults)
    do = "" if is_said else "see docs/settings.md"
    *others, last = faults
    return [
        *(Check("Settings", Severity.FAIL, fault) for fault in others),
        Check("Settings", Severity.FAIL, last, do),
    ]


def _check_program(
    settings: Settings, sources: Mapping[str, str], options: argparse.Namespace, clock: Clock
) -> list[Check]:
    """Runs the checks that need settings. A fault of their own becomes a failing line."""
    checks: list[Check] = []
    with logger.only_crashes(settings.secrets(), clock.now):
        try:
            for group in _groups(settings, sources, options, clock):
                checks += group
        except Exception as error:
            if shortage := entry.shortage_text(error):
                return [*checks, Check("Machine", Severity.FAIL, *shortage.split(": ", 1))]
            name = type(error).__name__
            log.critical("crashed", text=f"🛑 The checks were ended by {name}: {error}", exc_info=error)
            text = f"the checks were ended by a fault of their own ({name})"
            checks.append(Check("Machine", Severity.FAIL, text, "report it"))
    return checks


def _groups(
    settings: Settings, sources: Mapping[str, str], options: argparse.Namespace, clock: Clock
) -> Iterator[list[Check]]:
    """Yields the checks group by group, so that a fault in one keeps the lines before it."""
    yield check_settings(settings, sources, verbose=options.verbose or options.json)
    yield check_oddities(settings, os.environ)
    yield doubted("Machine", machine.doubts())
    yield check_places(settings, os.environ)
    lease, is_running = check_lease(settings.data_dir)
    yield [lease]
    try:
        calendar = check_calendar(settings, clock.now())
    except (LookupError, OverflowError, ValueError, OSError) as error:
        # No calendar reaches as far as this clock: asking the vendors is useless until it is set.
        text = f"no session near this machine's time ({error})"
        yield [Check("Calendar", Severity.FAIL, text, "set this machine's clock (NTP)")]
        return
    yield calendar
    if options.offline:
        yield asyncio.run(_check_addresses(settings))
    else:
        asked = what_to_ask(options, is_running=is_running, now=clock.now())
        if asked.sockets and may_be_connected(utils.session_at(clock.now()), clock.now()):
            print(SOCKETS_WARNING, file=sys.stderr)
        yield asyncio.run(_ask(settings, clock, asked))


def what_to_ask(options: argparse.Namespace, *, is_running: bool, now: int) -> Asked:
    """Decides what to ask the vendors: a socket of ours takes the account's only connection from a running copy."""
    if is_running:
        why = "because a copy is running on DATA_DIR and would lose its connection"
        return Asked(no_sockets=why, do="its log says whether bars come", send_test=options.send_test)
    if may_be_connected(utils.session_at(now), now) and not options.sockets:
        why = "because a copy that runs elsewhere would be blind for a minute"
        do = "if there is none: python diagnose.py --sockets"
        return Asked(no_sockets=why, do=do, send_test=options.send_test)
    return Asked(sockets=True, send_test=options.send_test)


async def _check_addresses(settings: Settings) -> list[Check]:
    """Checks the addresses of the second channel without contacting anybody."""
    return await check_addresses(settings)


async def _ask(settings: Settings, clock: Clock, asked: Asked) -> list[Check]:
    """Asks the vendors. The executor keeps a silent name server from delaying the end."""
    asyncio.get_running_loop().set_default_executor(entry.threads())
    return await check_network(settings, clock, asked, display=TerminalDisplay(sys.stderr))


if _STARTED:
    entry.run(main)
