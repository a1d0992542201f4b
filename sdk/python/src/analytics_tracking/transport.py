"""HTTP to the service: one connection, kept open."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class Unreachable(Exception):
    """Raised when the service did not take the call, or not all of it, and may take it later."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Answer:
    """What the service says to one hit: taken, ignored, to be sent again, or refused (`error` says why)."""

    ok: bool = False
    ignored: bool = False
    again: bool = False
    error: str = ""


AGAIN = frozenset({"UNAVAILABLE", "RATE_LIMITED", "SERVER_ERROR"})


class Transport:
    """Calls the service at `url`. Not for use by several threads at once."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must be an address such as https://stats.example.com")
        self._https, self._host = parts.scheme == "https", parts.hostname
        self._port = parts.port or (443 if self._https else 80)
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/json", "User-Agent": "analytics-tracking-python"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def forget(self) -> None:
        """Leave the connection to the process that made it; the next call makes another."""
        self._connection = None

    def send(self, hits: Sequence[str]) -> list[Answer]:
        """Report hits, given as JSON; an answer for each. Raises `Unreachable` where none was taken."""
        status, said, _ = self._call("POST", "/analytics/batch", '{{"hits":[{}]}}'.format(",".join(hits)))
        if status == 200 and isinstance(said.get("results"), list) and len(said["results"]) == len(hits):
            return [_answer(result) for result in said["results"]]
        # The call as a whole was wrong: sending it again would not mend it.
        return [Answer(error=f"{status}: {said.get('error', 'not understood')}")] * len(hits)

    def key_of(self, website_id: int) -> str:
        """The pixel key of a website. Raises `Unreachable`; an unknown website has the key "", which is refused."""
        status, said, _ = self._call("GET", f"/analytics/websites/{website_id}", None)
        data = said.get("data")
        return str(data.get("pixel_key") or "") if status == 200 and isinstance(data, dict) else ""

    def _call(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            content = None if body is None else body.encode()
            self._connection.request(method, self._base + path, content, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from None
        if response.status in (408, 429) or response.status >= 500:
            raise Unreachable(f"the service answered {response.status}", _seconds(response.headers.get("Retry-After")))
        try:
            said = json.loads(text) if text else {}
        except ValueError:
            said = {}
        return response.status, said if isinstance(said, dict) else {}, response.headers

    def _connect(self) -> http.client.HTTPConnection:
        if self._https:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def _answer(result: Any) -> Answer:
    if not isinstance(result, dict):
        return Answer(error="not understood")
    if result.get("ok"):
        return Answer(ok=True, ignored=bool(result.get("ignored")))
    return Answer(again=result.get("code") in AGAIN, error=f"{result.get('code')}: {result.get('error')}")


def _seconds(text: str | None) -> float:
    try:
        return min(float(text or 0), 60.0)
    except ValueError:
        return 0.0
