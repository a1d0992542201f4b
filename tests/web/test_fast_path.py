"""The fast path: it answers as the views do, leaves them all that is not plain, and keeps the order of a connection."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestServer

from analytics_app.errors import Unavailable
from web import fast_path
from web.server import Runner
from web.taken import Answer, Taken

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)
VISITOR = {"visitor_id": "v-1", "session_id": "s-1"}
OF_THE_MOMENT = {"date", "x-request-id"}
WITHIN_S = 5


def request(path, body, *, method="POST", version="1.1", **headers):
    """A request as it goes over the wire."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Host": "t", "User-Agent": CHROME, "Accept": "*/*", "Content-Length": str(len(sent)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines]).encode() + b"\r\n\r\n" + sent


async def answer(reader):
    """One answer: its status, headers and body."""
    first = "HTTP/1.1 100 Continue"
    while first == "HTTP/1.1 100 Continue":
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)).decode()
        first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), WITHIN_S)
    return int(first.split()[1]), headers, json.loads(body)


@asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def sent_to(server, wire, *, in_two=False):
    """The answer to a request that comes at once, or in two parts: then it is for the view."""
    async with connected(server) as (reader, writer):
        if in_two:
            writer.write(wire[:-1])
            await asyncio.sleep(0.05)
        writer.write(wire if not in_two else wire[-1:])
        return await answer(reader)


@pytest.fixture
def asked(monkeypatch):
    """What the fast path was asked for, and what it took."""
    seen = []
    before = fast_path.taken

    def watched(*given):
        taken = before(*given)
        seen.append(taken)
        return taken

    monkeypatch.setattr(fast_path, "taken", watched)
    return seen


@pytest.fixture
async def key(admin):
    from web.intake import EVENT_IDS

    await EVENT_IDS.mint()  # the first ids of a process are waited for
    return (await admin.new_website())["pixel_key"]


def plain(key):
    """A plain request for each route."""
    return {
        "/analytics/track": {"key": key, "path": "/a?utm_source=x", "title": "A", **VISITOR},
        "/analytics/event": {"key": key, "name": "signup", "value": 2.5, "currency": "EUR", **VISITOR},
        "/analytics/heartbeat": {"key": key, "event_id": 1, "session_id": "s-1", "time_on_page": 15},
        "/analytics/leave": {"key": key, "session_id": "s-1"},
    }


def lasting(answered):
    """What of an answer does not differ from one request to the next."""
    status, headers, body = answered
    kept = {name: value for name, value in headers.items() if name not in OF_THE_MOMENT | {"content-length"}}
    return status, kept, {**body, "event_id": "event_id" in body}


def known(hit):
    """What of a hit that went to Kafka does not differ from one to the next."""
    from analytics_app.records import HITS

    made = HITS.item(hit)
    return {name: getattr(made, name) for name in made.__struct_fields__ if name not in ("event_id", "at_ms")} | {
        "its": type(made)
    }


async def test_there_is_a_plain_request_for_each_route(key):
    assert set(fast_path.ROUTES) == set(plain(key))


@pytest.mark.parametrize("headers", [{}, {"DNT": "1"}, {"User-Agent": "Googlebot/2.1"}], ids=["plain", "dnt", "bot"])
@pytest.mark.parametrize("path", ["track", "event", "heartbeat", "leave"])
async def test_what_the_fast_path_takes_is_answered_and_sent_as_the_view_would(
    client, key, sent, noted, asked, path, headers
):
    path = f"/analytics/{path}"
    wire = request(path, plain(key)[path], **headers)
    fast = await sent_to(client.server, wire)
    assert len(asked) == 1
    assert asked[0] is not None
    by_fast_path, noted_by_fast_path = list(sent), len(noted)
    sent.clear(), noted.clear()
    view = await sent_to(client.server, wire, in_two=True)
    assert len(asked) == 1, "a request in two parts is for the view"
    assert lasting(fast) == lasting(view)
    assert [(to, known(hit)) for to, hit in by_fast_path] == [(to, known(hit)) for to, hit in sent]
    assert noted_by_fast_path == len(noted)


TRACK = "/analytics/track"
NOT_PLAIN = {
    "no JSON": (400, lambda _: request(TRACK, b"{")),
    "nothing": (400, lambda _: request(TRACK, b"")),
    "no object": (400, lambda _: request(TRACK, [1])),
    "no key": (400, lambda _: request(TRACK, {"path": "/a"})),
    "an unknown key": (404, lambda _: request(TRACK, {"key": "00000000-0000-4000-8000-000000000000"})),
    "a time of its own": (401, lambda key: request(TRACK, {"key": key, "timestamp": "2026-01-01T00:00:00Z"})),
    "a query": (200, lambda key: request(f"{TRACK}?a=b", {"key": key})),
    "another path": (404, lambda key: request(f"{TRACK}s", {"key": key})),
    "another method": (405, lambda key: request(TRACK, {"key": key}, method="PUT")),
    "an older HTTP": (200, lambda key: request(TRACK, {"key": key}, version="1.0")),
    "the last of its connection": (200, lambda key: request(TRACK, {"key": key}, Connection="close")),
    "an unknown coding": (400, lambda key: request(TRACK, {"key": key}, Content_Encoding="zstd")),
    "too much": (413, lambda key: request(TRACK, {"key": key, "title": "a" * 70_000})),
    "what will be waited for": (200, lambda key: request(TRACK, {"key": key}, Expect="100-continue")),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
async def test_what_is_not_plain_is_for_the_view(client, key, asked, name):
    status, wire = NOT_PLAIN[name]
    found, headers, said = await sent_to(client.server, wire(key))
    assert found == status
    assert said["ok"] is (status == 200)
    assert headers["x-request-id"]
    assert not any(asked)


async def test_a_compressed_hit_is_for_the_view(client, key, sent, asked):
    body = gzip.compress(json.dumps(plain(key)["/analytics/track"]).encode())
    status, _, said = await sent_to(client.server, request("/analytics/track", body, Content_Encoding="gzip"))
    assert (status, said["ok"], len(sent), asked) == (200, True, 1, [])


async def test_a_hit_that_must_wait_for_anything_but_kafka_is_for_the_view(client, key, sent, asked, monkeypatch):
    from web import intake

    for late in ("mint_at_once", "take_at_once"):
        with monkeypatch.context() as patch:
            if late == "mint_at_once":
                patch.setattr(intake, "EVENT_IDS", _Ids())
            else:
                patch.setattr(intake.LIMITS, late, lambda _: False)
            status, _, _ = await sent_to(client.server, request("/analytics/track", plain(key)["/analytics/track"]))
            assert (status, asked.pop()) == (200, None)
    assert len(sent) == 2


class _Ids:
    """A block that is used up, and a new one that takes its time."""

    def mint_at_once(self):
        return None

    async def mint(self):
        await asyncio.sleep(0.01)
        return 7


async def test_a_fault_in_the_fast_path_is_told_the_log_and_answered_by_the_view(client, key, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setitem(fast_path.ROUTES, "/analytics/track", broken)
    told = []
    monkeypatch.setattr(fast_path.log, "exception", told.append, raising=False)
    status, _, said = await sent_to(client.server, request("/analytics/track", plain(key)["/analytics/track"]))
    assert (status, said["ok"]) == (200, True)
    assert told == ["a hit could not be taken at once"]


# The connection. A server of its own, with a route that answers when the test says so.


class Route:
    """Takes numbers; each is acknowledged when the test says so."""

    def __init__(self):
        self.waits = []

    def __call__(self, _peer, _headers, sent):
        waits = asyncio.get_running_loop().create_future()
        self.waits.append(waits)
        return Taken(Answer(event_id=int(sent)), waits)


@pytest.fixture
async def route(monkeypatch):
    made = Route()
    monkeypatch.setattr(fast_path, "ROUTES", {"/fast": made})
    return made


@pytest.fixture
async def server(route, request):
    options = getattr(request, "param", {})

    async def view(received):
        await received.read()
        return aiohttp_web.json_response({"by": "view"})

    class Own(TestServer):
        async def _make_runner(self, **_):
            return Runner(self.app, **options)

    application = aiohttp_web.Application()
    application.router.add_post("/{any}", view)
    async with Own(application) as served:
        yield served


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_hit_is_answered_once_it_is_acknowledged_and_not_before(server, route):
    async with connected(server) as (reader, writer):
        for number in (1, 2):
            writer.write(request("/fast", str(number).encode()))
            await until(lambda count=number: len(route.waits) == count)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
            route.waits[-1].set_result(None)
            assert (await answer(reader))[2]["event_id"] == number


@pytest.mark.parametrize("next_path", ["/fast", "/slow"])
async def test_what_comes_while_a_hit_waits_is_answered_after_it(server, route, next_path):
    async with connected(server) as (reader, writer):
        writer.write(request("/fast", b"1"))
        await until(lambda: route.waits)
        writer.write(request(next_path, b"2"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        route.waits[0].set_result(None)
        assert (await answer(reader))[2]["event_id"] == 1
        assert (await answer(reader))[2] == {"by": "view"}  # it has waited in line: aiohttp's task has it


async def test_hits_in_one_segment_are_answered_in_order(server, route):
    async with connected(server) as (reader, writer):
        writer.write(request("/fast", b"1") + request("/slow", b"2"))
        assert [(await answer(reader))[2] for _ in range(2)] == [{"by": "view"}] * 2
        writer.write(request("/fast", b"3"))
        await until(lambda: route.waits)
        route.waits[0].set_result(None)
        assert (await answer(reader))[2]["event_id"] == 3


async def test_a_hit_that_kafka_does_not_confirm_is_answered_503_and_the_connection_goes_on(server, route):
    async with connected(server) as (reader, writer):
        writer.write(request("/fast", b"1"))
        await until(lambda: route.waits)
        route.waits[0].set_exception(Unavailable("not known to be stored"))
        status, headers, said = await answer(reader)
        assert (status, said["code"], said["error"]) == (503, Unavailable.code, "not known to be stored")
        assert headers["retry-after"] == Unavailable("").headers["Retry-After"]
        writer.write(request("/slow", b"2"))
        assert (await answer(reader))[2] == {"by": "view"}


async def test_a_client_that_goes_away_harms_nobody(server, route, caplog):
    async with connected(server) as (_, writer):
        writer.write(request("/fast", b"1"))
        await until(lambda: route.waits)
        writer.transport.abort()
    await asyncio.sleep(0.05)
    route.waits[0].set_result(None)
    await asyncio.sleep(0.05)
    async with connected(server) as (reader, writer):
        writer.write(request("/slow", b"2"))
        assert (await answer(reader))[2] == {"by": "view"}
    assert caplog.records == []


async def test_a_server_that_stops_answers_the_hits_that_wait(server, route):
    async with connected(server) as (reader, writer):
        writer.write(request("/fast", b"1"))
        await until(lambda: route.waits)
        stopping = asyncio.create_task(server.close())
        await asyncio.sleep(0.1)
        assert not stopping.done()
        route.waits[0].set_result(None)
        assert (await answer(reader))[2]["event_id"] == 1
        assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
        await stopping


@pytest.mark.parametrize("server", [{"keepalive_timeout": 1.0}], indirect=True, ids=["1 s"])
async def test_a_connection_in_use_is_not_closed_as_idle(route, server):
    async with connected(server) as (reader, writer):
        for number in range(6):
            writer.write(request("/fast", str(number).encode()))
            await until(lambda count=number + 1: len(route.waits) == count)
            await asyncio.sleep(0.25)
            route.waits[-1].set_result(None)
            assert (await answer(reader))[2]["event_id"] == number
        assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""  # idle at last, it is closed
