"""Settings: every fault at once and by name, no secret in any text, and what decides has a fingerprint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

import config
from rules import Rules
from settings.faults import SECRET_NAMES, limits

KEYS = {
    "POLYGON_API_KEY": "CanaryPolygonKey0123456789abcdef",
    "PUSHOVER_TOKEN": "CanaryTokenaaaaaaaaaaaaaaaaaaa",
    "PUSHOVER_USER_KEY": "CanaryUserbbbbbbbbbbbbbbbbbbbb",
}
ROOT = Path(__file__).parent.parent


def load(**changes: str) -> config.Settings:
    """Settings from an environment with valid keys and ``changes``; no file."""
    return config.load({**KEYS, **changes}, None)[0]


def faults(**changes: str) -> list[str]:
    """The faults of such an environment."""
    with pytest.raises(config.ConfigError) as caught:
        load(**changes)
    return caught.value.faults


def write(folder: Path, text: str) -> Path:
    """A ``.env`` with ``text``."""
    path = folder / ".env"
    path.write_text(text, encoding="utf-8")
    return path


# --- Faults ------------------------------------------------------------------------------------------


def test_all_faults_are_reported_at_once() -> None:
    assert faults(
        POLYGON_API_KEY="Canary with spaces",
        PUSHOVER_TOKEN="CanaryTooShort",
        PUSHOVER_USER_KEY="",
        STALL_SECONDS="2.5",
        STOP_LOSS_PERCENT="nan",
        LOG_LEVEL="loud",
        SYMBOL="I W M",
        DAILY_SUMMARY="perhaps",
        HARD_TIME_STOP="16:01",
        POLYGON_WS_URL="ws://example.com",
    ) == [
        "DAILY_SUMMARY: got 'perhaps'; takes on or off (on/off): A quiet push at the open and another after the close",
        "HARD_TIME_STOP: got '16:01'; takes a New York time after 09:30 and not after 16:00",
        "LOG_LEVEL: got 'loud'; takes one of DEBUG, INFO, WARNING, ERROR (level): Lowest level that is logged",
        "POLYGON_API_KEY: got a value that is not shown; takes your Massive (formerly Polygon.io) API key, in ASCII and without spaces",
        "POLYGON_WS_URL: got 'ws://example.com'; takes wss://; plain ws:// is for loopback only",
        "PUSHOVER_TOKEN: got a value that is not shown; takes the 30 letters or digits that pushover.net shows",
        "PUSHOVER_USER_KEY: missing; takes your Pushover user or group key",
        "STALL_SECONDS: got '2.5'; takes a whole number (s), 1 to 60: "
        "Silence of all symbols after which the feed counts as blind",
        "STOP_LOSS_PERCENT: got 'nan'; takes a number (% of entry), over 0 and under 100: Loss at which to sell",
        "SYMBOL: got 'I W M'; takes a ticker such as IWM",
    ]


def test_nothing_set_names_what_is_missing() -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.load({}, None)
    assert [fault.split(":")[0] for fault in caught.value.faults] == sorted(KEYS)
    assert all(": missing; takes" in fault for fault in caught.value.faults)


BOUNDED = [
    (name, bound)
    for name in config.variable_names()
    for item in config.Settings.model_fields[name.lower()].metadata
    for bound in ("ge", "gt", "le", "lt")
    if getattr(item, bound, None) is not None
]


@pytest.mark.parametrize(("name", "bound"), BOUNDED)
def test_every_bound_is_held(name: str, bound: str) -> None:
    field = config.Settings.model_fields[name.lower()]
    limit = next(getattr(item, bound) for item in field.metadata if hasattr(item, bound))
    step = 1 if field.annotation is int else 1e-6
    beyond = {"ge": limit - step, "gt": limit, "le": limit + step, "lt": limit}[bound]
    (fault,) = [fault for fault in faults(**{name: str(beyond)}) if fault.startswith(f"{name}: ")]
    assert fault.startswith(f"{name}: got '{beyond}'; takes a")
    assert f"{limit:g}" in fault or str(limit) in fault


def test_every_number_has_bounds_and_every_field_a_unit_and_a_description() -> None:
    for name in config.variable_names():
        field = config.Settings.model_fields[name.lower()]
        assert field.description
        assert isinstance(field.json_schema_extra, dict)
        assert field.json_schema_extra["unit"]
        if field.annotation in (int, float):
            assert limits(field), name


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "1e999", "five", "1,5", "0x10"])
def test_what_is_no_number_is_refused(value: str) -> None:
    (fault,) = faults(MAX_SPREAD_PERCENT=value)
    assert fault.startswith(f"MAX_SPREAD_PERCENT: got '{value}'; takes a number (% of mid)")


@pytest.mark.parametrize(
    "value", ["15:5", "1555", "15:60", "24:00", "09:30", "16:00:01", "3pm", "15:55:5", "²:00"]
)
def test_what_is_no_session_time_is_refused(value: str) -> None:
    (fault,) = [fault for fault in faults(NO_ENTRY_AFTER=value) if "got" in fault]
    assert fault.startswith(f"NO_ENTRY_AFTER: got '{value}'; takes a New York time")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"DELTA_MIN": "0.5"}, "DELTA_MIN (0.5) must not exceed DELTA_MAX (0.45): set both"),
        (
            {"TIGHTEN_GIVEBACK_PERCENT": "31"},
            "TIGHTEN_GIVEBACK_PERCENT (31) must not exceed MAX_GIVEBACK_PERCENT (30): set both",
        ),
        (
            {"CHAIN_MAX_SECONDS": "59"},
            "CHAIN_SKEW_SECONDS (60) must not exceed CHAIN_MAX_SECONDS (59): set both",
        ),
        ({"STALL_SECONDS": "31"}, "STALL_SECONDS (31) must not exceed SILENCE_ALARM_SECONDS (30): set both"),
        (
            {"HARD_TIME_STOP": "15:00"},
            "NO_ENTRY_AFTER (15:30) must not be later than HARD_TIME_STOP (15:00): set both",
        ),
        (
            {"NO_ENTRY_AFTER": "15:55:01"},
            "NO_ENTRY_AFTER (15:55:01) must not be later than HARD_TIME_STOP (15:55): set both",
        ),
        (
            {"BENCHMARK": "iwm"},
            "BENCHMARK (IWM) must differ from SYMBOL (IWM): set both (an empty BENCHMARK leaves it out)",
        ),
        (
            {"VOLUME_MIN_BARS": "1201"},
            "VOLUME_MIN_BARS (1201) must not exceed VOLUME_WINDOW_SECONDS (1200): set both",
        ),
        (
            {"MOMENTUM_MIN_BARS": "31"},
            "MOMENTUM_MIN_BARS (31) must not exceed MOMENTUM_SECONDS (30): set both",
        ),
        (
            {"RELATIVE_VOLUME_SECONDS": "1201"},
            "RELATIVE_VOLUME_SECONDS (1201) must not exceed VOLUME_WINDOW_SECONDS (1200): set both",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, str], fault: str) -> None:
    assert faults(**changes) == [fault]


def test_several_contradictions_are_reported_at_once() -> None:
    assert len(faults(DELTA_MIN="0.5", STALL_SECONDS="31", BENCHMARK="IWM")) == 3


# --- Addresses and keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLYGON_REST_URL", "http://api.massive.com"),
        ("POLYGON_REST_URL", "http://127.0.0.1.example.com"),
        ("POLYGON_REST_URL", "ftp://localhost"),
        ("POLYGON_REST_URL", "api.massive.com"),
        ("POLYGON_REST_URL", "https://"),
        ("POLYGON_REST_URL", "https://host:port"),
        ("POLYGON_WS_URL", "https://socket.massive.com"),
        ("POLYGON_WS_URL", "ws://10.0.0.1"),
        ("PUSHOVER_URL", "http://api.pushover.net"),
        ("HEARTBEAT_URL", "http://hc.example.com/uuid"),
        ("SECOND_CHANNEL_URL", "not an address"),
        ("HEARTBEAT_URL", "https://hc.example.com/uuid\nx"),
        ("SECOND_CHANNEL_URL", "https://hc.example .com/uuid"),
    ],
)
def test_an_address_without_tls_is_refused_off_this_machine(name: str, value: str) -> None:
    (fault,) = faults(**{name: value})
    assert fault.startswith(f"{name}: got ")
    assert "; takes " in fault


def test_loopback_may_be_plain() -> None:
    settings = load(
        POLYGON_REST_URL="http://127.0.0.1:8080/",
        POLYGON_WS_URL="ws://localhost:1",
        PUSHOVER_URL="http://[::1]:2",
        HEARTBEAT_URL="http://127.0.0.1:3/ping",
    )
    assert settings.polygon_rest_url == "http://127.0.0.1:8080"
    assert settings.polygon_ws_url == "ws://localhost:1"
    assert settings.pushover_url == "http://[::1]:2"


@pytest.mark.parametrize(
    "changes",
    [
        {"POLYGON_API_KEY": "Canary with spaces"},
        {"PUSHOVER_TOKEN": "CanaryTooShort"},
        {"PUSHOVER_USER_KEY": "CanaryUser!bbbbbbbbbbbbbbbbbbb"},
        {"HEARTBEAT_URL": "http://hc.example.com/CanaryPath"},
        {"SECOND_CHANNEL_URL": "CanaryAddress"},
        {"POLYGON_REST_URL": "https://api.massive.com?apiKey=Canary"},
        {"POLYGON_REST_URL": "https://user:Canary@api.massive.com"},
        {"LOG_LEVEL": KEYS["POLYGON_API_KEY"]},
    ],
)
def test_no_fault_shows_a_secret(changes: dict[str, str]) -> None:
    (fault,) = faults(**changes)
    assert "Canary" not in fault
    assert "got a value that is not shown" in fault


MADE_KEYS = (
    "azCANARYq7Rt2Yw9Lk4Mn8Bv3Xc6Zd1P",
    "az_CANARY-q7Rt2Yw9Lk4_Mn8Bv3Xc6Zd",
    "aCANARYq7rt2yw9lk4mn8bv3xc6zd1",
)


@pytest.mark.parametrize("key", MADE_KEYS)
@pytest.mark.parametrize(
    "name", ["LOG_LEVEL", "SYMBOL", "STALL_SECONDS", "HARD_TIME_STOP", "POLYGON_REST_URL"]
)
def test_a_key_behind_the_wrong_name_is_not_shown(tmp_path: Path, name: str, key: str) -> None:
    (fault,) = faults(**{name: key})
    assert fault.startswith(f"{name}: got a value that is not shown (it looks like a key); takes ")
    path = write(tmp_path, f"# a comment\n\n{name}={key}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    (fault,) = caught.value.faults
    assert fault.startswith(
        f"{name}: got a value that is not shown (it looks like a key) in {path}, line 3; takes "
    )
    assert "CANARY" not in fault


@pytest.mark.parametrize(
    "address",
    ["https://hooks.example.com/CANARY", "https://hc.example.com/0f3aCANARY-4b6d-11ee-be56-0242ac120002"],
)
def test_an_address_behind_the_wrong_name_is_not_shown(address: str) -> None:
    (fault,) = faults(LOG_FORMAT=address)
    assert fault.startswith("LOG_FORMAT: got a value that is not shown (it looks like ")
    assert "CANARY" not in fault


@pytest.mark.parametrize(
    "key", [*MADE_KEYS, "https://hooks.example.com/CANARY", "POLYGON_API_KEY_azCANARYq7Rt2Yw9"]
)
def test_a_key_where_a_name_belongs_is_not_shown(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, f"SYMBOL=IWM\n{key}=1\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    assert caught.value.faults == [
        f"a name that is not shown (it looks like a key): no such setting in {path}, line 2; "
        "remove it or see .env.example"
    ]


def test_a_value_that_the_environment_overrules_has_no_line(tmp_path: Path) -> None:
    path = write(tmp_path, "STALL_SECONDS=fast\nLAG_BARS=many\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load({**KEYS, "STALL_SECONDS": "slow"}, path)
    assert [fault.partition("; takes")[0] for fault in caught.value.faults] == [
        f"LAG_BARS: got 'many' in {path}, line 2",
        "STALL_SECONDS: got 'slow'",
    ]


def test_somebody_without_a_file_is_told_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = (
        f"No .env in {tmp_path}: python diagnose.py --init asks for the three keys and writes it "
        "(or copy .env.example there, and fill them in)"
    )
    with pytest.raises(config.ConfigError) as caught:
        config.load({})
    assert caught.value.faults == [
        missing,
        "POLYGON_API_KEY: missing; takes your Massive (formerly Polygon.io) API key",
        "PUSHOVER_TOKEN: missing; takes your Pushover application token",
        "PUSHOVER_USER_KEY: missing; takes your Pushover user or group key",
    ]
    assert str(caught.value).splitlines() == caught.value.faults
    # With the keys in the environment no file is needed, and with a file it is not the place that is wrong.
    with pytest.raises(config.ConfigError) as caught:
        config.load({**KEYS, "STALL_SECONDS": "0"})
    assert missing not in caught.value.faults
    write(tmp_path, "STALL_SECONDS=5\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load({})
    assert len(caught.value.faults) == 3


def test_home_stands_for_itself_in_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/made/home")
    settings = load(DATA_DIR="~/records", LOG_FILE="~/logs/iwm.log")
    assert settings.data_dir == Path("/made/home/records")
    assert settings.log_file == Path("/made/home/logs/iwm.log")
    (fault,) = faults(DATA_DIR="~nobody_has_this_name/x")
    assert fault.startswith("DATA_DIR: got ")
    assert "this machine knows no home folder for its ~" in fault


def test_choices_are_taken_in_any_case() -> None:
    settings = load(LOG_LEVEL="info", LOG_FORMAT="JSON", ON_SHUTDOWN="Keep")
    assert (settings.log_level, settings.log_format, settings.on_shutdown) == ("INFO", "json", "keep")


def test_no_representation_shows_a_secret() -> None:
    settings = load(HEARTBEAT_URL="https://hc.example.com/CanaryPath")
    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert "Canary" not in text
    assert set(settings.secrets()) == {*KEYS.values(), "https://hc.example.com/CanaryPath"}


def test_every_secret_is_known_as_one() -> None:
    secret = {
        name
        for name in config.variable_names()
        if "Secret" in str(config.Settings.model_fields[name.lower()].annotation)
    }
    assert secret | set(config.ALIASES) == SECRET_NAMES


# --- Where values come from --------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeff# comment\nexport STOP_LOSS_PERCENT='20'\nMAX_SPREAD_PERCENT=4 # why\nmin_premium=0.5\nBENCHMARK=\n"
        "LOG_FILE=\n",
    )
    settings, sources = config.load({**KEYS, "STOP_LOSS_PERCENT": "10", "MIN_QUOTE_SIZE": "  "}, path)
    assert settings.stop_loss_percent == 10
    assert settings.max_spread_percent == 4
    assert settings.min_premium == 0.5
    assert settings.benchmark == ""
    assert settings.log_file == Path("iwm_momentum.log")
    assert settings.min_quote_size == 5
    assert tuple(sources) == config.variable_names()
    shown = {name: source for name, source in sources.items() if source != "default"}
    assert shown == {
        **dict.fromkeys(KEYS, "environment"),
        "STOP_LOSS_PERCENT": "environment",
        "MAX_SPREAD_PERCENT": "file",
        "MIN_PREMIUM": "file",
        "BENCHMARK": "file",
    }


def test_the_other_name_of_the_key() -> None:
    keys = {name: value for name, value in KEYS.items() if name != "POLYGON_API_KEY"}
    settings, sources = config.load({**keys, "MASSIVE_API_KEY": "OtherName"}, None)
    assert settings.polygon_api_key.get_secret_value() == "OtherName"
    assert sources["POLYGON_API_KEY"] == "environment"
    assert "MASSIVE_API_KEY" not in sources
    both = config.load({**KEYS, "MASSIVE_API_KEY": "OtherName"}, None)[0]
    assert both.polygon_api_key == SecretStr(KEYS["POLYGON_API_KEY"])


def test_the_proper_name_wins_within_a_file_whatever_the_order(tmp_path: Path) -> None:
    text = "".join(f"{name}={value}\n" for name, value in KEYS.items()) + "MASSIVE_API_KEY=Other\n"
    settings, _ = config.load({}, write(tmp_path, text))
    assert settings.polygon_api_key == SecretStr(KEYS["POLYGON_API_KEY"])


def test_an_unknown_name_in_the_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    path = write(tmp_path, "STOP_LOSS_PERCENTAGE=15\nUTTERLY_OTHER_THING=1\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    assert caught.value.faults == [
        f"STOP_LOSS_PERCENTAGE: no such setting in {path}, line 1; did you mean STOP_LOSS_PERCENT?",
        f"UTTERLY_OTHER_THING: no such setting in {path}, line 2; remove it or see .env.example",
    ]
    # The environment belongs to others, too: unknown names there are none of our business.
    assert load(STOP_LOSS_PERCENTAGE="15").stop_loss_percent == 15


def test_a_line_that_sets_nothing_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "\nCanaryPastedKey0123456789\nCanaryPastedKey0123456789=\nSTOP LOSS=Canary\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    assert caught.value.faults == [
        f"{path}: line 2 takes NAME=value",
        f"{path}: line 4 takes NAME=value",
        f"a name that is not shown (it looks like a key): no such setting in {path}, line 3; remove it or see .env.example",
    ]


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"SYMBOL=\xff\xfe")
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    assert caught.value.faults == [f"{path}: cannot be read as UTF-8 text (UnicodeDecodeError)"]


@pytest.mark.shows_keys
def test_nothing_but_what_is_passed_counts(tmp_path: Path) -> None:
    """A demo or a test must not be touched by the machine it runs on."""
    write(tmp_path, "STOP_LOSS_PERCENT=33\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import config;"
        f"print(config.load({KEYS!r}, None)[0].stop_loss_percent)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)],
        cwd=tmp_path,
        env={**os.environ, "STOP_LOSS_PERCENT": "44"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == "15.0"


# --- Rules -------------------------------------------------------------------------------------------


def test_the_fingerprint_depends_on_the_rules_alone() -> None:
    plain = load()
    assert plain.rules == Rules()
    assert plain.rules.digest() == Rules().digest()
    assert len(plain.rules.digest()) == 8
    assert int(plain.rules.digest(), 16) >= 0
    # Places, keys and the order in which values are given change nothing that decides.
    assert load(LOG_LEVEL="DEBUG", DATA_DIR="elsewhere").rules.digest() == plain.rules.digest()
    one = Rules(stop_loss_percent=20, min_premium=0.5)
    other = Rules(min_premium=0.5, stop_loss_percent=20)
    assert one.digest() == other.digest() != plain.rules.digest()
    assert load(STOP_LOSS_PERCENT="20", MIN_PREMIUM="0.50").rules.digest() == one.digest()


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    program = "from rules import Rules; print(Rules().digest())"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert seen == {Rules().digest()}


def test_rules_cannot_see_a_key_or_an_address() -> None:
    assert not {"polygon_api_key", "pushover_token", "polygon_rest_url", "data_dir"} & set(Rules.model_fields)
    with pytest.raises(ValueError, match="frozen"):
        Rules().stop_loss_percent = 1.0
    with pytest.raises(ValueError, match="no_such_rule"):
        Rules(no_such_rule=1)  # type: ignore[call-arg]


def test_what_follows_from_the_rules() -> None:
    assert Rules().symbols == ("IWM", "SPY")
    assert Rules(benchmark="").symbols == ("IWM",)
    assert Rules().before_close("15:55") == 300
    assert Rules().before_close("15:54:30") == 330
