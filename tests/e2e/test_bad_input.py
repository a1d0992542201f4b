"""What nobody should send, to every endpoint: a clear refusal, good hits around it stored, every process alive."""

import asyncio
import gzip
import json
import re
import uuid
from io import BytesIO

import pytest

from tests.web.calls import Caller

pytestmark = pytest.mark.services

DEEP = 1000
MIB = 1024 * 1024
EVERY_FIELD = [
    "key", "id", "type", "name", "visitor_id", "session_id", "event_id", "path", "title", "host", "referrer",
    "utm_source", "screen_width", "language", "properties", "value", "currency", "interactive", "timestamp", "ip",
    "user_agent", "time_on_page", "scroll_depth", "tracking_type", "channel_type", "timezone", "session_timeout_s",
    "allowed_hosts", "scopes", "website_ids", "expires_at", "grace_hours", "replay_sampling", "honour_dnt",
    "events_retention_days",
]  # fmt: skip


def everywhere(value):
    """A body that says `value` in every field there is."""
    return "{" + ",".join(f'"{name}":{value}' for name in EVERY_FIELD) + "}"


BODIES = {
    "nothing": b"",
    "space": b"   ",
    "nul byte": b"\x00",
    "bad utf-8": b'{"key":"\xff\xfe","name":"\xc3\x28"}',
    "half a character": '{"key":"é"}'.encode()[:-3],
    "utf-16": '{"key": "a"}'.encode("utf-16"),
    "half an object": b'{"key":',
    "two objects": b"{}{}",
    "null": b"null",
    "a number": b"1",
    "a text": b'"key"',
    "a list": b"[1,2]",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"properties":' * DEEP + b"1" + b"}" * DEEP,
    "deep and never closed": b"[" * 60_000,
    "not a number": everywhere("NaN").encode(),
    "infinity": everywhere("-Infinity").encode(),
    "1e999": everywhere("1e999").encode(),
    "2^80": everywhere(str(2**80)).encode(),
    "a number of 60,000 digits": b'{"event_id":' + b"9" * 60_000 + b"}",
    "nulls": everywhere("null").encode(),
    "lists": everywhere("[]").encode(),
    "objects": everywhere('{"a":{"b":[1]}}').encode(),
    "booleans": everywhere("true").encode(),
    "numbers": everywhere("-1.5").encode(),
    "nul in texts": everywhere(r'"a\u0000b"').encode(),
    "lone surrogates": everywhere(r'"\ud800"').encode(),
    "surrogates the wrong way round": everywhere(r'"\udc00\ud800"').encode(),
    "lone surrogates as names": rb'{"\ud800":1,"properties":{"\udfff":"\ud800"}}',
    "long texts": everywhere('"' + "x" * 1500 + '"').encode(),
    "65 KiB": b'{"key":"' + b"x" * 65 * 1024 + b'"}',
    "10 MB": b'{"key":"' + b"x" * 10 * MIB + b'"}',
}
BOMB = gzip.compress(b"[" + b" " * 64 * MIB + b"]")
PACKED = {
    "a gzip bomb": (BOMB, "gzip"),
    "a bomb in a bomb": (gzip.compress(BOMB), "gzip"),
    "no gzip": (b'{"key":"a"}', "gzip"),
    "half a gzip": (gzip.compress(b'{"key":"a"}')[:-6], "gzip"),
    "unknown packing": (b"{}", "br, zstd"),
    "a form of names": (b"&".join(b"f%d=1" % n for n in range(5000)), None),
    "a form of bytes": (b"p=%FF%00%ED%A0%80&value=nan&screen_width=99999999999&title=%", None),
}
QUERIES = [
    "limit=NaN&cursor=%00&start_date=NaN&end_date=%00&timezone=%00&filter=%00",
    "limit=1e999&start_date=1e999&end_date=99999-01-01&timezone=..%2F..%2Fetc%2Fpasswd&filter=page:matches:(((",
    f"limit={2**80}&cursor={'x' * 3000}&start_date={2**80}&interval=century&metric=%FF&dimension=%ED%A0%80",
    "limit=-1&start_date=2026-02-30&end_date=0000-00-00&filter=page:is:%F0%9F&sort=%00&format=%00&compare=%00",
    "dimension=property:%00&metrics=%00,%FF&filter=" + "&filter=".join(["page:is:a"] * 50),
    "start_date=-infinity&end_date=infinity&dimension=page&filter=property:%ED%B0%80:is:%00",
    "key=%00&p=%FF&t=%ED%A0%80&r=%00&value=nan&screen_width=1e999&visitor_id=%00&timestamp=NaN&ip=%00",
]
IDS = ["0", "-1", "NaN", "1e999", str(2**80), "%00", "%FF", "%ED%A0%80", "..%2f..", "a" * 3000, str(uuid.uuid4())]


@pytest.fixture(scope="module")
async def operations(nobody):
    """Method and path of every operation of the API, and the pages beside it."""
    document = await (await nobody.get("/analytics/openapi.json")).json()
    found = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    assert len(found) > 25
    return [*found, ("GET", "/demo"), ("GET", "/demo/{name}"), ("GET", "/analytics/docs/{name}"), ("GET", "/nothing")]


@pytest.fixture(scope="module")
async def owner(token_of):
    """An admin of a workspace of its own: what survives of bad calls changes nobody else's."""
    return await token_of("admin", workspace="bad-input")


@pytest.fixture
async def around(nobody, admin, service, settled):
    """Good hits before, between and after the bad calls of a test; all are stored, and all processes are the same."""
    website, before, sent = await admin.new_website(), service.processes(), []

    async def hit():
        body = {"key": website["pixel_key"], "path": f"/{len(sent)}"}
        sent.append(body["path"])
        response = await nobody.post("/analytics/track", json=body)
        assert response.status == 200, await response.text()

    await hit()
    yield hit
    await hit()
    await settled()
    assert [event["path"] for event in service.events(website["id"])] == sent
    assert service.processes() == before, "a process died"
    assert service.sql("SELECT error FROM failed_records") == [], "bad input ends at the edge"
    assert "a request crashed" not in service.text()


async def refused(caller: Caller, method: str, path: str, **options):
    """Make the call. The answer must be no fault of the service; an error must have the one shape."""
    if isinstance(options.get("data"), bytes):
        options["data"] = BytesIO(options["data"])  # a large one is sent piece by piece
    async with caller.client.request(
        method, path, headers={"Authorization": f"Bearer {caller.token}", **options.pop("headers", {})}, **options
    ) as response:
        where = f"{method} {path[:100]}: {response.status}"
        assert response.status < 500, where
        if response.status >= 400:
            assert response.content_type == "application/json", where
            body = await response.json()
            assert body["ok"] is False, where
            assert {"ok", "error", "code"} <= set(body) <= {"ok", "error", "code", "details"}, where
        elif response.content_type == "image/gif":
            assert response.headers["X-Analytics"].startswith(("ignored: ", "recorded")), where
        elif response.content_type != "text/event-stream":
            await response.read()
        return response.status


async def in_turn(calls, around, width=8):
    """Make the calls, a few at a time, good hits between them; returns the statuses."""
    statuses = []
    for first in range(0, len(calls), width):
        statuses += await asyncio.gather(
            *(refused(*call, **options) for *call, options in calls[first : first + width])
        )
        if first % (width * 12) == 0:
            await around()
    return statuses


async def real(path, owner, key=None):
    """The path with ids of things that exist."""
    website = await owner.new_website()
    if "{token_id}" in path:
        token = await owner.post("/analytics/tokens", json={"name": "a"})
        path = path.replace("{token_id}", str((await token.json())["data"]["id"]))
    return (
        path.replace("{website_id}", str(website["id"]))
        .replace("{pixel_key}", website["pixel_key"])
        .replace("{name}", "x")
    )


async def test_bodies_that_are_none_are_refused_everywhere(operations, owner, around):
    calls = []
    for method, path in operations:
        if method in {"GET", "DELETE"}:
            continue
        filled = await real(path, owner)
        calls += [(owner, method, filled, {"data": body}) for body in BODIES.values()]
        for body, packing in PACKED.values():
            headers = (
                {"Content-Encoding": packing} if packing else {"Content-Type": "application/x-www-form-urlencoded"}
            )
            calls.append((owner, method, filled, {"data": body, "headers": headers}))
    statuses = await in_turn(calls, around)
    told = dict(zip([(method, path) for _, method, path, _ in calls], statuses, strict=True))
    assert set(statuses) >= {200, 400, 413}, told
    assert set(statuses) <= {200, 201, 400, 404, 409, 413}, told


async def test_each_wrong_body_is_a_400_where_a_body_is_needed(nobody, around):
    fine = {"nulls"}
    for path in ("/analytics/track", "/analytics/event", "/analytics/heartbeat", "/analytics/leave"):
        for name, body in BODIES.items():
            status = await refused(nobody, "POST", path, data=body)
            too_large = name in {"65 KiB", "10 MB"}
            unknown_key = {404} if "surrogate" in name or "nul in" in name or name == "long texts" else set()
            assert status in ({413} if too_large else {400} | unknown_key | ({200} if name in fine else set())), (
                path, name, status,
            )  # fmt: skip


async def test_bodies_of_a_get_are_left_alone(operations, owner, around):
    calls = [
        (owner, method, await real(path, owner), {"data": BODIES[name]})
        for method, path in operations
        if method == "GET" and not path.endswith("/stream")
        for name in ("nul byte", "deep lists", "65 KiB")
    ]
    await in_turn(calls, around)


async def test_wrong_queries_are_refused_everywhere(operations, owner, around):
    from yarl import URL

    calls = []
    for method, path in operations:
        if method == "GET":
            filled = await real(path, owner)
            calls += [(owner, method, str(URL(f"{filled}?{query}", encoded=True)), {}) for query in QUERIES]
    for *_, path, _ in calls:
        assert "?" in path
    statuses = []
    for caller, method, path, _ in calls:
        statuses.append(await refused_raw(caller, method, path))
    await around()
    assert statuses.count(400) >= len(QUERIES) * 3
    assert set(statuses) <= {200, 304, 400, 404}


async def refused_raw(caller: Caller, method: str, path: str):
    """The same for an address that is to go out as it is written."""
    from yarl import URL

    base = str(caller.client._base_url).rstrip("/")
    async with caller.client.request(
        method, URL(base + path, encoded=True), headers={"Authorization": f"Bearer {caller.token}"}
    ) as response:
        where = f"{method} {path[:150]}: {response.status}"
        assert response.status < 500, where
        if response.status >= 400:
            assert (await response.json())["ok"] is False, where
        return response.status


async def test_ids_that_name_nothing_are_refused_everywhere(operations, owner, around):
    statuses = []
    for method, path in operations:
        if "{" not in path:
            continue
        for bad in IDS:
            filled = path
            for name in ("{website_id}", "{token_id}", "{pixel_key}", "{name}"):
                filled = filled.replace(name, bad)
            statuses.append(await refused_raw(owner, method, filled))
    await around()
    assert set(statuses) <= {200, 400, 404}
    assert statuses.count(404) > len(statuses) / 2


async def test_unknown_and_foreign_keys_and_tokens_reach_nothing(operations, owner, admin, nobody, website, around):
    for method, path in operations:
        if "{website_id}" not in path:
            continue
        foreign = re.sub(r"{\w+}", "1", path.replace("{website_id}", str(website["id"])))
        assert await refused(owner, method, foreign, json={"name": "mine", "host": "a.com"}) == 404, (method, path)
        for token in (None, "", "x", "\u00e9" * 20, "a" * 600, "an_" + "0" * 40):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with nobody.client.request(method, foreign, headers=headers) as response:
                assert response.status == 401, (method, path, token)
                assert (await response.json())["code"] == "UNAUTHENTICATED"
    kept = await (await admin.get(f"/analytics/websites/{website['id']}")).json()
    assert kept["data"]["name"] == website["name"]


async def test_requests_that_are_none_are_told_so(service, around):
    host, port = "127.0.0.1", service.port
    for raw in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /analytics/track HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /analytics/track HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /analytics/track HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n",
        b"GET /analytics/websites HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /analytics/pixel?key=\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(raw)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        status = int(head.split()[1])
        assert status < 500, (raw[:60], head)
        if status != 200:
            length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
            assert json.loads(await reader.readexactly(length))["ok"] is False, raw[:60]
        writer.close()
    await around()


async def test_a_body_that_stops_half_way_holds_nobody_up(service, around):
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b'POST /analytics/track HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{"key":')
    await writer.drain()
    await around()
    writer.close()
    await around()
