"""A loopback Pushover: it takes, refuses and loses messages as the real one does, and remembers what it saw."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from events import SECOND
from utils import Clock

MONTHLY_QUOTA = 10_000
"""Messages a month that an account has free."""

QUOTA_DAYS = 9
"""Days until this loopback's quota resets."""

KEY_LENGTH = 30
TITLE_MAX = 250
MESSAGE_MAX = 1024
PRIORITIES = range(-2, 3)
EMERGENCY = 2
RETRY_MIN_S = 30
EXPIRE_MAX_S = 10_800

YEAR_2100 = 4_102_444_800
"""Unix seconds."""

ENDLESS_PIECE = 65_536
"""Bytes that an endless body sends at a time."""

PAGE = "<html>Welcome to the hotel. Please accept our terms.</html>"
PAGES: Mapping[str, tuple[int, str, str, dict[str, str]]] = {
    "500": (500, "<html>Internal Server Error</html>", "text/html", {}),
    "403 html": (403, PAGE, "text/html", {}),
    "407": (407, PAGE, "text/html", {}),
    "408": (408, "", "text/plain", {}),
    "429 passing": (429, '{"errors":["too many requests"],"status":0}', "application/json", {}),
    "200 html": (200, PAGE, "text/html", {}),
    "200 empty": (200, "", "application/json", {}),
    "200 status 0": (200, '{"status":0,"errors":["not taken"]}', "application/json", {}),
    "200 status true": (200, '{"status":true}', "application/json", {}),
    "204": (204, "", "text/plain", {}),
    "302": (302, "", "text/html", {"Location": "/login"}),
    "302 odd": (302, "", "text/html", {"Location": "http://xn--\u00fc.example/"}),
}
"""Answers of somebody in between, by name: status, body, type, headers. Nothing is accepted."""

AFTERWARDS: Mapping[str, tuple[int, str]] = {
    "html": (200, "<html>Welcome to the hotel</html>"),
    "504": (504, "<html>Gateway Time-out</html>"),
}
"""Answers of somebody in between to what has been accepted, by name: status and page."""

FAULTS = (
    *("ok", "400", "429", "429 2100", "lost", "cut", "endless", "gzip", "absurd receipt"),
    *(*PAGES, *AFTERWARDS),
)
"""What ``answers`` may ask for: ``lost`` accepts and cuts the connection, ``cut`` cuts it without accepting, ``html``
accepts and answers with a page, ``504`` accepts and a gateway says that it knows nothing of that, ``endless`` never ends its body, ``gzip`` sends 64 MB in 300 kB, ``absurd
receipt`` accepts and gives one that fits no address, ``429 2100`` names a reset in that year. ``slow`` alone, or before
another (``slow 500``), waits first."""


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


class LoopbackPushover:
    """The service on a loopback port, as an asynchronous context manager.

    ``answers`` is a queue of faults for the next messages (see `FAULTS`; empty: all well). ``slow_s`` is how long
    ``slow`` waits and ``question_s`` how long every other answer takes, in seconds of the clock; without a
    ``reset`` (Unix seconds) none is told, and at it the quota is full again. ``elsewhere`` is a queue of statuses for
    the next posts to the second channel (empty: 200). ``on_message`` is called with each accepted message.
    """

    def __init__(
        self,
        clock: Clock,
        token: str,
        user: str,
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.answers: deque[str] = deque()
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
        self._clock = clock
        self._token = token
        self._user = user
        self._on_message = on_message
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.add_routes(
            [
                web.post("/1/messages.json", self._take_message),
                web.post("/1/users/validate.json", self._validate),
                web.get("/1/apps/limits.json", self._limits),
                web.get("/1/receipts/{receipt}.json", self._receipt),
                web.post("/1/receipts/{receipt}/cancel.json", self._cancel),
                web.post("/elsewhere", self._take_text),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def elsewhere_url(self) -> str:
        """An address that takes any text and keeps it in ``texts``: a second channel."""
        return f"{self.url}/elsewhere"

    @property
    def peers(self) -> list[int]:
        """The client's port of each request: equal ones came over one connection."""
        return [seen.peer for seen in self.requests]

    def asked(self, path: str) -> list[Seen]:
        """The requests to a path's end, such as ``limits.json``."""
        return [seen for seen in self.requests if seen.path.endswith(path)]

    async def up(self) -> None:
        """Listen (again)."""
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening and end every connection: from now on none can be made."""
        assert self._runner is not None
        assert self._site is not None
        await self._site.stop()
        for connection in self._connections():
            connection.force_close()

    def revoke(self) -> None:
        """The owner deletes the application: its token is taken no more."""
        self._token = ""

    def acknowledge(self, receipt: str, device: str = "phone") -> None:
        """Somebody taps the emergency push on a device."""
        now = self._clock.now() // SECOND
        self.receipts[receipt] |= {
            "acknowledged": 1,
            "acknowledged_at": now,
            "acknowledged_by": self._user,
            "acknowledged_by_device": device,
        }

    def _connections(self) -> list[Any]:
        assert self._runner is not None
        assert self._runner.server is not None
        # A handler whose client has gone is still listed while it runs.
        return [each for each in self._runner.server.connections if each.transport is not None]

    def _answer(
        self, request: web.Request, fields: Mapping[str, str], status: int, body: dict[str, Any]
    ) -> web.Response:
        """Note the request with its answer, and make the answer."""
        self._note(request, fields, status)
        headers = {
            "X-Limit-App-Limit": str(MONTHLY_QUOTA),
            "X-Limit-App-Remaining": str(self.remaining),
        } | ({} if self.reset is None else {"X-Limit-App-Reset": str(self.reset)})
        return web.json_response(
            {**body, "request": f"loopback-{len(self.requests)}"}, status=status, headers=headers
        )

    def _note(self, request: web.Request, fields: Mapping[str, str], status: int) -> None:
        self.connections_most = max(self.connections_most, len(self._connections()))
        peer = request.transport.get_extra_info("peername")[1] if request.transport else 0
        self.requests.append(
            Seen(
                at=self._clock.now(),
                method=request.method,
                path=request.path,
                fields=dict(fields),
                status=status,
                peer=peer,
            )
        )

    def _refusal(
        self, request: web.Request, fields: Mapping[str, str], errors: dict[str, str]
    ) -> web.Response:
        """A 400 as the vendor words it: each bad field is named, and its error listed."""
        body = {**dict.fromkeys(errors, "invalid"), "errors": list(errors.values()), "status": 0}
        return self._answer(request, fields, 400, body)

    def _key_errors(self, fields: Mapping[str, str], user: bool = True) -> dict[str, str]:
        if fields.get("token") != self._token:
            return {"token": "application token is invalid"}
        if user and (fields.get("user") != self._user or not self.user_valid):
            return {"user": "user identifier is not a valid user, group, or subscribed user key"}
        return {}

    async def _take_message(self, request: web.Request) -> web.StreamResponse:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        fault = self.answers.popleft() if self.answers else "ok"
        if fault.startswith("slow"):
            await self._clock.sleep(self.slow_s)
            fault = fault.removeprefix("slow").strip() or "ok"
        if fault not in FAULTS:
            raise ValueError(f"no such answer: {fault}")
        if fault == "cut":
            return self._hang_up(request, fields)
        if fault in PAGES:
            status, text, kind, headers = PAGES[fault]
            self._note(request, fields, status)
            return web.Response(status=status, text=text, content_type=kind, headers=headers)
        if fault in ("endless", "gzip"):
            return await self._pour(request, fields, is_packed=fault == "gzip")
        if fault == "400":
            return self._refusal(request, fields, {"message": "this message was refused by request"})
        errors = self._key_errors(fields) or message_errors(fields)
        if errors:
            return self._refusal(request, fields, errors)
        self._renew()
        if fault.startswith("429") or self.remaining <= 0:
            self.remaining = 0
            self.reset = YEAR_2100 if fault == "429 2100" else self.reset
            body = {"errors": ["application is over its message limit"], "status": 0}
            return self._answer(request, fields, 429, body)
        receipt = self._accept(fields)
        if fault == "lost":
            return self._hang_up(request, fields)
        if fault in AFTERWARDS:
            status, text = AFTERWARDS[fault]
            self._note(request, fields, status)
            return web.Response(status=status, text=text, content_type="text/html")
        if fault == "absurd receipt":
            receipt = "r" * 40_000
        return self._answer(request, fields, 200, {"status": 1} | ({"receipt": receipt} if receipt else {}))

    def _renew(self) -> None:
        """At its reset the quota is full again."""
        if self.reset is not None and self._clock.now() // SECOND >= self.reset:
            self.remaining, self.reset = MONTHLY_QUOTA, self.reset + 30 * 86_400

    async def _pour(
        self, request: web.Request, fields: Mapping[str, str], *, is_packed: bool
    ) -> web.StreamResponse:
        """A body that nobody should read to its end, or unpack."""
        self._note(request, fields, 200)
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if is_packed else None)
        await response.prepare(request)
        piece = zlib.compress(bytes(1 << 26), 1, 31) if is_packed else b" " * ENDLESS_PIECE
        try:
            await response.write(piece)
            while not is_packed:
                await response.write(piece)
        except ConnectionError:
            self.poured_out += 1
        return response

    def _accept(self, fields: dict[str, str]) -> str:
        """Keep a message; returns the receipt of an emergency one."""
        self.remaining -= 1
        receipt = ""
        now = self._clock.now()
        if fields.get("priority") == str(EMERGENCY):
            receipt = f"r{len(self.receipts):0{KEY_LENGTH - 1}d}"
            self.receipts[receipt] = {
                "status": 1,
                "acknowledged": 0,
                "acknowledged_at": 0,
                "acknowledged_by": "",
                "acknowledged_by_device": "",
                "last_delivered_at": now // SECOND,
                "expired": 0,
                "expires_at": now // SECOND + int(fields["expire"]),
                "called_back": 0,
                "called_back_at": 0,
            }
        shown = {name: value for name, value in fields.items() if name not in ("token", "user")}
        message = Message(at=now, fields=shown, receipt=receipt)
        self.messages.append(message)
        if self._on_message is not None:
            self._on_message(message)
        return receipt

    def _hang_up(self, request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse:
        """Cut the connection instead of answering."""
        self._note(request, fields, 0)
        if request.transport is not None:
            request.transport.abort()
        # Never written: the connection is gone.
        return web.Response()

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        await self._clock.sleep(self.question_s)
        fields = {name: str(value) for name, value in (await request.post()).items()}
        errors = self._key_errors(fields)
        if errors:
            return self._refusal(request, fields, errors)
        return self._answer(request, fields, 200, {"status": 1, "devices": ["phone"], "licenses": ["iOS"]})

    async def _limits(self, request: web.Request) -> web.StreamResponse:
        await self._clock.sleep(self.question_s)
        self._renew()
        errors = self._key_errors(request.query, user=False)
        if errors:
            return self._refusal(request, request.query, errors)
        body = {"limit": MONTHLY_QUOTA, "remaining": self.remaining, "reset": self.reset, "status": 1}
        return self._answer(request, request.query, 200, body)

    async def _receipt(self, request: web.Request) -> web.StreamResponse:
        known = self.receipts.get(request.match_info["receipt"])
        errors = self._key_errors(request.query, user=False)
        if errors or known is None:
            errors = errors or {"receipt": "receipt not found; may be invalid or expired"}
            return self._refusal(request, request.query, errors)
        if self._clock.now() // SECOND >= known["expires_at"]:
            known["expired"] = 1
        return self._answer(request, request.query, 200, known)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        known = self.receipts.get(request.match_info["receipt"])
        errors = self._key_errors(fields, user=False)
        if errors or known is None:
            errors = errors or {"receipt": "receipt not found; may be invalid or expired"}
            return self._refusal(request, fields, errors)
        known["expired"] = 1
        known["expires_at"] = self._clock.now() // SECOND
        return self._answer(request, fields, 200, {"status": 1})

    async def _take_text(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        status = self.elsewhere.popleft() if self.elsewhere else 200
        self._note(request, {}, status)
        if status not in range(200, 300):
            return web.Response(status=status, text="no", headers={"Location": "/login"})
        self.texts.append(text)
        return web.Response(status=status, text="taken")


def message_errors(fields: Mapping[str, str]) -> dict[str, str]:
    """What the vendor finds wrong with a message, by field."""
    errors: dict[str, str] = {}
    message = fields.get("message", "")
    if not message.strip():
        errors["message"] = "message cannot be blank"
    elif len(message) > MESSAGE_MAX:
        errors["message"] = f"message is longer than {MESSAGE_MAX} characters"
    if len(fields.get("title", "")) > TITLE_MAX:
        errors["title"] = f"title is longer than {TITLE_MAX} characters"
    priority = _integer(fields.get("priority", "0"))
    if priority not in PRIORITIES:
        errors["priority"] = "priority is invalid"
    if priority == EMERGENCY:
        retry, expire = _integer(fields.get("retry")), _integer(fields.get("expire"))
        if retry is None or retry < RETRY_MIN_S:
            errors["retry"] = f"retry must be at least {RETRY_MIN_S} seconds"
        if expire is None or not 0 < expire <= EXPIRE_MAX_S:
            errors["expire"] = f"expire must be from 1 to {EXPIRE_MAX_S} seconds"
    for name in ("ttl", "timestamp"):
        value = _integer(fields.get(name, "1"))
        if value is None or value < 1:
            errors[name] = f"{name} must be a positive number"
    return errors


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
