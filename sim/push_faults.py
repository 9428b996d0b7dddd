"""What the loopback Pushover can be told to answer, by name."""

from __future__ import annotations

from collections.abc import Mapping

YEAR_2100 = 4_102_444_800
"""Unix seconds."""

PAGE = "<html>Welcome to the hotel. Please accept our terms.</html>"
PAGES: Mapping[str, tuple[int, str, str, dict[str, str]]] = {
    "500": (500, "<html>Internal Server Error</html>", "text/html", {}),
    "403 html": (403, PAGE, "text/html", {}),
    "407": (407, PAGE, "text/html", {}),
    "413": (413, "<html>Request Entity Too Large</html>", "text/html", {}),
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
"""Answers of something on the way, by name: status, body, type, headers. The message is not accepted."""

AFTERWARDS: Mapping[str, tuple[int, str]] = {
    "html": (200, "<html>Welcome to the hotel</html>"),
    "504": (504, "<html>Gateway Time-out</html>"),
}
"""Answers of something on the way to an accepted message, by name: status and page."""

FAULTS = (
    *("ok", "400", "429", "429 2100", "lost", "cut", "endless", "gzip", "absurd receipt"),
    *(*PAGES, *AFTERWARDS),
)
"""What ``answers`` may ask for, beside `PAGES` and `AFTERWARDS`:

- ``lost`` accepts the message and cuts the connection, ``cut`` cuts it without accepting;
- ``endless`` never ends its body, ``gzip`` sends 64 MB in 300 kB;
- ``absurd receipt`` accepts and gives a receipt that fits no address;
- ``429 2100`` names a reset in that year.

``slow`` alone, or before another (``slow 500``), waits first."""
