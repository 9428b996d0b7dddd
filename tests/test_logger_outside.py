"""What the log is given from outside: text that a terminal would obey, parts of a secret, files and consoles that fail."""

from __future__ import annotations

import io
import json
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import logger
import utils
from events import SECOND
from log_file import FILE_BYTES, ROTATE_AGAIN_BYTES
from redaction import MASK, RUN_LENGTH, redactor

NOW = 1_759_416_052 * SECOND
KEY = "aCANARYq7Rt2Yw9Lk4Mn8Bv3Xc6Zd1Pf"
HEARTBEAT = "https://hc.example.com/ping/0f3b3b1e-5d1c-4c55-aaaa-000011112222"

Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    """Sets the log up on a stream of its own and takes it down afterwards."""

    def begin(log_format: logger.LogFormat = "console", log_file: Path | None = None) -> io.StringIO:
        stream = io.StringIO()
        logger.setup(
            level="INFO",
            log_format=log_format,
            log_file=log_file,
            secrets=[KEY, HEARTBEAT],
            clock=lambda: NOW,
            stream=stream,
        )
        return stream

    yield begin
    logger.close()


# --- Text that a terminal would obey -----------------------------------------------------------------


def obeyed(text: str) -> list[str]:
    """The characters of a text that steer a terminal or the direction of writing."""
    kept = "\n\t\u200c\u200d"
    steering = {"Cc", "Cs", "Zl", "Zp"}
    return [
        character
        for character in text
        if character not in kept
        and (
            unicodedata.category(character) in steering or unicodedata.bidirectional(character)[-1:] in "EIOF"
        )
        and unicodedata.bidirectional(character)
        not in ("", "AN", "EN", "ES", "ET", "CS", "NSM", "WS", "ON", "BN")
    ]


HOSTILE = (
    "\x1b[2J",
    "\x9b31m",
    "\x07",
    "\r",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\ud83d",
    "\x7f",
    "\x00",
)


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("character", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_written(
    start: Start, log_format: logger.LogFormat, character: str
) -> None:
    stream = start(log_format)
    structlog.get_logger("main").info("vendor", text=f"a{character}b", field=f"c{character}d")
    text = stream.getvalue()
    assert character not in text
    if log_format == "json":
        line = json.loads(text)
        assert (line["text"], line["field"]) == (f"a{character}b", f"c{character}d")


def test_emoji_and_the_writing_of_every_people_stay() -> None:
    kept = "🔥 ⚠️ ✓ 👩‍💻 Δ0.42 Größe 日本語 עברית العربية\n\tnext"
    assert utils.printable(kept) == kept
    assert utils.printable(json.dumps(kept, ensure_ascii=False), as_json=True) == json.dumps(
        kept, ensure_ascii=False
    )


@given(st.text())
def test_whatever_the_text_it_is_harmless_and_can_be_read_back_from_json(text: str) -> None:
    shown = utils.printable(text)
    assert not obeyed(shown)
    assert utils.printable(shown) == shown
    dumped = utils.printable(json.dumps(text, ensure_ascii=False), as_json=True)
    assert not obeyed(dumped)
    assert json.loads(dumped) == text


# --- Parts of a secret -------------------------------------------------------------------------------


@given(st.integers(0, len(KEY)), st.integers(0, len(KEY)), st.text(max_size=5), st.text(max_size=5))
def test_of_a_key_that_was_cut_no_more_than_nine_characters_are_left(
    first: int, last: int, before: str, after: str
) -> None:
    part = KEY[min(first, last) : max(first, last)]
    shown = redactor([KEY])(f"{before}{part}{after}")
    for start in range(len(KEY) - RUN_LENGTH + 1):
        assert KEY[start : start + RUN_LENGTH] not in shown
    if len(part) < RUN_LENGTH and KEY not in f"{before}{part}{after}":
        assert part in shown


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY[:16]}\n    {KEY[16:]}",
        "".join(f"%{ord(character):02x}" for character in KEY),
        f"https://api.example.com/v3?k={KEY[:4]}%{ord(KEY[4]):02X}{KEY[5:]}",
        quote("".join(f"%{ord(character):02x}" for character in KEY)),
        "".join(f"\\x{ord(character):02x}" for character in KEY),
        "".join(f"\\u{ord(character):04x}" for character in KEY),
        f"{KEY[:14]}…",
        f"GET /ping/{HEARTBEAT[-36:-20]}…",
        f"{KEY}{KEY}",
    ],
)
def test_no_part_of_a_secret_is_left_by_a_cut_a_line_break_or_an_encoding(text: str) -> None:
    shown = redactor([KEY, HEARTBEAT])(text)
    assert MASK in shown
    for secret in (KEY, HEARTBEAT[-36:]):
        assert not any(secret[start : start + 10] in shown for start in range(len(secret) - 9))
    assert "%" not in shown
    assert "\\" not in shown


def test_what_only_resembles_a_secret_stays() -> None:
    redact = redactor([KEY, HEARTBEAT, "https://bot:hunter2@hooks.example.com/x"])
    for text in (KEY[:9], "https://hc.example.com is down", "100%25 sure", r"C:\x41", "nothing at all"):
        assert redact(text) == text
    assert redact("password hunter2") == "password ***"
    assert redactor([])("as it is %41") == "as it is %41"


def test_of_several_addresses_in_one_setting_each_is_hidden() -> None:
    redact = redactor(
        ["tgram://123456789:AAECANARYtelegramtoken/1234567890123, mailto://me:pass%20CANARY@example.com"]
    )
    for text in (
        "AAECANARYtelegramtoken",
        "chat 1234567890123",
        "login me pass CANARY",
        "login pass%20CANARY",
    ):
        assert "CANARY" not in redact(text)
        assert MASK in redact(text)


def test_a_line_is_searched_quickly() -> None:
    redact = redactor([KEY, HEARTBEAT, KEY[::-1], "u" + KEY])
    line = "📊 Data feed active: IWM $220.50, VWAP $220.30, Vol 1,250,000" * 3
    began = time.thread_time()
    for _ in range(100):
        redact(line)
    assert (time.thread_time() - began) / 100 < 0.002
    began = time.thread_time()
    for blob in ("x" * 200_000, "%41\\x41" * 20_000, "%" * 200_000, "\\" * 200_000):
        redact(blob)
    assert time.thread_time() - began < 5


# --- Files and consoles that fail --------------------------------------------------------------------


def fill(path: Path) -> None:
    """Make a log file so long that no further line fits."""
    path.touch()
    os.truncate(path, FILE_BYTES - 10)


def test_a_file_that_cannot_be_renamed_loses_no_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    fill(path)
    (tmp_path / "iwm.log.4").touch()
    (tmp_path / "iwm.log.5").mkdir()  # the eldest cannot be replaced, so that nothing moves up
    stream = start(log_file=path)
    log = structlog.get_logger("main")
    for number in range(3):
        log.info("line", text=f"line {number}")
    assert stream.getvalue().count(f"Log file {path} cannot be renamed") == 1
    written = path.read_bytes()[FILE_BYTES - 10 :].decode()
    assert re.findall(r"line \d", written) == ["line 0", "line 1", "line 2"]
    (tmp_path / "iwm.log.5").rmdir()
    log.info("line", text="not tried yet")
    assert not (tmp_path / "iwm.log.1").exists()
    written_on = 0
    while not (tmp_path / "iwm.log.1").exists():
        log.info("line", text="x" * 100_000)
        written_on += 100_000
        assert written_on < ROTATE_AGAIN_BYTES + 200_000
    assert written_on >= ROTATE_AGAIN_BYTES
    assert path.stat().st_size < 200_000


def test_a_file_that_was_moved_away_is_begun_anew(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "iwm.log"
    start(log_file=path)
    log = structlog.get_logger("main")
    log.info("line", text="one")
    path.rename(tmp_path / "moved.log")
    log.info("line", text="two")
    path.unlink()
    path.parent.rmdir()
    log.info("line", text="three")
    assert (tmp_path / "moved.log").read_text(encoding="utf-8").endswith("one\n")
    assert path.read_text(encoding="utf-8").endswith("three\n")


def test_a_console_that_takes_nothing_costs_lines_and_no_time(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    path = tmp_path / "iwm.log"
    with open(writer, "w", encoding="utf-8") as console:
        logger.setup(
            level="INFO", log_format="console", log_file=path, secrets=[], clock=lambda: NOW, stream=console
        )
        try:
            log = structlog.get_logger("main")
            began = time.monotonic()
            for number in range(2000):
                log.info("line", text=f"line {number} " + "x" * 300)
            assert time.monotonic() - began < 5
            read = os.read(reader, 1_000_000)
            log.info("line", text="the last")
            read += os.read(reader, 1_000_000)
        finally:
            logger.close()
    os.close(reader)
    assert path.read_text(encoding="utf-8").count("\n") == 2001
    whole = re.findall(r"INFO  (?:line \d+ x{300}|the last)\n", read.decode())
    assert whole[-1] == "INFO  the last\n"
    missing = re.findall(r"The console accepts lines again, (\d+) are missing here\n", read.decode())
    assert missing == [str(2001 - len(whole))]


@pytest.mark.parametrize(("key", "hidden"), [("k", 1), ("kEy12", 1), ("kEy123", 2)])
def test_a_short_key_is_hidden_where_it_stands_alone(key: str, hidden: int) -> None:
    said = redactor([key])(f"key {key}: like back{key}ed")
    assert said.count(MASK) == hidden
    assert said.startswith("key ***: like ")
    assert redactor([key])(f"https://a.com/?apiKey={key}&x=1") == "https://a.com/?apiKey=***&x=1"


def test_a_file_that_was_moved_away_takes_the_lines_until_a_new_one_can_be_made(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "iwm.log"
    stream = start(log_file=path)
    log = structlog.get_logger("main")
    log.info("line", text="one")
    path.rename(tmp_path / "moved.log")
    path.parent.rmdir()
    path.parent.touch()  # so that no folder can be made
    log.info("line", text="two")
    log.info("line", text="three")
    assert stream.getvalue().count("cannot be written") == 1
    assert re.findall(r"one|two|three", (tmp_path / "moved.log").read_text(encoding="utf-8")) == [
        "one",
        "two",
        "three",
    ]
    path.parent.unlink()
    log.info("line", text="four")
    assert path.read_text(encoding="utf-8").endswith("four\n")
    assert "Log file is written again" in stream.getvalue()
