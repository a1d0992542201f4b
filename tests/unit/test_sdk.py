"""The server-side client alone: what it takes over from requests, keeps, drops and sends again."""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from analytics_tracking import AnalyticsTracking, visitor_of

HEADERS = {
    "Host": "shop.example.com",
    "User-Agent": "Mozilla/5.0 (X11; Linux)",
    "Accept-Language": "de-CH,de;q=0.8",
    "Referer": "https://www.google.com/",
    "X-Visitor-ID": "visitor-7",
}


class Endpoint:
    """A service that answers as it is told and keeps what it gets."""

    def __init__(self) -> None:
        self.clients: list[AnalyticsTracking] = []
        self.hits: list[dict[str, Any]] = []
        self.calls: list[list[dict[str, Any]]] = []
        self.status = 200
        self.results: list[dict[str, Any]] | None = None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                hits = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["hits"]
                endpoint.calls.append(hits)
                results = endpoint.results or [{"ok": True}] * len(hits)
                if endpoint.status == 200:
                    endpoint.hits += [hit for hit, said in zip(hits, results, strict=True) if said.get("ok")]
                self.answer({"ok": True, "results": results} if endpoint.status == 200 else {"ok": False})

            def do_GET(self) -> None:
                self.answer({"data": {"pixel_key": f"key-of-{self.path.rpartition('/')[2]}"}})

            def answer(self, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    for tracking in endpoint.clients:
        tracking.close()
    endpoint.server.shutdown()
    endpoint.server.server_close()


def client(endpoint: Endpoint, **options: Any) -> AnalyticsTracking:
    tracking = AnalyticsTracking(endpoint.url, **{"token": "an_test", "every_s": 0.02, "exit_within_s": 0.2, **options})
    endpoint.clients.append(tracking)
    return tracking


def requests() -> dict[str, Any]:
    """The same request as each framework brings it."""
    from django.conf import settings
    from django.test import RequestFactory
    from flask import Flask, request
    from starlette.requests import Request

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"])
    in_django = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}
    scope = {
        "type": "http", "method": "GET", "path": "/cart", "query_string": b"id=3", "client": ("203.0.113.9", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()],
        "server": ("shop.example.com", 80), "scheme": "http",
    }  # fmt: skip
    context = Flask("shop").test_request_context(
        "/cart?id=3", headers=HEADERS, environ_base={"REMOTE_ADDR": "203.0.113.9"}
    )
    with context:
        flask = request._get_current_object()
    transport = type(
        "Transport", (), {"get_extra_info": lambda _, name: ("203.0.113.9", 1) if name == "peername" else None}
    )
    aiohttp = make_mocked_request("GET", "/cart?id=3", headers=HEADERS, transport=transport())
    return {
        "django": RequestFactory().get("/cart?id=3", REMOTE_ADDR="203.0.113.9", **in_django),
        "flask": flask,
        "starlette": Request(scope),
        "aiohttp": aiohttp,
    }


@pytest.mark.parametrize("framework", ["django", "flask", "starlette", "aiohttp"])
def test_a_request_says_the_same_of_its_visitor_in_every_framework(framework: str):
    visitor = visitor_of(requests()[framework])
    assert visitor.address == "203.0.113.9"
    assert visitor.user_agent == HEADERS["User-Agent"]
    assert (visitor.visitor_id, visitor.language) == ("visitor-7", "de-CH")
    assert (visitor.host, visitor.path) == ("shop.example.com", "/cart?id=3")
    assert visitor.referrer == HEADERS["Referer"]
    assert not visitor.opted_out


def test_a_request_of_an_unknown_kind_says_nothing_and_breaks_nothing(endpoint):
    tracking = client(endpoint)
    tracking.track("key", {"path": "/"}, object())
    assert tracking.flush()
    assert endpoint.hits[0]["path"] == "/"


def test_a_hit_goes_with_its_key_id_and_time_and_what_it_says_wins(endpoint):
    tracking = client(endpoint)
    id_ = tracking.track("key", {"type": "pageview", "path": "/own", "visitor_id": "own"}, requests()["starlette"])
    assert tracking.flush()
    (hit,) = endpoint.hits
    assert hit.items() >= {"key": "key", "id": id_, "path": "/own", "visitor_id": "own", "ip": "203.0.113.9"}.items()
    assert hit["timestamp"].endswith("Z")


def test_without_a_token_nothing_is_said_that_needs_one(endpoint):
    tracking = client(endpoint, token="", key="key")
    tracking.track(None, {}, requests()["starlette"])
    assert tracking.flush()
    assert not {"ip", "user_agent", "timestamp"} & set(endpoint.hits[0])
    assert endpoint.hits[0]["key"] == "key"


def test_a_websites_id_stands_for_its_key(endpoint):
    tracking = client(endpoint)
    tracking.track(12, {})
    assert tracking.flush()
    assert endpoint.hits[0]["key"] == "key-of-12"


def test_who_opted_out_is_not_reported(endpoint):
    request = requests()["django"]
    request.META["HTTP_SEC_GPC"] = "1"
    request.__dict__.pop("headers", None)  # read again
    tracking = client(endpoint)
    tracking.track("key", {}, request)
    assert tracking.flush()
    assert (endpoint.hits, tracking.counts().ignored) == ([], 1)


def test_what_is_not_taken_is_sent_again_with_the_same_id(endpoint):
    endpoint.status = 503
    tracking = client(endpoint)
    ids = [tracking.track("key", {"path": f"/{n}"}) for n in range(3)]
    assert not tracking.flush(0.3)
    endpoint.status = 200
    assert tracking.flush(10)
    assert [hit["id"] for hit in endpoint.hits] == ids
    assert len(endpoint.calls) > 1
    assert tracking.counts().sent == 3


def test_of_a_batch_only_what_may_yet_be_taken_is_sent_again(endpoint):
    endpoint.results = [
        {"ok": True},
        {"ok": False, "code": "NOT_FOUND", "error": "no"},
        {"ok": False, "code": "UNAVAILABLE"},
    ]
    tracking = client(endpoint, every_s=5)
    for number in range(3):
        tracking.track("key", {"path": f"/{number}"})
    assert not tracking.flush(0.3)
    endpoint.results = None
    assert tracking.flush(10)
    assert sorted(hit["path"] for hit in endpoint.hits) == ["/0", "/2"]
    counts = tracking.counts()
    assert (counts.sent, counts.refused, counts.waiting) == (2, 1, 0)


def test_a_full_buffer_drops_what_is_new_and_says_so(endpoint):
    endpoint.status = 503
    tracking = client(endpoint, buffer=5, every_s=5)
    for number in range(9):
        tracking.track("key", {"path": f"/{number}"})
    assert tracking.counts().dropped == 4
    endpoint.status = 200
    assert tracking.flush(10)
    assert [hit["path"] for hit in endpoint.hits] == [f"/{number}" for number in range(5)]


def test_what_waits_is_sent_when_it_is_closed(endpoint):
    tracking = client(endpoint, every_s=60)
    tracking.track("key", {})
    assert tracking.close()
    assert len(endpoint.hits) == 1


def test_nothing_raises_into_the_application(endpoint):
    tracking = client(endpoint)
    tracking.track("key", {"properties": {"odd": object()}})
    assert tracking.flush()
    tracking.track("key", 7)  # type: ignore[arg-type]


async def test_a_task_does_not_wait_for_the_service(endpoint):
    endpoint.status = 503
    tracking = client(endpoint)
    began = time.perf_counter()
    await tracking.atrack("key", {})
    assert time.perf_counter() - began < 0.5
    endpoint.status = 200
    assert await tracking.aflush()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_sends_its_own_hits_and_none_of_its_parents(endpoint):
    tracking = client(endpoint, every_s=60)
    tracking.track("key", {"path": "/parent"})
    child = os.fork()
    if child == 0:
        tracking.track("key", {"path": "/child"})
        os._exit(0 if tracking.flush(10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tracking.flush()
    assert sorted(hit["path"] for hit in endpoint.hits) == ["/child", "/parent"]


def test_what_does_not_fit_into_one_call_goes_with_the_next(endpoint, monkeypatch):
    monkeypatch.setattr("analytics_tracking.client.MOST_BYTES", 500)
    tracking = client(endpoint)
    for number in range(20):
        tracking.track("k", {"path": f"/{number}", "title": "x" * 100})
    assert tracking.flush(5)
    assert [hit["path"] for hit in endpoint.hits] == [f"/{number}" for number in range(20)]
    assert max(len(call) for call in endpoint.calls) <= 3
    assert tracking.counts().waiting == 0
