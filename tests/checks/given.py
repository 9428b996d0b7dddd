"""What the tests of the checks are given: secrets, a session, moments of it, settings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import config
import utils
from events import SECOND, Session

KEY = "CanaryPolygonKey0123456789"

TOKEN = "CanaryTokenaaaaaaaaaaaaaaaaaaa"

USER = "CanaryUserbbbbbbbbbbbbbbbbbbbb"

SECRETS = {"POLYGON_API_KEY": KEY, "PUSHOVER_TOKEN": TOKEN, "PUSHOVER_USER_KEY": USER}

ROOT = Path(__file__).parent.parent.parent

MINUTE = 60 * SECOND

NOWHERE = "http://127.0.0.1:9"
"""An address that nothing listens on."""


def session_of(day: str) -> Session:
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    return session


SESSION = session_of("2025-10-02")


def settings_of(**changes: str) -> config.Settings:
    return config.load({**SECRETS, **changes}, None)[0]


IN_SESSION = SESSION.open + 70 * MINUTE

BEFORE = SESSION.open - 60 * MINUTE
