"""`Settings`: the `Rules`, and the keys, addresses and places beside them.

The engine receives `Rules` only, so it cannot see a key or an address. Values come from the environment or a
``.env`` file (the environment wins). `load` reports all faults at once, by name, without a secret's value.
"""

from __future__ import annotations

import difflib
import errno
import io
import ipaddress
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
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rules import Rules, rule

VERSION = "1.1.0"
"""Version of the program, printed at the start and written into every record."""

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


Place = Annotated[Path, AfterValidator(_place)]


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
    polygon_rest_url: HttpUrl = rule("https://api.massive.com", "URL", "REST address of the vendor")
    polygon_ws_url: SocketUrl = rule(
        "wss://socket.massive.com", "URL", "Socket address; `/stocks` and `/options` are added"
    )
    pushover_url: HttpUrl = rule("https://api.pushover.net", "URL", "Address of Pushover")
    data_dir: Place = rule(
        Path("data"), "folder", "Where session records are kept; on a disk that survives restarts"
    )
    log_file: Place = rule(Path("iwm_momentum.log"), "file", "The log, rotated at 10 MB, five kept")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = rule(
        "INFO", "level", "Least level that is logged"
    )
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = rule(
        "console", "format", "`json` for machines"
    )
    keep_sessions: int = rule(60, "sessions", "Session records that are kept", ge=1, le=10_000)
    heartbeat_url: SecretUrl = rule(
        SecretStr(""),
        "URL or empty",
        "Asked every minute while all is well: an outside watch that notices silence; `/fail` is added when it ends by a fault",
    )
    second_channel_url: SecretUrl = rule(
        SecretStr(""),
        "URL or empty",
        "SELL and safety pushes that Pushover refuses, or does not accept for 60 s, are posted here as text",
    )
    daily_summary: bool = rule(True, "on/off", "A quiet push at the open and one in the evening")
    on_shutdown: Annotated[Literal["close", "keep"], BeforeValidator(_lower)] = rule(
        "close",
        "choice",
        "At a stop, an open position gets its SELL (`close`) or is left for the next start (`keep`)",
    )
    sell_priority: int = rule(
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
