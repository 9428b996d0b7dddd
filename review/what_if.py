"""A session once more under another rule: which entries would have come, and what each would have paid.

One day proves nothing, and the more settings are tried on it, the better the best of them looks by chance: how many
were tried is kept beside the record.
"""

from __future__ import annotations

import contextlib
import os
import stat
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from config import ConfigError
from followed import acted_text, dollars_text
from record.folder import date_of
from review import fills
from review.answer import answer
from review.derive import Survey, recorded_rules
from review.funnel import signals
from review.study import Study
from utils import clock_text, option_price, plural_s, signed_percent, strike_text

OUTSIDE = frozenset(
    {
        *("CHAIN_POLL_SECONDS", "CHAIN_FALLBACK_POLL_SECONDS", "CHAIN_SPOT_PERCENT", "STREAM_CONTRACTS"),
        *("STREAM_SILENCE_SECONDS", "QUOTE_CONFIRM_SECONDS", "CLOCK_DOUBT_SECONDS", "LOOP_LAG_SECONDS"),
        *("PUSH_CAP_COUNT", "PUSH_CAP_SECONDS"),
    }
)
"""Rules that say what is asked of the vendors and what is measured outside the engine: a record has the answers that
came then, so that they change nothing in it."""

FILE_MODE = 0o600
TRIED_BYTES_MAX = 1_000_000
"""A count of ten thousand settings, and more than anyone tries."""
CELL = 39
CAVEAT_WIDTH = 96


class Tried(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings tried on one record: the rules' hash and the settings in words."""

    tried: dict[str, str] = {}


class Trials(NamedTuple):
    """How many settings were tried on a record so far, this one included, and why that is not kept, if it is not."""

    settings: int
    fault: str = ""


def check(record: Survey, sets: Mapping[str, str]) -> None:
    """Raises ConfigError for settings that cannot be, or that the record has no facts for."""
    for _, header in record.headers:
        before, _ = recorded_rules(header, {})
        after, _ = recorded_rules(header, sets)
        faults: list[str] = []
        if after.symbol != before.symbol:
            faults.append(
                f"SYMBOL: the record has the options of {before.symbol}, and none of {after.symbol}"
            )
        if after.benchmark not in ("", *before.symbols):
            faults.append(f"BENCHMARK: the record has no bars of {after.benchmark}")
        if faults:
            raise ConfigError(faults)


# --- How many were tried -----------------------------------------------------------------------------


def tried_path(record: Path) -> Path:
    """Where the count of a record is kept, packed or not."""
    return record.with_name(f"{date_of(record)}.tried.json")


def count_trial(record: Path, digest: str, words: str) -> Trials:
    """Count a setting, unless it was counted before. A file that cannot be read or written is no error, but said.

    What is no count stays as it is: it is somebody else's, or could still be mended.
    """
    path = tried_path(record)
    fault = ""
    try:
        book = msgspec.json.decode(_read(path), type=Tried)
    except FileNotFoundError:
        book = Tried()
    except (msgspec.MsgspecError, ValueError):
        return Trials(1, f"{path.name} is damaged, or not a count: this one is not kept")
    except OSError as error:
        return Trials(1, f"{path.name} cannot be read ({error.strerror})")
    if digest not in book.tried:
        book.tried[digest] = words
        try:
            _write(path, msgspec.json.format(msgspec.json.encode(book)) + b"\n")
        except OSError as error:
            fault = f"{path.name} cannot be written ({error.strerror}): this one is not kept"
    return Trials(len(book.tried), fault)


def _read(path: Path) -> bytes:
    """The file's bytes. Raises OSError, or ValueError for what is too long to be a count or no ordinary file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not an ordinary file")
        data = file.read(TRIED_BYTES_MAX + 1)
    if len(data) > TRIED_BYTES_MAX:
        raise ValueError("too long")
    return data


def _write(path: Path, data: bytes) -> None:
    """Replace the file whole, for its owner only: who reads it sees the old or the new one. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(part, flags, FILE_MODE), "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


# --- The two side by side ----------------------------------------------------------------------------


class EntryResult(NamedTuple):
    """What one entry came to: in at the ask of its BUY, out at the bid of its SELL.

    ``percent`` and ``dollars`` (one contract) are None where it is still open or could not be priced.
    """

    trade: fills.Trade
    percent: float | None
    dollars: float | None
    is_priced: bool
    is_streamed: bool


def results(study: Study) -> list[EntryResult]:
    """Every entry that was told, or would have been."""
    found: list[EntryResult] = []
    for trade in study.trades.told:
        is_priced = trade.closed is None or (trade.bought is not None and trade.sold is not None)
        found.append(
            EntryResult(
                trade,
                trade.crossed_percent if is_priced else None,
                fills.dollars(trade) if is_priced else None,
                is_priced,
                study.streamed[trade.opened.id] > 0,
            )
        )
    return found


def changed(study: Study, other: Study) -> bool:
    """Whether the two differ in any rule."""
    return [rules.digest() for rules in study.rules_by_start] != [
        rules.digest() for rules in other.rules_by_start
    ]


class Comparison(NamedTuple):
    """A day as it was and as it would have been, in words.

    ``sums``: (whose, how many signals and entries, what a hand could have got). ``rows``: (BUY, as it was, with it).
    ``answer``: why there would have been no entry; empty with one.
    """

    question: str
    is_same: bool
    sums: list[tuple[str, str, str]]
    rows: list[tuple[str, str, str]]
    caveats: list[str]
    answer: str


def compare(study: Study, other: Study, sets: Mapping[str, str], counted: Trials | None) -> Comparison:
    """The entries as they were and as they would have been, then what the comparison is worth."""
    question = f"What if {settings_text(sets)}?"
    text = "" if other.trades.told else f"Under that rule: {answer(other)}"
    if not changed(study, other):
        return Comparison(
            question, True, [], [], ["These are the rules that were used: nothing changes."], text
        )
    before, after = results(study), results(other)
    sums = [_sum_texts("As it was", study, before), _sum_texts("With it", other, after)]
    return Comparison(question, False, sums, _rows(before, after), _caveats(after, sets, counted), text)


def lines(found: Comparison) -> list[str]:
    """A comparison as lines of text."""
    if found.is_same:
        return [f"{found.question} {found.caveats[0]}"]
    out = [found.question, ""]
    for name, counts, by_hand in found.sums:
        out.append(f"  {name + ':':<11}{counts}")
        indent = " " * 13
        out += textwrap.wrap(by_hand, CAVEAT_WIDTH, initial_indent=indent, subsequent_indent=indent)
    if found.rows:
        out += ["", f"  {'BUY':<17}{'as it was':<{CELL}}with it"]
        out += [f"  {when:<17}{was:<{CELL}}{would}" for when, was, would in found.rows]
    return [*out, "", *(line for text in found.caveats for line in textwrap.wrap(text, CAVEAT_WIDTH))]


def settings_text(sets: Mapping[str, str]) -> str:
    """The settings in words, in a fixed order."""
    return ", ".join(f"{name}={value}" for name, value in sorted(sets.items()))


def _sum_texts(name: str, study: Study, found: Sequence[EntryResult]) -> tuple[str, str, str]:
    count = len(signals(study))
    counts = f"{count} signal{plural_s(count)}, {len(found)} entr{'y' if len(found) == 1 else 'ies'}"
    by_hand = acted_text(study.trades.followed(), study.trades.followed(0)) if found else ""
    return name, counts, by_hand


def _rows(before: Sequence[EntryResult], after: Sequence[EntryResult]) -> list[tuple[str, str, str]]:
    was = {result.trade.opened.id: result for result in before}
    would = {result.trade.opened.id: result for result in after}
    every = sorted({**was, **would}.values(), key=lambda result: result.trade.opened_at)
    found: list[tuple[str, str, str]] = []
    for result in every:
        opened = result.trade.opened
        then, now = (cell(side.get(opened.id)) for side in (was, would))
        when = f"{clock_text(result.trade.opened_at)} {strike_text(opened.strike):>5}c"
        found.append((when, then, "the same" if then == now else now))
    return found


def cell(result: EntryResult | None) -> str:
    """An entry in a few words: ``10:44:15 $0.45→$0.54 +20.0% +$9.00``."""
    if result is None:
        return "no entry"
    trade = result.trade
    if trade.closed is None or trade.closed_at is None:
        return f"{option_price(trade.opened.ask)}, still open"
    if not result.is_priced or result.dollars is None:
        return f"{clock_text(trade.closed_at)} not priced"
    return (
        f"{clock_text(trade.closed_at)} {option_price(trade.opened.ask)}→{option_price(trade.closed.bid)} "
        f"{signed_percent(result.percent)} {dollars_text(result.dollars)}"
    )


def _caveats(after: Sequence[EntryResult], sets: Mapping[str, str], counted: Trials | None) -> list[str]:
    """What the comparison is worth."""
    out: list[str] = []
    for name in sorted(OUTSIDE & sets.keys()):
        out.append(
            f"{name} changes nothing here: it says what is asked or measured outside, and the record holds what was "
            "answered then."
        )
    for result in after:
        name, contract = clock_text(result.trade.opened_at), result.trade.opened.contract
        if not result.is_priced:
            out.append(f"The entry of {name} could not be priced: no quote of {contract} was recorded then.")
        elif not result.is_streamed:
            out.append(
                f"The entry of {name} has no streamed quotes of {contract}, only the chain's polls: the live program "
                "would have seen its price more often, and may have sold at another."
            )
    out.append("One day proves nothing: a rule that would have been better on it may be worse on the next.")
    if counted is not None:
        out.append(
            f"Tried on this record so far: {counted.settings} setting{plural_s(counted.settings)}. The more are tried, "
            "the better the best of them looks by chance alone."
        )
        if counted.fault:
            out.append(f"({counted.fault})")
    return out
