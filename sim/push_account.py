"""An account at the loopback Pushover: its keys, its quota, its messages and receipts, and what was seen of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from events import SECOND
from sim.push_rules import EMERGENCY
from utils import Clock

MONTHLY_QUOTA = 10_000
"""Messages a month that an account has free."""

QUOTA_DAYS = 9
"""Days until this loopback's quota resets."""

KEY_LENGTH = 30


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One request: when it came (µs of the clock), where to, its fields, and the status it was answered with (0: none)."""

    at: int
    method: str
    path: str
    fields: dict[str, str]
    status: int
    peer: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted message: its fields without the keys, when it was accepted (µs of the clock), and its receipt."""

    at: int
    fields: dict[str, str]
    receipt: str = ""
    picture: bytes = b""
    """The image that came with it."""

    @property
    def title(self) -> str:
        """The title."""
        return self.fields.get("title", "")

    @property
    def text(self) -> str:
        """The message's text."""
        return self.fields["message"]

    @property
    def shown(self) -> str:
        """As the phone shows it: the title, an empty line, the text."""
        return f"{self.title}\n\n{self.text}"


class PushAccount:
    """The account, and what the service does next.

    ``answers`` is a queue of faults for the next messages (see `sim.push_faults.FAULTS`; empty: all well),
    ``picture_answers`` one for the next that come with a picture, and
    ``elsewhere`` one of statuses for the next posts to the second channel (empty: 200). ``slow_s`` is how long ``slow``
    waits and ``question_s`` how long the answers about keys and limits take, in seconds of the clock. The quota is
    full again at ``reset`` (Unix seconds); with None there is no reset, and answers name none. ``on_message`` is called
    with each accepted message.
    """

    def __init__(
        self, clock: Clock, token: str, user: str, on_message: Callable[[Message], None] | None
    ) -> None:
        self.clock = clock
        self.answers: deque[str] = deque()
        self.picture_answers: deque[str] = deque()
        self.elsewhere: deque[int] = deque()
        self.messages: list[Message] = []
        self.requests: list[Seen] = []
        self.texts: list[str] = []
        self.receipts: dict[str, dict[str, Any]] = {}
        self.connections_most = 0
        self.poured_out = 0
        """Endless bodies that the other side has cut."""
        self.remaining = MONTHLY_QUOTA
        self.reset: int | None = clock.now() // SECOND + QUOTA_DAYS * 86_400
        self.user_valid = True
        self.slow_s = 5.0
        self.question_s = 0.0
        self._token = token
        self._user = user
        self._on_message = on_message

    @property
    def peers(self) -> list[int]:
        """The client's port of each request: equal ones came over one connection."""
        return [seen.peer for seen in self.requests]

    def asked(self, path: str) -> list[Seen]:
        """The requests to a path's end, such as ``limits.json``."""
        return [seen for seen in self.requests if seen.path.endswith(path)]

    def revoke(self) -> None:
        """The owner deletes the application: its token is no longer accepted."""
        self._token = ""

    def acknowledge(self, receipt: str, device: str = "phone") -> None:
        """Somebody taps the emergency push on a device."""
        now = self.clock.now() // SECOND
        self.receipts[receipt] |= {
            "acknowledged": 1,
            "acknowledged_at": now,
            "acknowledged_by": self._user,
            "acknowledged_by_device": device,
        }

    def key_errors(self, fields: Mapping[str, str], user: bool = True) -> dict[str, str]:
        """Returns what is wrong with the token and, if ``user``, with the user key."""
        if fields.get("token") != self._token:
            return {"token": "application token is invalid"}
        if user and (fields.get("user") != self._user or not self.user_valid):
            return {"user": "user identifier is not a valid user, group, or subscribed user key"}
        return {}

    def renew(self) -> None:
        """Fills the quota if its reset has come."""
        if self.reset is not None and self.clock.now() // SECOND >= self.reset:
            self.remaining, self.reset = MONTHLY_QUOTA, self.reset + 30 * 86_400

    def accept(self, fields: dict[str, str], picture: bytes = b"") -> str:
        """Keeps a message. Returns the receipt of an emergency one, "" for any other."""
        self.remaining -= 1
        receipt = ""
        now = self.clock.now()
        if fields.get("priority") == str(EMERGENCY):
            receipt = f"r{len(self.receipts):0{KEY_LENGTH - 1}d}"
            self.receipts[receipt] = _receipt(now // SECOND, int(fields["expire"]))
        shown = {name: value for name, value in fields.items() if name not in ("token", "user")}
        message = Message(at=now, fields=shown, receipt=receipt, picture=picture)
        self.messages.append(message)
        if self._on_message is not None:
            self._on_message(message)
        return receipt


def _receipt(now: int, expire_s: int) -> dict[str, Any]:
    """A new receipt as the vendor shows it, times in Unix seconds."""
    return {
        "status": 1,
        "acknowledged": 0,
        "acknowledged_at": 0,
        "acknowledged_by": "",
        "acknowledged_by_device": "",
        "last_delivered_at": now,
        "expired": 0,
        "expires_at": now + expire_s,
        "called_back": 0,
        "called_back_at": 0,
    }
