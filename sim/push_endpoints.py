"""The loopback Pushover's endpoints: messages, validation, limits, receipts; and a second channel beside them."""

from __future__ import annotations

from collections import deque

from aiohttp import web

from events import SECOND
from sim.push_account import MONTHLY_QUOTA, PushAccount
from sim.push_answers import PushAnswers
from sim.push_faults import AFTERWARDS, FAULTS, PAGES, YEAR_2100
from sim.push_rules import attachment_errors, message_errors


class PushEndpoints:
    """Answers requests for an account."""

    def __init__(self, account: PushAccount, answers: PushAnswers) -> None:
        self._account, self._answers = account, answers

    def routes(self) -> list[web.RouteDef]:
        """The addresses that are answered."""
        return [
            web.post("/1/messages.json", self._take_message),
            web.post("/1/users/validate.json", self._validate),
            web.get("/1/apps/limits.json", self._limits),
            web.get("/1/receipts/{receipt}.json", self._receipt),
            web.post("/1/receipts/{receipt}/cancel.json", self._cancel),
            web.post("/elsewhere", self._take_text),
        ]

    async def _take_message(self, request: web.Request) -> web.StreamResponse:
        """Accepts or refuses a message, unless a fault answers before the vendor can."""
        fields, picture, kind = await _form_with_picture(request)
        account = self._account
        fault = await self._next_fault(account.picture_answers if picture else account.answers)
        answers = self._answers
        if fault == "cut":
            return answers.hang_up(request, fields)
        if fault in PAGES:
            status, text, page_kind, headers = PAGES[fault]
            answers.note(request, fields, status)
            return web.Response(status=status, text=text, content_type=page_kind, headers=headers)
        if fault in ("endless", "gzip"):
            return await answers.pour(request, fields, is_packed=fault == "gzip")
        if fault == "400":
            return answers.refusal(request, fields, {"message": "this message was refused by request"})
        errors = account.key_errors(fields) or message_errors(fields)
        if picture:
            errors = errors or attachment_errors(picture, kind)
        if errors:
            return answers.refusal(request, fields, errors)
        return self._accept(request, fields, picture, fault)

    async def _next_fault(self, queue: deque[str]) -> str:
        """The next fault in a queue, after its wait if it is slow. Raises ValueError for an unknown name."""
        account = self._account
        fault = queue.popleft() if queue else "ok"
        if fault.startswith("slow"):
            await account.clock.sleep(account.slow_s)
            fault = fault.removeprefix("slow").strip() or "ok"
        if fault not in FAULTS:
            raise ValueError(f"no such answer: {fault}")
        return fault

    def _accept(
        self, request: web.Request, fields: dict[str, str], picture: bytes, fault: str
    ) -> web.StreamResponse:
        """Accepts a good message within the quota, and answers as the fault has it."""
        account, answers = self._account, self._answers
        account.renew()
        if fault.startswith("429") or account.remaining <= 0:
            account.remaining = 0
            account.reset = YEAR_2100 if fault == "429 2100" else account.reset
            body = {"errors": ["application is over its message limit"], "status": 0}
            return answers.answer(request, fields, 429, body)
        receipt = account.accept(fields, picture)
        if fault == "lost":
            return answers.hang_up(request, fields)
        if fault in AFTERWARDS:
            status, text = AFTERWARDS[fault]
            answers.note(request, fields, status)
            return web.Response(status=status, text=text, content_type="text/html")
        if fault == "absurd receipt":
            receipt = "r" * 40_000
        return answers.answer(request, fields, 200, {"status": 1} | ({"receipt": receipt} if receipt else {}))

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        await self._account.clock.sleep(self._account.question_s)
        fields = await _form(request)
        errors = self._account.key_errors(fields)
        if errors:
            return self._answers.refusal(request, fields, errors)
        body = {"status": 1, "devices": ["phone"], "licenses": ["iOS"]}
        return self._answers.answer(request, fields, 200, body)

    async def _limits(self, request: web.Request) -> web.StreamResponse:
        account = self._account
        await account.clock.sleep(account.question_s)
        account.renew()
        errors = account.key_errors(request.query, user=False)
        if errors:
            return self._answers.refusal(request, request.query, errors)
        body = {"limit": MONTHLY_QUOTA, "remaining": account.remaining, "reset": account.reset, "status": 1}
        return self._answers.answer(request, request.query, 200, body)

    async def _receipt(self, request: web.Request) -> web.StreamResponse:
        known = self._account.receipts.get(request.match_info["receipt"])
        errors = self._account.key_errors(request.query, user=False)
        if errors or known is None:
            errors = errors or {"receipt": "receipt not found; may be invalid or expired"}
            return self._answers.refusal(request, request.query, errors)
        if self._account.clock.now() // SECOND >= known["expires_at"]:
            known["expired"] = 1
        return self._answers.answer(request, request.query, 200, known)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        fields = await _form(request)
        known = self._account.receipts.get(request.match_info["receipt"])
        errors = self._account.key_errors(fields, user=False)
        if errors or known is None:
            errors = errors or {"receipt": "receipt not found; may be invalid or expired"}
            return self._answers.refusal(request, fields, errors)
        known["expired"] = 1
        known["expires_at"] = self._account.clock.now() // SECOND
        return self._answers.answer(request, fields, 200, {"status": 1})

    async def _take_text(self, request: web.Request) -> web.StreamResponse:
        """Keeps a text that was posted to the second channel."""
        account = self._account
        text = await request.text()
        status = account.elsewhere.popleft() if account.elsewhere else 200
        self._answers.note(request, {}, status)
        if status not in range(200, 300):
            return web.Response(status=status, text="no", headers={"Location": "/login"})
        account.texts.append(text)
        return web.Response(status=status, text="taken")


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a request's form."""
    return {name: str(value) for name, value in (await request.post()).items()}


async def _form_with_picture(request: web.Request) -> tuple[dict[str, str], bytes, str]:
    """The fields of a message's form, and its attachment with its MIME type; both empty without one."""
    fields: dict[str, str] = {}
    picture, kind = b"", ""
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file:
                picture, kind = value.file.read(), value.content_type
        else:
            fields[name] = str(value)
    return fields, picture, kind
