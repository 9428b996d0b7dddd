"""Why a request over REST gave no answer."""

from __future__ import annotations

from enum import StrEnum

from feeds.vendor import NoAnswer


class RestErrorKind(StrEnum):
    """Why a request gave no answer."""

    TRANSPORT = "no connection"
    CERTIFICATE = "certificate not trusted"
    TIMEOUT = "no answer in time"
    UNAUTHORIZED = "key refused"
    FORBIDDEN = "not in the plan"
    NOT_FOUND = "not found"
    RATE_LIMITED = "too many requests"
    REFUSED = "request refused"
    SERVER = "vendor's server fails"
    REDIRECT = "redirected"
    BAD_BODY = "unusable answer"
    EMPTY = "nothing there"


LASTING = frozenset({RestErrorKind.UNAUTHORIZED, RestErrorKind.FORBIDDEN, RestErrorKind.CERTIFICATE})
"""Kinds that a repeated request does not change for a while."""


ADVICE = {
    RestErrorKind.UNAUTHORIZED: "check POLYGON_API_KEY against the dashboard at massive.com",
    RestErrorKind.FORBIDDEN: "the plan does not include it: Stocks Advanced and Options Advanced are needed",
    RestErrorKind.RATE_LIMITED: "a free plan allows 5 requests a minute: wait, or check the plan",
    RestErrorKind.CERTIFICATE: "check POLYGON_REST_URL, or the proxy and certificates of this machine",
    RestErrorKind.TRANSPORT: "check this machine's network, and POLYGON_REST_URL",
    RestErrorKind.TIMEOUT: "check this machine's network, then the vendor's status page",
    RestErrorKind.SERVER: "the vendor has trouble: see its status page, then run this again",
}
"""What the owner can do about a kind; about the others no more than `ASK_AGAIN`."""

ASK_AGAIN = "run this again; if it persists, check POLYGON_REST_URL"


class RestError(NoAnswer):
    """A request got no usable answer. The text contains neither key nor address.

    ``retry_after`` is in seconds, and only set for status 429.
    """

    def __init__(
        self,
        kind: RestErrorKind,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        number = f" ({status})" if status is not None else ""
        super().__init__(f"{kind}{number}{': ' if detail else ''}{detail}")
        self.kind: RestErrorKind = kind
        self.status = status
        self.retry_after = retry_after
        self.advice = ADVICE.get(kind, ASK_AGAIN)
        self.is_limited = kind is RestErrorKind.RATE_LIMITED
        self.is_lasting = kind in LASTING
        self.is_key_refused = kind is RestErrorKind.UNAUTHORIZED
