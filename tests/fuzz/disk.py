"""Lets the k-th step on the disk of a short session fail, for every k, and changes each byte of a record.

A step is each opening, write, half write and ``fsync``. The disk refuses it once, or this and every later one, for want of room, for
a broken disk, or because it can only be read. The SELL must be sent all the same, the owner told, and a later start on a good disk
must find a record that says nothing false.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from events import SECOND, Closed, Opened, Withdrawn
from record.folder import record_path
from record.lines import Line
from record.reader import Damage, read
from review import verify
from tests.builders import SESSION
from tests.fuzz.kills import decisions, run
from tests.fuzz.records import content, lines_of
from tests.fuzz.session import RESTART_S, Life, Moments, Phone, begun, shown, story

FAULTS = (errno.ENOSPC, errno.EIO, errno.EROFS)

TELL_S = 10
"""How soon the owner is told that the record cannot be written, seconds."""


def steps() -> list[str]:
    """Returns the name of each step on the disk of a session without a fault."""
    with tempfile.TemporaryDirectory() as folder:
        return list(run(_told(Path(folder), -1, 0, lasts=False)))


def refused(place: int, fault: int, *, lasts: bool) -> str:
    """Lets a step fail. Returns what is wrong then; empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(_told(Path(folder), place, fault, lasts=lasts))
        except Exception as error:  # noqa: BLE001 - whatever is wrong is told with its place
            how = "from step" if lasts else "at step"
            return f"{errno.errorcode[fault]} {how} {place}: {type(error).__name__}: {error}"
    return ""


async def _told(folder: Path, place: int, fault: int, *, lasts: bool) -> list[str]:
    clock, phone = begun(), Phone()
    struck: list[int] = []

    def strike(name: str) -> None:
        struck.append(clock.now())
        raise OSError(fault, os.strerror(fault))

    moments = Moments(place, strike, lasts=lasts)
    life = Life(folder, clock, phone, moments)
    await life.live()
    await life.bury()
    if struck and struck[0] < story()[-1][0] - TELL_S * SECOND:
        told = [message for message in phone.messages if "record off" in message["title"]]
        assert told, f"nobody is told\n{shown(folder, phone)}"
        assert int(told[0]["timestamp"]) * SECOND <= struck[0] + TELL_S * SECOND, (
            f"told late\n{shown(folder, phone)}"
        )
    check_first(folder, phone)
    pushed = len(phone.pushes("SELL"))
    await clock.sleep(RESTART_S)
    life = Life(folder, clock, phone, Moments(-1, strike))
    await life.live()
    await life.bury()
    check_later(folder, phone, pushed)
    return moments.names


def check_first(folder: Path, phone: Phone) -> None:
    """Whoever was told of a BUY was told of its SELL, whatever the disk does; and no BUY was told that is not on it."""
    words = shown(folder, phone)
    buys, sells = phone.pushes("BUY"), phone.pushes("SELL")
    assert len(sells) >= len(buys), f"SELL lost\n{words}"
    assert len(buys) <= 1 and len(sells) <= 1, f"told twice\n{words}"
    path = record_path(folder, SESSION.date)
    lines = read(path).entries if path.exists() else []
    opened = {made.id for line in lines for made in line.decisions if isinstance(made, Opened)}
    for message in buys:
        assert any(f"#{name}" in message["message"] for name in opened), (
            f"a BUY that is not on the disk\n{words}"
        )


def check_later(folder: Path, phone: Phone, pushed: int) -> None:
    """The record derives again, and nothing in it is open; a SELL that it held was not told again unmarked."""
    verify.check(record_path(folder, SESSION.date))
    opened, closed, withdrawn = (decisions(folder, kind) for kind in (Opened, Closed, Withdrawn))
    gone = {decision.id for decision in withdrawn}
    words = shown(folder, phone)
    assert {each.id for each in closed} >= {each.id for each in opened} - gone, f"not sold\n{words}"
    again = phone.pushes("SELL")[pushed:]
    assert len(again) <= 1, f"told again and again\n{words}"


def failures(places: Sequence[int]) -> list[str]:
    """Lets each of these steps fail in every way. Returns what is wrong."""
    return [
        wrong
        for place in places
        for lasts in (False, True)
        for fault in FAULTS
        if (wrong := refused(place, fault, lasts=lasts))
    ]


# --- The bytes of a record ---


def spoilt() -> Iterator[tuple[str, bytes]]:
    """Yields a small record with each of its bits changed, each of its bytes made zero, and cut at each length."""
    text = content("open")
    for place, byte in enumerate(text):
        for bit in range(8):
            yield f"bit {bit} of byte {place}", text[:place] + bytes([byte ^ 1 << bit]) + text[place + 1 :]
        if byte:
            yield f"byte {place} is 0", text[:place] + b"\0" + text[place + 1 :]
        yield f"cut at {place}", text[:place]


def silently_changed(name: str, text: bytes, folder: Path) -> str:
    """Returns what is wrong with what is read of a record; empty if it is damage, or what was written up to a torn end."""
    path, lines = folder / f"{SESSION.date}.jsonl", lines_of("open")
    path.write_bytes(text)
    try:
        record = read(path)
    except Damage:
        return ""
    found: list[Line] = record.lines
    is_cut = text == b"".join(content("open").splitlines(keepends=True)[: len(found)])
    if found == lines[: len(found)] and (record.torn or is_cut or len(found) == len(lines)):
        return ""
    return f"{name}: read as another record"


def spoilt_failures(step: int = 1, first: int = 0) -> tuple[int, list[str]]:
    """Returns how many changed records were read, every ``step``-th from ``first`` on, and what is wrong."""
    count, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, text) in enumerate(spoilt()):
            if number % step == first % step:
                count += 1
                wrong += [found] if (found := silently_changed(name, text, Path(folder))) else []
    return count, wrong
