"""What owners write: values of settings, ``.env`` files, the environment, and CSV files of bars."""

from __future__ import annotations

import gzip
import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from config import ConfigError, Settings, doubts, load, variable_names
from review import bars
from review.bars import BadFile
from settings.faults import SECRET_NAMES
from tests.fuzz import oracle
from tests.fuzz.bounds import TRIES, TooMuch
from tests.fuzz.case import Case
from tests.fuzz.mutate import odd_bytes
from tests.wire import START_MS

KEYS = {
    "POLYGON_API_KEY": "kEy-0123456789abcdefghij",
    "PUSHOVER_TOKEN": "token0token0token0token0token0",
    "PUSHOVER_USER_KEY": "userk0userk0userk0userk0userk0",
}

VALID: dict[str, tuple[str, ...]] = {
    "STALL_SECONDS": ("1", "60", " 7 ", "12.0"), "MAX_SPREAD_PERCENT": ("4", "4.5", ".5", "45e-1"), "DAILY_SUMMARY": ("on", "off", "TRUE", "0"),
    "HARD_TIME_STOP": ("15:55", "15:30:30"), "ON_SHUTDOWN": ("keep", "CLOSE"), "SYMBOL": ("IWM", "iwm"), "LOG_LEVEL": ("debug", "ERROR"),
    "KEEP_SESSIONS": ("1", "10000"), "POLYGON_REST_URL": ("https://api.polygon.io", "http://127.0.0.1:8000"), "DATA_DIR": ("data", "/var/lib/x"),
    "BUY_SOUND": ("", "siren"), "SELL_PRIORITY": ("0", "1", "2"), "FOLLOW_DELAY_SECONDS": ("0", "300"),
}  # fmt: skip
"""Values that the documentation calls valid (docs/settings.md)."""

ODD = (
    "", " ", "0", "-1", "1e400", "nan", "inf", "9" * 400, "9" * 5_000, "\u0663", "1_0", "0x10", "true", "on", "none", "null", "[]", "{}", "$HOME",
    "${X}", "'", '"', "#", " #x", "a b", "~", "~nobody-there/x", "/", "..", "\u202e", "\x1b[2J", "\x7f", "\ud800", "https://", "http://[::1", "https://a:99999",
    "https://x.test:0x50", "https://user:secret@x.test", "wss://\u00e4.test", "http://xn--a.test", "https://xn--ls8h.la", "25:00", "15:5", "15:55:61", "IWM,SPY", "\u00df",
    "x" * 3_000, "http://a/" * 300, "tgram://", "mailtos://u:p@x.test tgram://a/b", "https://x.test/?token=" + KEYS["PUSHOVER_TOKEN"], KEYS["PUSHOVER_TOKEN"],
    "e" * 20_000, "1" * 20_000 + "x", ":" * 20_000, "." * 20_000, "a-" * 10_000, "\u0130" * 500, "a" + " " * 20_000 + "b", "https://a.test" + " ," * 10_000 + "b", "1." + "0" * 20_000 + "x", "https://" + "a." * 900 + "test", "\u00e4" * 1_900,
)  # fmt: skip

CASE_S = 0.1
"""The longest that reading settings or a small file may take, seconds of processor time: nothing waits for it but a start."""


def timed(work: Callable[[], None], size: int) -> None:
    """Does something; raises TooMuch if it takes too long again and again."""
    for _ in range(TRIES + 1):
        began = time.thread_time()
        work()
        took = time.thread_time() - began
        if took <= CASE_S:
            return
    raise TooMuch(f"{took * 1000:.0f} ms for {size:,} bytes")


def check_faults(error: ConfigError, secrets: list[str]) -> None:
    """Faults are short lines, without terminal controls and without secrets."""
    text = "\n".join(error.faults)
    for secret in secrets:
        assert secret not in text, "a secret is told"
    assert error.faults and all(fault.strip() for fault in error.faults)


class SettingsValues:
    """Values of settings, by the environment."""

    name = "settings"

    def make(self, source: random.Random) -> Case:
        """Returns pairs of name and value: some valid, one odd, perhaps with an odd name."""
        chosen = {**KEYS, **{name: source.choice(VALID[name]) for name in source.sample(sorted(VALID), 4)}}
        name = source.choice(variable_names())
        value = source.choice(ODD)
        if source.random() < 0.3:
            value = odd_bytes(source, chosen.get(name, "15:30").encode(), 2).decode(errors="surrogateescape")
        if source.random() < 0.2:
            name = odd_bytes(source, name.encode(), 1).decode(errors="replace")
        name = name.replace("\0", "").replace("=", "")
        chosen[name] = value.replace("\0", "")
        pieces = [f"{key}={item}".encode(errors="surrogatepass") for key, item in chosen.items()]
        return Case(self.name, tuple(pieces), {"odd": name})

    def check(self, case: Case) -> None:
        """Settings, with the valid values as they are, or faults that name the odd one alone."""
        pairs = [piece.decode(errors="surrogatepass").partition("=") for piece in case.pieces]
        environment = {name: value for name, _, value in pairs if name}
        odd = case.options["odd"].upper()
        secrets = [value for name, value in environment.items() if name in SECRET_NAMES and len(value) >= 12]

        def read() -> None:
            try:
                made, _ = load(environment, None)
            except ConfigError as error:
                check_faults(error, secrets)
                missing = set(KEYS) - set(environment)
                wrong = {fault.partition(":")[0] for fault in error.faults}
                # Rules that contradict each other are told in a sentence, which begins with no name.
                told = {name for name in wrong if name in variable_names()}
                assert told <= {odd, *missing} | related(odd), f"told of {told}, odd is {odd}"
                return
            check_valid(made, environment, odd)

        timed(read, case.size)
        timed(lambda: check_lines(doubts(environment, None)), case.size)


def related(odd: str) -> set[str]:
    """The settings that may be at fault when that one is changed: of times, the later must be later."""
    return {"HARD_TIME_STOP", "NO_ENTRY_AFTER"} if odd in ("HARD_TIME_STOP", "NO_ENTRY_AFTER") else set()


def check_lines(lines: list[str]) -> None:
    """Doubts are lines."""
    assert all(line.strip() for line in lines)


def check_valid(made: Settings, environment: dict[str, str], odd: str) -> None:
    """Valid values mean what they say."""
    for name in VALID.keys() & environment.keys() - {odd}:
        value, found = environment[name].strip(), getattr(made, name.lower())
        if value not in {item.strip() for item in VALID[name]} or not value:
            continue
        if isinstance(found, bool):
            assert found is (value.lower() in ("on", "true", "1"))
        elif isinstance(found, int | float):
            assert found == float(value)
        else:
            assert str(found).lower() == value.lower(), (name, found)


class EnvFiles:
    """Files of settings."""

    name = "env"

    def make(self, source: random.Random) -> Case:
        """Returns the lines of a file, with changes in the bytes, or lines from elsewhere."""
        lines = [f"{name}={value}" for name, value in KEYS.items()]
        lines += [f"{name}={source.choice(VALID[name])}" for name in source.sample(sorted(VALID), 3)]
        draw = source.random()
        if draw < 0.5:
            odd = (
                "export A=b", "=", "A", "'", "#", '"' * 3, "A='b", "A=$(x)", "SYMBOL=", "\ufeffSYMBOL=IWM", "=" * 5_000, "A=" + "\\" * 5_000,
                "A='" + "x" * 9_000, "SYMBOL='" + "\\'" * 4_000, '"' * 9_001, "STALL_SECONDS = 5 # five", "stall_seconds=5", "STALL_SECONDS=5\rX=1",
                "\x0c", "\u2028SYMBOL=SPY", "A" * 30_000, "export " * 3_000, " " * 30_000 + "x", "#" + "x" * 30_000, "SYMBOL=\x00",
            )  # fmt: skip
            lines.insert(source.randrange(len(lines) + 1), source.choice(odd))
        text = source.choice(("\n", "\n", "\r\n", "\n\n")).join(lines).encode()
        if draw >= 0.5:
            text = source.choice(
                (
                    lambda: odd_bytes(source, text, 2),
                    lambda: text.decode().encode("utf-16"),
                    lambda: b"\xef\xbb\xbf" + text,
                )
            )()
        if draw > 0.98:
            text *= source.choice((2, 40))
        return Case(self.name, (text,), {})

    def check(self, case: Case) -> None:
        """Settings, or faults; a valid line that stands alone in its line is read."""
        text = case.pieces[0]
        with tempfile.NamedTemporaryFile() as file:
            path = Path(file.name)
            path.write_bytes(text)

            def read() -> None:
                try:
                    made, sources = load({}, path)
                except ConfigError as error:
                    check_faults(error, [value for value in KEYS.values() if value.encode() in text])
                    return
                assert sources["PUSHOVER_TOKEN"] == "file"
                assert len(made.pushover_token.get_secret_value()) == len(KEYS["PUSHOVER_TOKEN"])

            timed(read, len(text))
            timed(lambda: check_lines(doubts({}, path)), len(text))


CELLS = (
    "", " ", "0", "-1", "nan", "inf", "1e400", "1e-400", "9" * 400, "9" * 5_000, "1_0", "\u0663", '"', '""', '"1"', "'1'", "a,b", "x" * 9_000, "\x00", "IWM", "spy", "1,234",
    "=1+1", "true", "1e3", "+5", " 5 ", "0x10", "1759411797000", "1759411797001", "-0", "1000000.1", "1e12",
)  # fmt: skip


class Csv:
    """CSV files of bars, as ``replay --bars`` reads them."""

    name = "csv"

    def make(self, source: random.Random) -> Case:
        """Returns the lines of a file: a header, and rows of which some are odd."""
        header = list(bars.COLUMNS)
        rows: list[list[str]] = []
        for place in range(source.choice((1, 3, 6))):
            low, middle, high = sorted(round(source.uniform(100, 180), 2) for _ in range(3))
            cells: list[object] = [
                "IWM",
                START_MS - 1000 * place,
                middle,
                high,
                low,
                middle,
                500 + place,
                middle,
            ]
            rows.append([str(cell) for cell in cells])
        for _ in range(source.choice((0, 1, 1, 2))):
            row = source.choice(rows)
            row[source.randrange(len(row))] = source.choice(CELLS)
            if source.random() < 0.2:
                row.insert(source.randrange(len(row) + 1), source.choice(CELLS))
        if source.random() < 0.1:
            header[source.randrange(len(header))] = source.choice(CELLS)
        lines = [",".join(cells).encode(errors="replace") for cells in (header, *rows)]
        options = {
            "end": source.choice(("\n", "\n", "\r\n")),
            "raw": source.random() < 0.2,
            "seed": source.randrange(2**32),
        }
        return Case(self.name, tuple(lines), {**options, "is_packed": source.random() < 0.2})

    def check(self, case: Case) -> None:
        """Rows that are valid by the documentation come through, and no others."""
        options = case.options
        text = options["end"].encode().join(case.pieces) + options["end"].encode()
        text = gzip.compress(text, mtime=0) if options["is_packed"] else text
        if options["raw"]:
            text = odd_bytes(random.Random(options["seed"]), text, 2)
        is_plain = not options["raw"] and case.pieces[:1] == (",".join(bars.COLUMNS).encode(),)
        is_long = max(map(len, case.pieces), default=0) + len(options["end"]) >= LONG_LINE
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(text)

            def read() -> None:
                try:
                    loaded = bars.load([Path(file.name)], ("IWM",), lambda _: None)
                except BadFile as error:
                    assert is_long or not is_plain, f"lost: {error}"
                    return
                assert not (is_long and is_plain), "a line that is no row"
                found = [bar for _, made in loaded.sessions.values() for bar in made]
                for bar in found:
                    oracle.check_shape(bar)
                if is_plain:
                    for line in case.pieces[1:]:
                        if (wanted := plain_row(line)) is not None:
                            assert any(oracle.is_as(bar, wanted) for bar in found), f"lost: {line!r}"

            timed(read, len(text))


LONG_LINE = 16_384
"""A file with a line of so many bytes is no file of bars."""


def plain_row(line: bytes) -> dict[str, object] | None:
    """Returns the bar of a row that is plainly one of 2 October 2025."""
    cells = line.decode(errors="replace").split(",")
    if len(cells) != len(bars.COLUMNS) or b'"' in line or cells[0] != "IWM":
        return None
    try:
        start, *numbers = (float(cell) for cell in cells[1:] if cell.isascii() and "_" not in cell)
    except ValueError:
        return None
    if (
        len(numbers) != 6
        or not all(map(math.isfinite, numbers))
        or not cells[1].isdigit()
        or start % 1000
        or not START_MS - 60_000 <= start <= START_MS
    ):
        return None
    opening, high, low, close, volume, vwap = numbers
    if (
        not 0.01 <= low <= min(opening, close) <= max(opening, close) <= high <= 1e6
        or not 0 <= volume < 1e12
        or not low <= vwap <= high
    ):
        return None
    return {
        "start": int(start) * 1000,
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "vwap": vwap,
    }
