"""Who made a request, whichever framework brings it: Django, Flask, Starlette and FastAPI, aiohttp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Visitor:
    """What a request says of the visitor who made it. Empty where it does not say."""

    address: str = ""
    user_agent: str = ""
    visitor_id: str = ""
    language: str = ""
    host: str = ""
    path: str = ""
    referrer: str = ""
    opted_out: bool = False
    """Whether the browser sends `Sec-GPC: 1` or `DNT: 1`."""


def visitor_of(request: Any, visitor_header: str = "X-Visitor-ID") -> Visitor:
    """The visitor behind `request`. What cannot be read is left empty; never raises.

    The address is the one the framework gives: behind a proxy, have your server or framework put the visitor's there.
    """
    try:
        headers: Mapping[str, str] = request.headers
        language = headers.get("Accept-Language", "").split(",", 1)[0].split(";", 1)[0].strip()
        return Visitor(
            address=_address(request),
            user_agent=headers.get("User-Agent", ""),
            visitor_id=headers.get(visitor_header, ""),
            language=language if language != "*" else "",
            host=headers.get("Host", ""),
            path=_path(request),
            referrer=headers.get("Referer", ""),
            opted_out="1" in (headers.get("Sec-GPC", "").strip(), headers.get("DNT", "").strip()),
        )
    except Exception:  # noqa: BLE001 - a request of an unknown kind must not break its own answer
        return Visitor()


def _address(request: Any) -> str:
    if hasattr(request, "META"):  # Django
        return str(request.META.get("REMOTE_ADDR") or "")
    if hasattr(request, "remote_addr"):  # Flask
        return str(request.remote_addr or "")
    if hasattr(request, "remote"):  # aiohttp
        return str(request.remote or "")
    client = getattr(request, "client", None)  # Starlette, FastAPI
    return str(client.host) if client else ""


def _path(request: Any) -> str:
    if hasattr(request, "get_full_path"):  # Django
        return str(request.get_full_path())
    if hasattr(request, "path_qs"):  # aiohttp
        return str(request.path_qs)
    if hasattr(request, "full_path"):  # Flask, which ends a path without a query with "?"
        return str(request.full_path).rstrip("?")
    url = request.url  # Starlette, FastAPI
    return f"{url.path}?{url.query}" if url.query else str(url.path)
