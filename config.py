"""`Settings`: the `Rules`, and the keys, addresses and places beside them.

The engine receives `Rules` only, so it cannot see a key or an address. Values come from the environment or a
``.env`` file (the environment wins). `load` reports all faults at once, by name, without a secret's value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from errors import OurError
from rules import Rules, rule
from settings.faults import nearest_name, shown_value, takes, unknown_name
from settings.file import read_file
from settings.types import (
    HttpUrl,
    Place,
    PolygonKey,
    PushoverKey,
    SecretUrl,
    SecretUrls,
    SocketUrl,
    Sound,
    lower,
    split_addresses,
    upper,
)

VERSION = "1.1.0"
"""Version of the program, printed at the start and written into every record."""

VENDOR_PREFIXES = ("POLYGON_", "MASSIVE_", "PUSHOVER_")
"""A variable with such a name is probably meant for this program."""


class ConfigError(OurError):
    """The settings cannot be used. ``faults`` has one line for each fault: the variable and what it takes."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


Model = TypeVar("Model", bound=BaseModel)


class Following(BaseModel):
    """How a day's result is told: as that of a hand that follows each push so much later, and pays such a fee."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    follow_delay_seconds: int = rule(
        15,
        "s",
        "Results assume that you act this long after each push, buying at the ask and selling at the bid",
        ge=0,
        le=300,
    )
    fee_per_contract: float = rule(
        0.65,
        "$",
        "Your broker's fee per contract and side; results are reported after fees",
        ge=0,
        le=100,
    )


class Settings(Rules, Following, BaseSettings):
    """`Rules`, keys, addresses and places. Never printed whole: keys are `SecretStr`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, env_file_encoding="utf-8", populate_by_name=True
    )

    polygon_api_key: PolygonKey = Field(
        validation_alias=AliasChoices("POLYGON_API_KEY", "MASSIVE_API_KEY"),
        description="Massive (formerly Polygon.io) API key; MASSIVE_API_KEY works as well",
        json_schema_extra={"unit": "key"},
    )
    pushover_token: PushoverKey = Field(
        description="Pushover application token", json_schema_extra={"unit": "key"}
    )
    pushover_user_key: PushoverKey = Field(
        description="Pushover user or group key", json_schema_extra={"unit": "key"}
    )
    polygon_rest_url: HttpUrl = rule("https://api.massive.com", "URL", "REST address of the data vendor")
    polygon_ws_url: SocketUrl = rule(
        "wss://socket.massive.com",
        "URL",
        "WebSocket address of the data vendor; `/stocks` and `/options` are appended",
    )
    pushover_url: HttpUrl = rule("https://api.pushover.net", "URL", "Address of Pushover")
    data_dir: Place = rule(
        Path("data"), "folder", "Folder for the session records; put it on a disk that survives restarts"
    )
    log_file: Place = rule(
        Path("iwm_momentum.log"), "file", "The log file; rotated at 10 MB, with five old files kept"
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(upper)] = rule(
        "INFO", "level", "Lowest level that is logged"
    )
    log_format: Annotated[Literal["console", "json"], BeforeValidator(lower)] = rule(
        "console", "format", "`console` for people, `json` for machines"
    )
    history_dir: Place = rule(
        Path("history"), "folder", "Folder for the sessions that `python -m research fetch` keeps"
    )
    keep_sessions: int = rule(60, "sessions", "How many session records to keep", ge=1, le=10_000)
    heartbeat_url: SecretUrl = rule(
        SecretStr(""),
        "URL or empty",
        "Requested every minute while all is well, so that an outside monitor notices when it stops; `/fail` is appended when the program ends with an error",
    )
    second_channel_url: SecretUrls = rule(
        SecretStr(""),
        "URLs or empty",
        "Where SELLs and safety pushes also go if Pushover refuses them or does not accept them within 60 s; separate several addresses with spaces; Apprise addresses (`tgram://`, `mailtos://`, …) need the apprise package",
    )
    daily_summary: bool = rule(True, "on/off", "A quiet push at the open and another after the close")
    on_shutdown: Annotated[Literal["close", "keep"], BeforeValidator(lower)] = rule(
        "close",
        "choice",
        "What to do with an open position when the program stops: send its SELL (`close`), or leave it for the next start (`keep`)",
    )
    sell_priority: int = rule(
        2,
        "Pushover priority",
        "Priority of a SELL; 2 repeats until you acknowledge it, for 25 minutes at most",
        ge=0,
        le=2,
    )
    title_detail: bool = rule(
        True,
        "on/off",
        "Add the strike and the price limit to a BUY's title, and what the bid pays to a SELL's",
    )
    pictures: bool = rule(
        True,
        "on/off",
        "A quiet push with a picture after each SELL, and a picture of the day after the close",
    )
    buy_sound: Sound = rule("", "Pushover sound", "Sound of a BUY; empty uses the sound chosen on the phone")
    sell_sound: Sound = rule(
        "", "Pushover sound", "Sound of a SELL; empty uses the sound chosen on the phone"
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
        """Uses only what `load` passes: the machine's environment cannot reach into a test or the demo."""
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
    def following(self) -> Following:
        """Returns how results are told."""
        return Following.model_validate({name: getattr(self, name) for name in Following.model_fields})

    @property
    def rules(self) -> Rules:
        """Returns the part of the settings that the engine receives."""
        return Rules.model_validate({name: getattr(self, name) for name in Rules.model_fields})

    def secrets(self) -> tuple[str, ...]:
        """Returns every value that must not appear anywhere, the longest first."""
        values = (getattr(self, name) for name in type(self).model_fields)
        texts = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
        texts |= set(split_addresses(self.second_channel_url.get_secret_value()))
        return tuple(sorted(texts - {""}, key=len, reverse=True))


ALIASES = {"MASSIVE_API_KEY": "POLYGON_API_KEY"}
"""Other accepted names of a variable."""


def variable_names() -> tuple[str, ...]:
    """Returns the name of every environment variable that is read, in the order of the model, without aliases."""
    parts = (*Following.model_fields, *Rules.model_fields)
    own = (name for name in Settings.model_fields if name not in parts)
    return tuple(name.upper() for name in (*own, *parts))


def load(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> tuple[Settings, dict[str, str]]:
    """Reads settings from ``env_file`` and ``environment`` (default: the process's own), which wins.

    Returns the settings and, for each variable, where its value came from: ``default``, ``file`` or ``environment``.
    Raises ConfigError with every fault at once.
    """
    found = _read(environment, env_file)
    return _validated(Settings, found.values, found), found.sources


def load_rules(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Rules:
    """Reads the rules alone, where no keys are needed. Raises ConfigError with every fault at once."""
    found = _read(environment, env_file)
    rules = {name: value for name, value in found.values.items() if name.lower() in Rules.model_fields}
    return _validated(Rules, rules, found)


def load_following(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Following:
    """Reads how results are told, whatever is wrong with other settings. Raises ConfigError with every fault at once."""
    found = _read(environment, env_file)
    own = {name: value for name, value in found.values.items() if name.lower() in Following.model_fields}
    return _validated(Following, own, replace(found, faults=[]))


def heartbeat_address(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> SecretStr:
    """Returns `HEARTBEAT_URL` alone, for a start that fails because of other settings; empty if it cannot be used itself."""
    value = _read(environment, env_file).values.get("HEARTBEAT_URL", "")
    try:
        made: SecretStr = TypeAdapter(SecretUrl).validate_python(value)
    except ValidationError:
        return SecretStr("")
    return made


def doubts(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> list[str]:
    """Returns what is probably a mistake in ``env_file`` and ``environment`` without being a fault, one line each.

    Such are a name that stands twice in the file, and a name in the environment that is close to a setting's.
    """
    environment = os.environ if environment is None else environment
    told = list(_read(environment, env_file).doubts)
    names = variable_names()
    known = {*names, *ALIASES}
    words = {word for name in names for word in name.split("_")}
    for name in sorted(environment.keys() - known):
        capitals = name.upper()
        if capitals in known:
            told.append(f"the environment has {name}, which is not read: write {capitals}")
        elif close := nearest_name(capitals, names, words):
            told.append(f"the environment has {name}, which is not a setting: did you mean {close}?")
        elif capitals.startswith(VENDOR_PREFIXES):
            told.append(f"the environment has {name}, which is not a setting: see .env.example")
    return told


@dataclass
class _Found:
    """What was read: values, sources and lines of the file by variable, and what is wrong with them."""

    file: Path | None
    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What is probably not meant, and yet no fault."""

    def missing_file(self) -> str | None:
        """Returns the advice for an owner who has no file yet; None if there is one, or none is looked for."""
        if self.file is None or os.path.lexists(self.file):
            return None
        return (
            f"No {self.file.name} in {self.file.absolute().parent}: python diagnose.py --init "
            "asks for the three keys and writes it (or copy .env.example there, and fill them in)"
        )


def _validated(model: type[Model], values: Mapping[str, str], found: _Found) -> Model:
    """Returns a ``model`` of ``values``. Raises ConfigError with every fault at once."""
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
        first = found.missing_file() if missing else None
        raise ConfigError([*([first] if first else []), *sorted(set(faults))])
    return made


def _read(environment: Mapping[str, str] | None, env_file: Path | None) -> _Found:
    """Returns everything that the file and the environment give. Only names are checked here."""
    environment = os.environ if environment is None else environment
    names = {*variable_names(), *ALIASES}
    found = _Found(env_file, sources=dict.fromkeys(variable_names(), "default"))

    def add(given: Mapping[str, str | None], source: str, lines: Mapping[str, int]) -> None:
        # Aliases first, so that the proper name wins within one source.
        for name in (*ALIASES, *variable_names()):
            value = (given.get(name) or "").strip()
            # An empty variable counts as unset, except where empty has a meaning.
            if value or (name == "BENCHMARK" and name in given):
                variable = ALIASES.get(name, name)
                found.values[variable] = value
                found.sources[variable] = source
                found.lines.pop(variable, None)
                if name in lines:
                    found.lines[variable] = lines[name]

    if env_file is not None:
        file = read_file(env_file, names)
        found.faults += file.faults
        found.doubts += file.doubts
        for name in file.values.keys() - names:
            found.faults.append(unknown_name(name, f"{env_file}, line {file.lines[name]}", names))
        add(file.values, "file", file.lines)
    add(environment, "environment", {})
    return found


def _fault(location: tuple[int | str, ...], message: str, found: _Found) -> str:
    """Returns the line of one fault: the variable, what it got (never a secret's value) and where, and what it takes."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    variable = str(location[0]).upper()
    variable = ALIASES.get(variable, variable)
    if variable not in found.values:
        return f"{variable}: missing; {takes(Settings.model_fields[variable.lower()])}"
    shown = shown_value(variable, found.values)
    if variable in found.lines:
        shown += f" in {found.file}, line {found.lines[variable]}"
    detail = message if message.startswith("takes") else takes(Settings.model_fields[variable.lower()])
    return f"{variable}: got {shown}; {detail}"
