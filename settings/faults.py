"""The words for what is wrong with a setting: its name, its value, what it takes. A secret's value is never shown."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence, Set

from pydantic.fields import FieldInfo

_KEY_LENGTH = 20
"""A word this long may be a key that was pasted into the wrong place: the vendors' keys have 30 characters and more."""

_KEY = re.compile(rf"[A-Za-z0-9_-]{{{_KEY_LENGTH},}}")

_NEAR, _NEAR_LONG = 0.6, 0.8
"""How similar (`difflib` ratio) a name must be to a setting's to be taken for it; a name that may be a key must be
more similar, because it is then shown."""

NAME_NEAR_OUTSIDE = 0.8
"""The same for names in the environment, most of which belong to other programs."""

SHARED_LENGTH = 8
"""A value that shares this many characters in a row with a secret is not shown."""

PLAIN_BELOW = 1e6
"""Numbers below this are written short, such as ``0.05``; larger ones in full, not as ``1e+06``."""

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


def nearest_name(name: str, names: Sequence[str], words: Set[str]) -> str | None:
    """Returns the setting of ``names`` that ``name`` probably misspells; None if there is none. ``words``: all their words."""
    joined = name.replace("_", "")
    for setting in names:
        if joined == setting.replace("_", ""):
            return setting
    begun = [setting for setting in names if "_" in name and setting.startswith(f"{name}_")]
    if begun:
        return begun[0]
    # Comparing letter by letter is slow, and a typing slip leaves most of a name's words intact.
    if not words & set(name.split("_")) and "_" in name:
        return None
    found = difflib.get_close_matches(name, names, n=1, cutoff=NAME_NEAR_OUTSIDE)
    return found[0] if found else None


def unknown_name(name: str, where: str, names: set[str]) -> str:
    """Returns the fault of a name that is no setting. A long one is not shown: it may be a key in the wrong place."""
    is_long = len(name) >= _KEY_LENGTH or not name.replace("_", "").isalnum()
    close = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR_LONG if is_long else _NEAR)
    shown = "a name that is not shown (it looks like a key)" if is_long and not close else name
    hint = f"did you mean {close[0]}?" if close else "remove it or see .env.example"
    return f"{shown}: no such setting in {where}; {hint}"


def shown_value(variable: str, values: Mapping[str, str]) -> str:
    """Returns a refused value as it may be shown: hidden if it is a secret, or may be a key or an address in the wrong place."""
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
    """Returns whether a value holds a part of a secret, as when a key was pasted incompletely or into the wrong line."""
    starts = range(len(secret) - SHARED_LENGTH + 1)
    return any(secret[start : start + SHARED_LENGTH] in value for start in starts)


def takes(info: FieldInfo) -> str:
    """Returns what a field takes, from its type, unit and bounds."""
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    description = info.description or ""
    if unit == "key":
        return f"takes your {description.partition(';')[0]}"
    return f"takes {kind(info)} ({unit}), {limits(info)}: {description}".replace(", :", ":")


def kind(info: FieldInfo) -> str:
    """Returns the kind of value that a field takes, in words."""
    annotation = info.annotation
    if annotation is int:
        return "a whole number"
    if annotation is float:
        return "a number"
    if annotation is bool:
        return "on or off"
    choices = getattr(annotation, "__args__", None)
    return "one of " + ", ".join(map(str, choices)) if choices else "text"


def limits(info: FieldInfo) -> str:
    """Returns the bounds of a field in words, such as ``1 to 60`` or ``over 0 and under 1``; empty without any."""
    found = {
        name: getattr(item, name)
        for item in info.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    if not found:
        return ""
    number = {
        name: f"{value:g}" if math.isfinite(value) and abs(value) < PLAIN_BELOW else str(value)
        for name, value in found.items()
    }
    if set(found) == {"ge", "le"}:
        return f"{number['ge']} to {number['le']}"
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    return " and ".join(
        f"{words[name]} {number[name]}" for name in ("ge", "gt", "le", "lt") if name in number
    )
