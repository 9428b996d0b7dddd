"""The three keys: what they are called, how they look, and what can be wrong with one before anybody is asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from settings.types import PUSHOVER_KEY_LENGTH, PolygonKey, PushoverKey

MARKET_KEY, TOKEN, USER = "POLYGON_API_KEY", "PUSHOVER_TOKEN", "PUSHOVER_USER_KEY"

TOKEN_BEGINS, USER_BEGINS = "a", "ug"
"""How an application's token begins, and how the key of a user or a group does: so it is in every example and answer of
https://pushover.net/api, which promises neither. It is a hint, and Pushover's answer decides."""

SHOWN_LENGTH, SHOWN_LEAST = 4, 16
"""How many characters of a key are shown, its last, and how long it must be for that: a short one would be given away."""


MARKET_KEY_LENGTH = 32
"""How long every key of Massive's is that we have seen: letters, digits and underscores. The vendor promises nothing."""


class Key(NamedTuple):
    """A key that is needed: its setting, what people call it, and where its owner finds it."""

    name: str
    title: str
    place: str


KEYS = (
    Key(MARKET_KEY, "Massive API key", "massive.com, Dashboard, Keys"),
    Key(TOKEN, "Pushover application token", "pushover.net, Your Applications"),
    Key(USER, "Pushover user key", "pushover.net, top of the page once you are logged in"),
)


def cleaned(text: str) -> str:
    """Returns what was typed without the spaces and quotes around it, and without line breaks and blanks inside."""
    return "".join(text.split()).strip("'\"`“”‘’")


def shown(key: str) -> str:
    """Returns how a key is shown: by its last characters and its length."""
    end = key[-SHOWN_LENGTH:] if len(key) >= SHOWN_LEAST else ""
    return f"…{end} ({len(key)} characters)"


def fault(name: str, key: str) -> str | None:
    """Returns why ``key`` cannot be the key of a setting, without showing it; None if it can."""
    if not key:
        return "nothing was typed"
    kind: TypeAdapter[object] = TypeAdapter(PolygonKey if name == MARKET_KEY else PushoverKey)
    try:
        kind.validate_python(key)
    except ValidationError as error:
        takes = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        return takes if name == MARKET_KEY else f"this has {len(key)} characters, and it {takes}"
    return None


def is_like_pushovers(key: str) -> bool:
    """Whether a key looks like one of Pushover's, a token or a user's."""
    is_long = len(key) == PUSHOVER_KEY_LENGTH and key.isascii() and key.isalnum()
    return is_long and key[0] in TOKEN_BEGINS + USER_BEGINS


def doubt(name: str, key: str) -> str | None:
    """Returns the question to ask about a key that is probably not the one of a setting; None if nothing is odd."""
    if name != MARKET_KEY:
        return None
    if is_like_pushovers(key):
        return "This looks like one of Pushover's keys. Is it your Massive API key?"
    if len(key) < MARKET_KEY_LENGTH:
        return (
            f"This is shorter than any Massive API key known to us ({MARKET_KEY_LENGTH} characters). Keep it?"
        )
    return None


def are_swapped(keys: Mapping[str, str]) -> bool:
    """Whether token and user key look as if each stood in the other's place."""
    return keys[TOKEN][0] in USER_BEGINS and keys[USER][0] in TOKEN_BEGINS


def doubts(keys: Mapping[str, str]) -> list[str]:
    """Returns what looks odd about the keys, one line each. None of it is certain."""
    found = []
    if keys[TOKEN] == keys[USER]:
        found.append("token and user key are the same: the token is the application's, the user key is yours")
    elif keys[TOKEN][0] in USER_BEGINS:
        found.append(f"the token begins with {keys[TOKEN][0]}, as user and group keys do")
    elif keys[USER][0] in TOKEN_BEGINS:
        found.append(f"the user key begins with {keys[USER][0]}, as application tokens do")
    if keys[MARKET_KEY] in (keys[TOKEN], keys[USER]):
        found.append("the Massive API key is the same as one of Pushover's")
    return found
