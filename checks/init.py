"""``python diagnose.py --init``: asks for the three keys on a terminal, tries them, and writes ``.env``.

A key is typed unseen, and only its last characters are shown. Nothing is written before every key was tried, or its owner
said that it shall be kept untried.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import config
import entry
import logger
from checks import env_file, machine
from checks.check import Check, Severity
from checks.env_file import EnvFileError
from checks.keys import KEYS, MARKET_KEY, TOKEN, USER, Key, are_swapped, cleaned, doubt, doubts, fault, shown
from checks.questions import Inquiry
from checks.trial import Trial, try_keys
from config import Settings
from errors import OurError
from redaction import redactor
from utils import Clock, printable

TRIES = 3
"""How often a key may be typed before it is given up."""

STAND_IN = {MARKET_KEY: "none", TOKEN: "0" * 30, USER: "0" * 30}
"""Keys with which the other settings are checked before the real ones are typed."""

NO_TERMINAL = (
    "--init asks for keys, so it needs a terminal: start it in one, or copy .env.example to .env and fill in "
    "the three keys"
)
NOTHING = "Nothing was written."


class GivenUp(OurError):
    """No file is written: why, and what to do."""


def run(path: Path, clock: Clock) -> int:
    """Asks for the keys, tries them, and writes them to ``path``. Returns the exit status.

    0: the file is written. 1: it is not. 2: no terminal, or something else is wrong with the settings. Raises
    KeyboardInterrupt after Ctrl-C, when nothing was written.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(f"diagnose.py: {NO_TERMINAL}", file=sys.stderr)
        return entry.EXIT_CONFIGURATION
    try:
        _talk(path, clock)
    except config.ConfigError as error:
        print("Something else must be fixed first:", *error.faults, sep="\n  ", file=sys.stderr)
        return entry.EXIT_CONFIGURATION
    except (EnvFileError, GivenUp) as error:
        print(f"\n{printable(str(error))}\n{NOTHING}", file=sys.stderr)
        return entry.EXIT_FAILED
    except EOFError:
        print(f"\n{NOTHING}", file=sys.stderr)
        return entry.EXIT_FAILED
    except KeyboardInterrupt:
        print(f"\n{NOTHING}", file=sys.stderr)
        raise
    return entry.EXIT_OK


def _talk(path: Path, clock: Clock) -> None:
    """Leads through all of it. Raises EnvFileError, GivenUp, ConfigError, EOFError or KeyboardInterrupt."""
    before = env_file.read_text(path)
    env_file.check_place(path)
    if faults := machine.faults(_settings(path, STAND_IN)):
        raise config.ConfigError(faults)
    machine.unify()
    if before is not None and not _agrees(
        f"{path} exists. Replace its three keys, and keep everything else in it?", otherwise=False
    ):
        raise GivenUp(f"{path} stays as it is.")
    print("What you type is hidden. Paste each key and press Enter; Ctrl-C cancels.\n")
    keys = {key.name: _asked(key) for key in KEYS}
    _look_over(keys)
    _try(path, keys, clock)
    text = env_file.example() if before is None else before
    env_file.write(path, env_file.with_values(text, keys, config.ALIASES), before)
    _say_next(path)


def _settings(path: Path, keys: Mapping[str, str]) -> Settings:
    """Returns the settings with ``keys`` instead of those that the file and the environment hold. Raises ConfigError."""
    names = {*keys, *config.ALIASES}
    others = {name: value for name, value in os.environ.items() if name not in names}
    return config.load({**others, **keys}, path)[0]


# --- Typing ------------------------------------------------------------------------------------------


def _asked(key: Key) -> str:
    """Returns a key as its owner typed it, of the right form. Raises GivenUp."""
    for _ in range(TRIES):
        typed = cleaned(_hidden(f"{key.title} ({key.place}): "))
        wrong = fault(key.name, typed)
        if wrong is not None:
            print(f"  ✗ {wrong}")
            continue
        print(f"  {shown(typed)}")
        odd = doubt(key.name, typed)
        if odd is None or _agrees(f"  ⚠ {odd}", otherwise=False):
            return typed
    raise GivenUp(f"No {key.title} that looks valid after {TRIES} times: see {key.place}.")


def _hidden(question: str) -> str:
    """Returns a line that was typed unseen. Raises GetPassWarning rather than show it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        return getpass.getpass(question)


def _agrees(question: str, *, otherwise: bool) -> bool:
    """Asks until the answer is yes or no. ``otherwise`` is what Enter alone means."""
    while True:
        answer = input(f"{question} [{'Y/n' if otherwise else 'y/N'}] ").strip().lower()
        if not answer:
            return otherwise
        if answer in ("y", "yes", "n", "no"):
            return answer.startswith("y")


# --- Looking over, and trying ------------------------------------------------------------------------


def _look_over(keys: dict[str, str]) -> None:
    """Says what looks odd about the keys, and swaps token and user key if the owner agrees."""
    if are_swapped(keys) and _agrees("\n⚠ Token and user key look swapped. Swap them?", otherwise=True):
        keys[TOKEN], keys[USER] = keys[USER], keys[TOKEN]
    for odd in doubts(keys):
        print(f"⚠ {odd}")


def _try(path: Path, keys: dict[str, str], clock: Clock) -> None:
    """Tries the keys online, and has each that is refused typed again. Raises GivenUp or ConfigError."""
    for left in reversed(range(TRIES)):
        print("\nTrying them …")
        trial = _tried(_settings(path, keys), clock)
        _print_lines(trial.lines, keys)
        if not trial.refused:
            break
        again = [key for key in KEYS if key.name in trial.refused]
        if not left:
            raise GivenUp(f"Refused {TRIES} times: see {'; '.join(key.place for key in again)}.")
        print()
        for key in again:
            keys[key.name] = _asked(key)
        _look_over(keys)
    if not trial.is_complete and not _agrees(
        "\nNot every key could be checked. Keep them anyway?", otherwise=True
    ):
        raise GivenUp("Run it again when the network works.")


def _tried(settings: Settings, clock: Clock) -> Trial:
    """Tries the keys."""

    async def ask() -> Trial:
        # This executor keeps a silent name server from delaying the end.
        asyncio.get_running_loop().set_default_executor(entry.threads())
        return await try_keys(Inquiry(settings=settings, clock=clock))

    with logger.only_crashes(settings.secrets(), clock.now):
        return asyncio.run(ask())


def _print_lines(lines: Iterable[Check], keys: Mapping[str, str]) -> None:
    """Prints what was found, without any key: the lines hold what others have said."""
    hide = redactor(tuple(keys.values()))
    for line in lines:
        print(printable(hide(line.line())))


# --- The end -----------------------------------------------------------------------------------------


def _say_next(path: Path) -> None:
    print(f"\nWritten: {path} (only you can read it).")
    for name in sorted({*STAND_IN, *config.ALIASES} & os.environ.keys()):
        line = Check("Settings", Severity.WARNING, f"{name} is also set in the environment, which wins")
        print(f"{line.line()} — unset it there")
    if path.absolute() != Path(".env").absolute():
        print(f"The program reads .env in the folder where it is started, not {path}.")
    print(f"Next: {entry.called('python diagnose.py')} checks the rest: plan, folders, calendar, clock.")
