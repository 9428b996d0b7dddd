"""Every number and place that can be set: `Rules` (what decides) and `Settings` (`Rules` and the rest).

The engine receives `Rules` only, so it cannot see a key or an address. Values come from the environment or a
``.env`` file (the environment wins). `load` reports all faults at once, by name, without a secret's value.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import io
import ipaddress
import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

VERSION = "1.1.0"
"""Version of the program, printed at the start and written into every record."""

FULL_DAY_CLOSE_S = 16 * 3600
"""The close that `NO_ENTRY_AFTER` and `HARD_TIME_STOP` are written for, in seconds of the New York day."""

_KEY_LENGTH = 20
"""Length from which a word may be a key that was pasted into the wrong place: the vendors' have 30 and more."""

_KEY = re.compile(rf"[A-Za-z0-9_-]{{{_KEY_LENGTH},}}")

_NAME_NEAR = 0.8
"""How much a name of that length must be like a setting's to be repeated."""

NAME_BYTES, PATH_BYTES = 255, 4000
"""The longest name of a file, and the longest path, less what is appended to it: what Linux and macOS take."""

ADDRESS_LENGTH = 2000
"""The longest address. Browsers and servers take about that, and ours only 65,536 with what is appended."""

SHARED_LENGTH = 8
"""So many characters of a secret in a row make a value one that is not shown."""

HOST_LENGTH = 253
"""The longest name of a host that can be asked for."""

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
"""A part of a host's name. The underscore is not for the public, but private networks use it."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")
"""How an address begins (``file:///``), or a drive of Windows. As a path, it would make a folder of that name here."""

_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""Numbers as they are written in ASCII. Python takes digits of every script, and underscores, too."""

ENV_FILE_BYTES = 256 * 1024
"""A file of settings has a few thousand bytes. A bigger one is something else."""

ENV_LINES_NAMED = 10
"""Lines that are no setting, of which each is named. More of them are no file of settings."""

NAME_NEAR_OUTSIDE = 0.8
"""The same in the environment, where most names are somebody else's."""

VENDOR_PREFIXES = ("POLYGON_", "MASSIVE_", "PUSHOVER_")
"""What begins like this is meant for a program such as this one."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""The only hosts that may be spoken to without TLS."""


class ConfigError(Exception):
    """The settings are bad. ``faults`` has one line for each, naming the variable and what it takes."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def seconds_of_day(text: str) -> int:
    """Seconds after midnight of ``HH:MM`` or ``HH:MM:SS``. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(
        len(part) == 2 and part.isascii() and part.isdigit() for part in parts
    ):
        raise ValueError("takes a New York time as HH:MM or HH:MM:SS")
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("takes a New York time as HH:MM or HH:MM:SS")
    return hours * 3600 + minutes * 60 + seconds


def _session_time(text: str) -> str:
    if not 9 * 3600 + 30 * 60 < seconds_of_day(text) <= FULL_DAY_CLOSE_S:
        raise ValueError("takes a New York time after 09:30 and not after 16:00")
    return text


def _ticker(text: str) -> str:
    text = text.strip()
    # Asked before upper case is made: "ß" would become "SS".
    if not (text.isascii() and text.replace(".", "").isalnum()) or len(text) > 10:
        raise ValueError("takes a ticker such as IWM")
    return text.upper()


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) and value.isascii() else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) and value.isascii() else value


def _place(value: Path) -> Path:
    text = str(value)
    if any(mark in text for mark in ("'", '"', "$", " #")) or not all(map(str.isprintable, _shown(text))):
        # What a shell or an editor would have taken off or filled in has come here as it stands.
        raise ValueError("takes a path without quotes, $, # behind a space, or control characters")
    if _SCHEME.match(text):
        raise ValueError("takes a path of this machine, not an address or a drive")
    try:
        place = value.expanduser()
    except RuntimeError:
        raise ValueError("takes a path; this machine knows no home folder for its ~") from None
    encoded = os.fsencode(place)
    if len(encoded) > PATH_BYTES or any(len(part) > NAME_BYTES for part in encoded.split(b"/")):
        raise ValueError(f"takes a path whose names have at most {NAME_BYTES} bytes each")
    return place


def _shown(path: str) -> str:
    """A path's characters without those that stand for bytes which are no UTF-8: a file system may hold such."""
    return "".join(character for character in path if not "\udc80" <= character <= "\udcff")


SessionTime = Annotated[str, AfterValidator(_session_time)]
Ticker = Annotated[str, AfterValidator(_ticker)]
Place = Annotated[Path, AfterValidator(_place)]


def _rule(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    """A field of `Rules` with its unit and bounds, which the documentation is checked against."""
    return Field(default=default, description=description, json_schema_extra={"unit": unit}, **bounds)


class Rules(BaseModel):
    """Everything that decides. Two runs with equal rules and equal facts decide alike."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # What is watched
    symbol: Ticker = _rule("IWM", "ticker", "The fund that is watched and whose 0DTE calls are suggested")
    benchmark: str = _rule("SPY", "ticker or empty", "The fund `spy_lag` compares with; empty leaves it out")

    # The feed
    stall_seconds: int = _rule(5, "s", "Silence over all symbols that makes the feed blind", ge=1, le=60)
    silence_alarm_seconds: int = _rule(
        30, "s", "Unexplained silence that counts as a confirmed stall", ge=5, le=600
    )
    socket_alarm_seconds: int = _rule(
        10, "s", "How long a lost socket may be down before the phone is told", ge=1, le=600
    )
    max_lag_seconds: float = _rule(
        15.0, "s", "Median lag of bars beyond which the feed is blind (a delayed plan)", gt=0, le=600
    )
    lag_bars: int = _rule(30, "bars", "How many live bars that median is taken over", ge=1, le=1000)
    lag_reopen_seconds: int = _rule(
        60, "s", "How long bars may be late before the socket is reopened, once", ge=1, le=3600
    )
    symbol_silence_seconds: int = _rule(
        20, "s", "Silence of one symbol, while the other's bars come, after which REST is asked", ge=1, le=600
    )
    symbol_unseen_seconds: int = _rule(
        60,
        "s",
        'Silence of one symbol, without newer seconds at REST, that counts as "not seen"',
        ge=1,
        le=3600,
    )
    alarm_spacing_seconds: int = _rule(
        300, "s", "At most one blind/recovered pair of pushes in this time while flat", ge=0, le=3600
    )

    # What is plausible
    price_jump_percent: float = _rule(
        3.0, "%", "A close further than this from its recent median waits to be confirmed", gt=0, le=100
    )
    price_jump_closes: int = _rule(
        10, "closes", "How many of the last closes that median is taken over", ge=1, le=1000
    )
    quote_frozen_seconds: int = _rule(
        15,
        "s",
        "A chain whose newest quote is older than this by its own stamp gives no prices; nor does such a quote of the held call",
        ge=1,
        le=600,
    )
    delta_doubt: float = _rule(
        0.15,
        "delta",
        "A vendor's delta further than this from the one that the option's price implies is replaced by that one",
        gt=0,
        le=1,
    )

    # Entry conditions
    vwap_long_seconds: int = _rule(300, "s", "Window of the primary VWAP", ge=30, le=23_400)
    vwap_long_shift_seconds: int = _rule(
        30, "s", "The primary VWAP must be above itself this long ago", ge=1, le=3600
    )
    vwap_short_seconds: int = _rule(60, "s", "Window of the short VWAP", ge=5, le=23_400)
    vwap_rising_seconds: int = _rule(30, "s", "How long the short VWAP must not have fallen", ge=0, le=3600)
    volume_window_seconds: int = _rule(
        1200, "s", "Window of the volume percentile, of z, and base of the relative volume", ge=60, le=23_400
    )
    volume_min_bars: int = _rule(300, "bars", "Bars that window must hold", ge=1, le=23_400)
    volume_percentile: float = _rule(95.0, "percentile", "Percentile that a surge must exceed", gt=0, lt=100)
    momentum_seconds: int = _rule(30, "s", "Window of the momentum's slope", ge=5, le=3600)
    momentum_min_bars: int = _rule(10, "bars", "Bars that window must hold", ge=2, le=3600)
    relative_volume_seconds: int = _rule(60, "s", "Window of the relative volume", ge=5, le=3600)
    relative_volume_min: float = _rule(
        1.5, "ratio", "Least relative volume; 0 leaves the condition out", ge=0, le=100
    )
    roc_seconds: int = _rule(300, "s", "Span of the rates of change", ge=10, le=7200)
    roc_tolerance_seconds: int = _rule(
        30, "s", "How much older the base of a rate of change may be", ge=0, le=600
    )
    spy_iwm_lag_threshold: float = _rule(
        0.20, "percentage points", "How far the benchmark's change may exceed the symbol's", ge=-10, le=10
    )
    benchmark_max_age_seconds: int = _rule(
        10, "s", "A last close of the benchmark older than this is not used", ge=1, le=600
    )

    # Gates
    warmup_seconds: int = _rule(600, "s", "No entry this long after the open; 0 = off", ge=0, le=23_400)
    entry_bar_seconds: float = _rule(
        5.0, "s", "A bar later than this past its end gives no entry; 0 = off", ge=0, le=60
    )
    entry_cooldown_seconds: int = _rule(300, "s", "Rest after a close; 0 = off", ge=0, le=23_400)
    withdrawn_rest_seconds: int = _rule(30, "s", "Rest after a withdrawn BUY", ge=0, le=3600)
    max_entries_per_day: int = _rule(0, "entries", "Entries in a session; 0 = no cap", ge=0, le=1000)
    no_entry_after: SessionTime = _rule(
        "15:30", "HH:MM[:SS] New York", "No entry from then on; moves with an early close"
    )

    # The contract
    chain_poll_seconds: float = _rule(5.0, "s", "How often the chain is polled", ge=1, le=60)
    chain_fallback_poll_seconds: float = _rule(
        2.0, "s", "How often it is polled while the quote stream gives nothing", ge=1, le=60
    )
    chain_spot_percent: float = _rule(4.0, "% of spot", "Strikes kept around spot", gt=0, le=50)
    chain_skew_seconds: int = _rule(
        60, "s", "Chain age over which IV skew is left out of the ranking", ge=1, le=3600
    )
    chain_max_seconds: int = _rule(300, "s", "Chain age over which there is no entry", ge=1, le=3600)
    stream_contracts: int = _rule(
        10, "contracts", "Calls nearest the money whose quotes are streamed", ge=1, le=900
    )
    stream_silence_seconds: int = _rule(
        10, "s", "Silence of the quote stream after which the chain is polled instead", ge=1, le=600
    )
    entry_quote_seconds: float = _rule(3.0, "s", "Oldest quote that an entry may be priced from", gt=0, le=60)
    delta_min: float = _rule(0.30, "delta", "Least delta of a candidate", gt=0, lt=1)
    delta_max: float = _rule(0.45, "delta", "Greatest delta of a candidate", gt=0, lt=1)
    delta_stretch_down: float = _rule(
        0.10, "delta", "How far below the range an empty range is stretched", ge=0, lt=1
    )
    delta_stretch_up: float = _rule(
        0.20, "delta", "How far above the range an empty range is stretched", ge=0, lt=1
    )
    max_spread_percent: float = _rule(5.0, "% of mid", "Widest spread of a candidate", gt=0, le=100)
    min_quote_size: int = _rule(5, "contracts", "Least size on both sides; 0 = off", ge=0, le=10_000)
    min_premium: float = _rule(0.20, "$", "Least mid of a candidate; 0 = off", ge=0, le=1000)
    min_open_interest: int = _rule(100, "contracts", "Least open interest; 0 = off", ge=0, le=1_000_000)
    stop_room_spreads: float = _rule(
        2.0, "spreads", "Least room between mid and stop level; 0 = off", ge=0, le=100
    )
    entry_slippage: float = _rule(0.05, "$", "Added to the mid for the entry price", ge=0, le=10)
    pay_limit_percent: float = _rule(5.0, "% of entry", "What may be paid above the entry", ge=0, le=100)
    pay_limit_min: float = _rule(0.01, "$", "What may at least be paid above the entry", ge=0, le=10)
    pay_limit_seconds: int = _rule(30, "s", "How long a BUY is good for", ge=1, le=600)

    # The position
    hard_time_stop: SessionTime = _rule(
        "15:55", "HH:MM[:SS] New York", "Every position is sold by then; moves with an early close"
    )
    stop_loss_percent: float = _rule(15.0, "% of entry", "Loss that sells", gt=0, lt=100)
    max_giveback_percent: float = _rule(30.0, "% of peak", "Giveback that sells", gt=0, lt=100)
    tighten_giveback_percent: float = _rule(
        20.0, "% of peak", "Giveback that sells while the price is below its short VWAP", gt=0, lt=100
    )
    persistence_block_seconds: int = _rule(
        30, "s", "Two such blocks below the short VWAP sell", ge=5, le=1800
    )
    persistence_min_evaluations: int = _rule(
        10, "evaluations", "Evaluations each block must hold", ge=1, le=1800
    )
    mark_hold_seconds: float = _rule(
        2.0, "s", "How long a mark must hold to sell or to raise the peak", ge=0, le=60
    )
    wide_quote_percent: float = _rule(25.0, "% of mid", "A quote wider than this is doubted", gt=0, le=200)
    wide_quote_min: float = _rule(0.03, "$", "A quote not wider than this is never doubted", ge=0, le=10)
    wide_quote_seconds: float = _rule(
        5.0, "s", "Unbroken width after which a wide quote counts", ge=0, le=600
    )
    quote_confirm_seconds: int = _rule(
        15, "s", "An unchanged quote of the held contract is confirmed after this", ge=1, le=600
    )
    mark_lost_seconds: int = _rule(20, "s", "No usable mark for this long is told", ge=2, le=600)

    # What holds entries from outside
    clock_doubt_seconds: float = _rule(
        2.0,
        "s",
        "Difference from the vendor's clock above which entries are held, and how far ahead of now a fact may lie",
        gt=0,
        le=600,
    )
    loop_lag_seconds: float = _rule(2.0, "s", "Delay of the event loop that holds entries", gt=0, le=60)
    push_cap_count: int = _rule(
        12, "pushes", "Pushes within the cap's span that hold entries; 0 = off", ge=0, le=1000
    )
    push_cap_seconds: int = _rule(600, "s", "Span of the push cap", ge=1, le=86_400)

    @field_validator("*", mode="before")
    @classmethod
    def _digits(cls, value: object, info: ValidationInfo) -> object:
        """Text for a number is made of ASCII digits."""
        form = {int: _WHOLE, float: _NUMBER}.get(cls.model_fields[str(info.field_name)].annotation)  # type: ignore[arg-type]
        if form is not None and isinstance(value, str) and not form.fullmatch(value.strip()):
            raise ValueError("a number is written with ASCII digits")
        return value

    @field_validator("benchmark")
    @classmethod
    def _benchmark(cls, value: str) -> str:
        return _ticker(value) if value.strip() else ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [
            f"{self._named(lower)} must not exceed {self._named(upper)}: set both"
            for lower, upper in (
                ("delta_min", "delta_max"),
                ("tighten_giveback_percent", "max_giveback_percent"),
                ("chain_skew_seconds", "chain_max_seconds"),
                ("stall_seconds", "silence_alarm_seconds"),
                ("symbol_silence_seconds", "symbol_unseen_seconds"),
                ("volume_min_bars", "volume_window_seconds"),
                ("momentum_min_bars", "momentum_seconds"),
                ("relative_volume_seconds", "volume_window_seconds"),
            )
            if getattr(self, lower) > getattr(self, upper)
        ]
        if seconds_of_day(self.no_entry_after) > seconds_of_day(self.hard_time_stop):
            pair = self._named("no_entry_after"), self._named("hard_time_stop")
            faults.append(f"{pair[0]} must not be later than {pair[1]}: set both")
        if self.symbol == self.benchmark:
            pair = self._named("benchmark"), self._named("symbol")
            faults.append(
                f"{pair[0]} must differ from {pair[1]}: set both (an empty BENCHMARK leaves it out)"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _named(self, name: str) -> str:
        """A setting with its value, for a fault that concerns two."""
        value = getattr(self, name)
        return f"{name.upper()} ({value:g})" if isinstance(value, float) else f"{name.upper()} ({value})"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols whose bars are watched, the traded one first."""
        return (self.symbol, self.benchmark) if self.benchmark else (self.symbol,)

    def before_close(self, time_of_day: str) -> int:
        """How many seconds before the close a time written for a 16:00 close lies."""
        return FULL_DAY_CLOSE_S - seconds_of_day(time_of_day)

    def digest(self) -> str:
        """First 8 hex digits of SHA-256 of the rules as sorted compact JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def host_fault(host: str) -> str | None:
    """Why a host's name, or address, cannot be asked for; None when it can. It is not looked up."""
    if ":" in host:
        return None if _is_address(host, ipaddress.IPv6Address) else "no IPv6 address"
    if not host.isascii() or "xn--" in host.lower():
        import idna  # noqa: PLC0415 - needed for names that are not English, so hardly ever

        try:
            host = idna.encode(host).decode()
            idna.decode(host)
        except UnicodeError:  # idna's own errors are of that kind
            return "cannot be encoded"
    if len(host) > HOST_LENGTH or not all(map(_LABEL.fullmatch, host.split("."))):
        return "takes names of 1 to 63 letters, digits and hyphens, with single dots between them"
    if host.rpartition(".")[2].isdigit() and not _is_address(host, ipaddress.IPv4Address):
        return "no IPv4 address"
    return None


def _is_address(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        return "%" not in host and bool(kind(host))
    except ValueError:
        return False


def _split(text: str, example: str) -> SplitResult:
    """The parts of an address whose host and port can be connected to. Raises ValueError with what it takes."""
    wrong = f"takes an address such as {example}"
    # The parser drops line breaks and tabs without a word; nobody means them.
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError(f"{wrong}, without blanks")
    if len(text) > ADDRESS_LENGTH:
        raise ValueError(f"{wrong}, of at most {ADDRESS_LENGTH} characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if not host:
        raise ValueError(wrong)
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError(f"{wrong}, its port from 1 to 65535")
    if fault := host_fault(host):
        raise ValueError(f"{wrong}; its host is not one that can be connected to ({fault})")
    return parts


def _url(schemes: tuple[str, str], endings: tuple[str, ...] = ()) -> AfterValidator:
    """A checked address: ``schemes`` are the one with TLS and the one that only loopback may use.

    ``endings`` are paths that the program adds itself; they are taken off.
    """
    secure, plain = schemes

    def check(text: str) -> str:
        text = text.strip().rstrip("/")
        parts = _split(text, f"{secure}://example.com")
        if parts.scheme not in schemes:
            raise ValueError(f"takes an address such as {secure}://example.com")
        if parts.scheme == plain and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError(f"takes {secure}://; plain {plain}:// is for loopback only")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("takes an address without user, query or fragment")
        ending = next((ending for ending in endings if parts.path.endswith(ending)), "")
        return text.removesuffix(ending).rstrip("/")

    return AfterValidator(check)


def _secret_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not text:
        return SecretStr("")
    parts = _split(text, "https://example.com/abc")
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)
    if not secure:
        raise ValueError("takes an https:// address")
    return SecretStr(text)


def _polygon_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text and text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("takes your Massive (Polygon.io) API key, in ASCII and without spaces")
    if any(mark in text for mark in "'\"$"):  # what a shell takes off, and `docker --env-file` leaves
        raise ValueError("takes your Massive (Polygon.io) API key, without quotes or $")
    return value


def _pushover_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) != 30 or not (text.isascii() and text.isalnum()):
        raise ValueError("takes the 30 letters or digits that pushover.net shows")
    return value


HttpUrl = Annotated[str, _url(("https", "http"))]
SocketUrl = Annotated[str, _url(("wss", "ws"), endings=("/stocks", "/options"))]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
PolygonKey = Annotated[SecretStr, AfterValidator(_polygon_key)]
PushoverKey = Annotated[SecretStr, AfterValidator(_pushover_key)]


Model = TypeVar("Model", bound=Rules)


class Settings(Rules, BaseSettings):
    """`Rules`, keys, addresses and places. Never printed whole: keys are `SecretStr`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, env_file_encoding="utf-8", populate_by_name=True
    )

    polygon_api_key: PolygonKey = Field(
        validation_alias=AliasChoices("POLYGON_API_KEY", "MASSIVE_API_KEY"),
        description="Massive (Polygon.io) API key; MASSIVE_API_KEY is taken as well",
        json_schema_extra={"unit": "key"},
    )
    pushover_token: PushoverKey = Field(
        description="Pushover application token", json_schema_extra={"unit": "key"}
    )
    pushover_user_key: PushoverKey = Field(
        description="Pushover user or group key", json_schema_extra={"unit": "key"}
    )
    polygon_rest_url: HttpUrl = _rule("https://api.massive.com", "URL", "REST address of the vendor")
    polygon_ws_url: SocketUrl = _rule(
        "wss://socket.massive.com", "URL", "Socket address; `/stocks` and `/options` are added"
    )
    pushover_url: HttpUrl = _rule("https://api.pushover.net", "URL", "Address of Pushover")
    data_dir: Place = _rule(
        Path("data"), "folder", "Where session records are kept; on a disk that survives restarts"
    )
    log_file: Place = _rule(Path("iwm_momentum.log"), "file", "The log, rotated at 10 MB, five kept")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = _rule(
        "INFO", "level", "Least level that is logged"
    )
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = _rule(
        "console", "format", "`json` for machines"
    )
    keep_sessions: int = _rule(60, "sessions", "Session records that are kept", ge=1, le=10_000)
    heartbeat_url: SecretUrl = _rule(
        SecretStr(""),
        "URL or empty",
        "Asked every minute while all is well: an outside watch that notices silence; `/fail` is added when it ends by a fault",
    )
    second_channel_url: SecretUrl = _rule(
        SecretStr(""),
        "URL or empty",
        "SELL and safety pushes that Pushover refuses, or does not accept for 60 s, are posted here as text",
    )
    daily_summary: bool = _rule(True, "on/off", "A quiet push at the open and one in the evening")
    on_shutdown: Annotated[Literal["close", "keep"], BeforeValidator(_lower)] = _rule(
        "close",
        "choice",
        "At a stop, an open position gets its SELL (`close`) or is left for the next start (`keep`)",
    )
    sell_priority: int = _rule(
        2,
        "Pushover priority",
        "Priority of a SELL; 2 repeats until acknowledged, for 25 minutes at most",
        ge=0,
        le=2,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` passes counts, so that a test or the demo cannot be touched by the machine it runs on."""
        return (init_settings,)

    @model_validator(mode="after")
    def _log_apart(self) -> Self:
        log, data = Path(os.path.abspath(self.log_file)), Path(os.path.abspath(self.data_dir))
        if log in (data / "lease", Path(".env").absolute()) or (data / "sessions") in (
            log,
            *log.parents,
        ):
            raise ValueError(
                f"LOG_FILE ({self.log_file}) must not be .env, the lease in DATA_DIR or a file of its sessions: "
                "name a file of its own"
            )
        return self

    @property
    def rules(self) -> Rules:
        """The part that decides."""
        return Rules.model_validate({name: getattr(self, name) for name in Rules.model_fields})

    def secrets(self) -> tuple[str, ...]:
        """Every value that must appear nowhere."""
        values = (getattr(self, name) for name in type(self).model_fields)
        texts = (value.get_secret_value() for value in values if isinstance(value, SecretStr))
        return tuple(sorted({text for text in texts if text}, key=len, reverse=True))


ALIASES = {"MASSIVE_API_KEY": "POLYGON_API_KEY"}
"""Other names of a variable."""

SECRET_NAMES = frozenset(
    {
        "POLYGON_API_KEY",
        "MASSIVE_API_KEY",
        "PUSHOVER_TOKEN",
        "PUSHOVER_USER_KEY",
        "HEARTBEAT_URL",
        "SECOND_CHANNEL_URL",
    }
)
"""Variables whose value is never shown."""


def variable_names() -> tuple[str, ...]:
    """Every environment variable that is read, in the order of the model, without aliases."""
    own = [name for name in Settings.model_fields if name not in Rules.model_fields]
    return tuple(name.upper() for name in (*own, *Rules.model_fields))


def load(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> tuple[Settings, dict[str, str]]:
    """Read settings from ``env_file`` and ``environment`` (default: the process's own), which wins.

    Returns the settings and, for each variable, where its value came from: ``default``, ``file`` or ``environment``.
    Raises ConfigError with every fault at once.
    """
    found = _read(environment, env_file)
    return _validated(Settings, found.values, found), found.sources


def load_rules(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Rules:
    """Read the rules alone, where no keys are needed. Raises ConfigError with every fault at once."""
    found = _read(environment, env_file)
    rules = {name: value for name, value in found.values.items() if name.lower() in Rules.model_fields}
    return _validated(Rules, rules, found)


def heartbeat_address(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> SecretStr:
    """`HEARTBEAT_URL` alone, for a start that fails over other settings; empty when it cannot be used itself."""
    value = _read(environment, env_file).values.get("HEARTBEAT_URL", "")
    try:
        made: SecretStr = TypeAdapter(SecretUrl).validate_python(value)
    except ValidationError:
        return SecretStr("")
    return made


def doubts(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> list[str]:
    """What is probably not meant in ``env_file`` and ``environment``, one line each: no fault, and not shown elsewhere.

    A name that stands twice in the file, and one in the environment that is no setting but close to one.
    """
    environment = os.environ if environment is None else environment
    told = list(_read(environment, env_file).doubts)
    names = variable_names()
    known = {*names, *ALIASES}
    words = {word for name in names for word in name.split("_")}
    for name in sorted(environment.keys() - known):
        upper = name.upper()
        if upper in known:
            told.append(f"the environment has {name}, which is not read: write {upper}")
        elif near := _near(upper, names, words):
            told.append(f"the environment has {name}, which is no setting: did you mean {near}?")
        elif upper.startswith(VENDOR_PREFIXES):
            told.append(f"the environment has {name}, which is no setting: see .env.example")
    return told


def _near(name: str, names: Sequence[str], words: Set[str]) -> str | None:
    """The setting that ``name`` is a misspelling of."""
    joined = name.replace("_", "")
    for setting in names:
        if joined == setting.replace("_", ""):
            return setting
    begun = [setting for setting in names if "_" in name and setting.startswith(f"{name}_")]
    if begun:
        return begun[0]
    # Comparing letter by letter takes long; a slip leaves most words as they are, and the length.
    if not words & set(name.split("_")) and "_" in name:
        return None
    found = difflib.get_close_matches(name, names, n=1, cutoff=NAME_NEAR_OUTSIDE)
    return found[0] if found else None


@dataclass
class _Found:
    """What was read: values and sources by variable, lines by variable of the file, and what is wrong with it."""

    file: Path | None
    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What is probably not meant, and yet no fault."""

    def missing_file(self) -> str | None:
        """The line for somebody who has no file yet; None when there is one, or none is looked for."""
        if self.file is None or os.path.lexists(self.file):
            return None
        return (
            f"No {self.file.name} in {self.file.absolute().parent}: copy .env.example there, "
            "fill in the three keys, then run diagnose.py"
        )


def _validated(model: type[Model], values: Mapping[str, str], found: _Found) -> Model:
    fields: dict[str, Any] = {name.lower(): value for name, value in values.items()}
    faults = list(found.faults)
    missing = False
    try:
        made = model(**fields)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            missing = missing or item["type"] == "missing"
            faults.extend(_fault(item["loc"], item["msg"], found).splitlines())
    if faults:
        last = found.missing_file() if missing else None
        raise ConfigError([*sorted(set(faults)), *([last] if last else [])])
    return made


def _read(environment: Mapping[str, str] | None, env_file: Path | None) -> _Found:
    """Everything that is given in the file and the environment, judged by name only."""
    environment = os.environ if environment is None else environment
    names = {*variable_names(), *ALIASES}
    found = _Found(env_file, sources=dict.fromkeys(variable_names(), "default"))

    def take(given: Mapping[str, str | None], source: str, lines: Mapping[str, int]) -> None:
        # An alias first, so that the proper name wins within one source.
        for name in (*ALIASES, *variable_names()):
            value = (given.get(name) or "").strip()
            # An empty variable counts as set where empty has a meaning, and as not set elsewhere.
            if value or (name == "BENCHMARK" and name in given):
                variable = ALIASES.get(name, name)
                found.values[variable] = value
                found.sources[variable] = source
                found.lines.pop(variable, None)
                if name in lines:
                    found.lines[variable] = lines[name]

    in_file, lines = _read_env_file(env_file, found)
    for name in in_file.keys() - names:
        found.faults.append(_unknown(name, f"{env_file}, line {lines[name]}", names))
    take(in_file, "file", lines)
    take(environment, "environment", {})
    return found


def _unknown(name: str, where: str, names: set[str]) -> str:
    """The fault of a name that is none. A long one may be a key that was pasted where its name belongs."""
    is_long = len(name) >= _KEY_LENGTH or not name.replace("_", "").isalnum()
    near = difflib.get_close_matches(name, names, n=1, cutoff=_NAME_NEAR if is_long else 0.6)
    shown = "a name that is not shown (it looks like a key)" if is_long and not near else name
    hint = f"did you mean {near[0]}?" if near else "remove it or see .env.example"
    return f"{shown}: no such setting in {where}; {hint}"


def _read_env_file(path: Path | None, found: _Found) -> tuple[dict[str, str | None], dict[str, int]]:
    """The variables of a file by upper-case name, and their lines. A line that is no ``NAME=value`` is a fault; it is not shown."""
    values: dict[str, str | None] = {}
    lines: dict[str, int] = {}
    wrong: list[int] = []
    text = None if path is None else _text_of(path, found.faults)
    for binding in parse_stream(io.StringIO(text or "")):
        written = binding.original.string  # with the empty lines before it
        line = binding.original.line + written[: -len(written.lstrip()) or None].count("\n")
        if binding.key is not None and binding.value is not None:
            name = binding.key.upper()
            if name in values and _is_setting(name):
                found.doubts.append(
                    f"{name} stands twice in {path}: line {line} counts, not line {lines[name]}"
                )
            values[name] = binding.value
            lines[name] = line
        elif binding.key is not None or binding.error:
            wrong.append(line)
    found.faults += [f"{path}: line {line} takes NAME=value" for line in wrong[:ENV_LINES_NAMED]]
    if others := len(wrong[ENV_LINES_NAMED:]):
        found.faults.append(f"{path}: {others} more lines are no NAME=value: is it a file of settings?")
    return values, lines


def _is_setting(name: str) -> bool:
    return name in ALIASES or name.lower() in Settings.model_fields


def _text_of(path: Path, faults: list[str]) -> str | None:
    """What a file of settings holds; None without one. What cannot be read as one is a fault."""
    try:
        data = _bytes_of(path)
        text = None if data is None else data.decode("utf-8-sig")
    except FileNotFoundError:
        if path.is_symlink():
            faults.append(f"{path}: is a link that leads nowhere; remove it or mend it")
        return None
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror}); it takes a file that this user may read")
        return None
    except UnicodeDecodeError as error:
        faults.append(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})")
        return None
    if data is not None and len(data) > ENV_FILE_BYTES:
        faults.append(f"{path}: has more than {ENV_FILE_BYTES // 1024} kB, which no file of settings has")
        return None
    if text is not None and "\0" in text:
        faults.append(f"{path}: holds zero bytes, which no text has (was it saved as UTF-16?)")
        return None
    return text


def _bytes_of(path: Path) -> bytes | None:
    """A file's bytes, up to one more than a file of settings may have; None for ``/dev/null``. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe keeps nobody waiting
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(mode):
            return None
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.ENXIO, "it is a pipe")
        data = b""
        while (more := os.read(descriptor, ENV_FILE_BYTES + 1 - len(data))) and len(data) <= ENV_FILE_BYTES:
            data += more
        return data
    finally:
        os.close(descriptor)


def _fault(location: tuple[int | str, ...], message: str, found: _Found) -> str:
    """One line for one fault: the variable, what it got (never a secret's value) and where, and what it takes."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    variable = str(location[0]).upper()
    variable = ALIASES.get(variable, variable)
    if variable not in found.values:
        return f"{variable}: missing; {_takes(variable)}"
    got = _got(variable, found.values)
    if variable in found.lines:
        got += f" in {found.file}, line {found.lines[variable]}"
    detail = message if message.startswith("takes") else _takes(variable)
    return f"{variable}: got {got}; {detail}"


def _got(variable: str, values: Mapping[str, str]) -> str:
    """A refused value, unless it is a secret or may hold one: a key or an address in the wrong place."""
    value = values[variable]
    secrets = (values.get(name, "") for name in SECRET_NAMES)
    is_address = variable.endswith("_URL")
    if variable in SECRET_NAMES or (is_address and any(mark in value for mark in "@?#")):
        return "a value that is not shown"
    if _KEY.search(value) or any(_shares(value, secret) for secret in secrets):
        return "a value that is not shown (it looks like a key)"
    if "://" in value and not is_address:
        return "a value that is not shown (it looks like an address)"
    return repr(value)


def _shares(value: str, secret: str) -> bool:
    """Whether a value holds a part of a secret: somebody has pasted it into the wrong line, or not all of it."""
    starts = range(len(secret) - SHARED_LENGTH + 1)
    return any(secret[start : start + SHARED_LENGTH] in value for start in starts)


def _takes(variable: str) -> str:
    """What a variable takes, from its type, unit and bounds."""
    info = Settings.model_fields[variable.lower()]
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    description = info.description or ""
    if unit == "key":
        return f"takes your {description.partition(';')[0]}"
    return f"takes {kind(variable)} ({unit}), {limits(variable)}: {description}".replace(", :", ":")


def kind(variable: str) -> str:
    """The kind of value that a variable takes, in words."""
    annotation = Settings.model_fields[variable.lower()].annotation
    if annotation is int:
        return "a whole number"
    if annotation is float:
        return "a number"
    if annotation is bool:
        return "on or off"
    choices = getattr(annotation, "__args__", None)
    return "one of " + ", ".join(map(str, choices)) if choices else "text"


def limits(variable: str) -> str:
    """The bounds of a variable in words, such as ``1 to 60`` or ``over 0 and under 1``; empty without any."""
    found = {
        name: getattr(item, name)
        for item in Settings.model_fields[variable.lower()].metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    if not found:
        return ""
    number = {
        name: f"{value:g}" if math.isfinite(value) and abs(value) < 1e6 else str(value)
        for name, value in found.items()
    }
    if set(found) == {"ge", "le"}:
        return f"{number['ge']} to {number['le']}"
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    return " and ".join(
        f"{words[name]} {number[name]}" for name in ("ge", "gt", "le", "lt") if name in number
    )
