"""What every answer carries, CORS, health, figures, pages, the OpenAPI document, and Postgres away."""

import asyncio
import gzip
import re

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from analytics_app.settings import Settings
from tests.web.calls import Caller, assert_error

PUBLIC_POST = "/analytics/event"


async def raw(client, request: bytes) -> bytes:
    """What the server says to bytes that a client would not send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /analytics/websites?x=" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\x00: y\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["words", "line", "header", "NUL", "TLS"],
)
async def test_what_is_no_request_is_answered_in_the_one_shape(client, request_: bytes):
    answer = await raw(client, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"X-Request-Id" in head
    assert body == b'{"ok":false,"error":"This is not a request that can be read","code":"VALIDATION_ERROR"}'


async def test_a_chunked_body_that_breaks_off_is_a_clear_error(client, admin: Caller):
    request = (
        b"POST /analytics/websites HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + admin.token.encode()
        + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    )
    assert b" 400 " in (await raw(client, request)).split(b"\r\n")[0]


# CORS.


async def test_a_page_of_any_origin_may_call_a_public_endpoint(nobody: Caller):
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    response = await nobody.call("OPTIONS", PUBLIC_POST, headers=headers)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_errors_of_public_endpoints_can_be_read_by_the_page(nobody: Caller):
    response = await nobody.post(PUBLIC_POST, data=b"nonsense", headers={"Origin": "https://a.example"})
    await assert_error(response, 400, "VALIDATION_ERROR")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


async def test_no_page_may_call_a_management_endpoint(admin: Caller, nobody: Caller):
    origin = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    preflight = await nobody.call("OPTIONS", "/analytics/websites", headers=origin)
    await assert_error(preflight, 405, "METHOD_NOT_ALLOWED")
    for response in (preflight, await admin.get("/analytics/websites", headers=origin)):
        assert not [name for name in response.headers if name.startswith("Access-Control")]


# Health and figures.


async def test_a_living_process_says_so(nobody: Caller):
    response = await nobody.get("/health/live")
    assert (response.status, await response.json()) == (200, {"ok": True})


async def test_readiness_names_the_part_that_lacks(nobody: Caller, monkeypatch):
    from web import health

    async def fine() -> None:
        return None

    async def hangs() -> None:
        await asyncio.sleep(3600)

    async def breaks() -> None:
        raise RuntimeError

    monkeypatch.setitem(health.CHECKS["web"], "kafka", fine)
    response = await nobody.get("/health/ready")
    parts = dict.fromkeys(("postgres", "migrations", "definitions", "kafka"), "ready")
    assert (response.status, await response.json()) == (200, {"ok": True, "parts": parts})
    for check, says in ((hangs, "no answer within 0.1 s"), (breaks, "RuntimeError")):
        monkeypatch.setattr(health, "WITHIN_S", 0.1 if check is hangs else 2.0)
        monkeypatch.setitem(health.CHECKS["web"], "kafka", check)
        response = await nobody.get("/health/ready")
        body = await response.json()
        assert (response.status, response.headers["Retry-After"], body["code"]) == (503, "2", "UNAVAILABLE")
        assert body["parts"] == {**parts, "kafka": says}
        assert f"kafka: {says}" in body["error"]


async def test_figures_are_shown_to_this_machine_and_to_admins_only(by_scope, nobody: Caller):
    response = await nobody.get("/metrics")
    assert response.status == 200
    assert response.content_type == "text/plain"
    text = await response.text()
    for name in ("analytics_", "faust_events", "process_resident_memory_bytes"):
        assert f"\n# TYPE {name}" in text
    passed_on = {"X-Forwarded-For": "203.0.113.9"}
    await assert_error(await nobody.get("/metrics", headers=passed_on), 401, "UNAUTHENTICATED")
    await assert_error(await by_scope["write"].get("/metrics", headers=passed_on), 403, "FORBIDDEN")
    assert (await by_scope["admin"].get("/metrics", headers=passed_on)).status == 200


# Pages.


async def test_the_tracker_is_kept_by_browsers_and_asked_for_by_its_tag(nobody: Caller):
    response = await nobody.get("/js/analytics.js?key=x")
    assert (response.status, response.content_type) == (200, "text/javascript")
    assert "max-age" in response.headers["Cache-Control"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    again = await nobody.get("/js/analytics.js", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_an_asset_is_compressed_for_whoever_takes_that(nobody: Caller):
    plain = await nobody.get("/analytics/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    zipped = await nobody.get("/analytics/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 4
    assert await zipped.read() == await plain.read()


async def test_every_page_says_what_it_may_load_and_that_nobody_may_frame_it(nobody: Caller, admin: Caller):
    await admin.new_website()
    for path in ("/analytics/docs", "/demo"):
        response = await nobody.get(path)
        assert (response.status, response.content_type) == (200, "text/html"), path
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"]
        page = await response.text()
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//(?!example\.com|127|localhost)""", page)
        for link in re.findall(r'(?:src|href)="(/[^"?#]+\.(?:js|css))"', page):
            assert (await nobody.get(link)).status == 200, link


async def test_the_demo_is_shown_to_this_machine_only_and_not_where_it_is_off(
    nobody: Caller, admin: Caller, monkeypatch
):
    await admin.new_website()
    from web import pages

    for path in ("/demo", "/demo/pricing", "/demo/demo.js"):
        assert (await nobody.get(path)).status == 200
        await assert_error(await nobody.get(path, headers={"X-Forwarded-For": "::1"}), 404, "NOT_FOUND")
    await assert_error(await nobody.get("/demo/../secrets"), 404, "NOT_FOUND")
    await assert_error(await nobody.get("/demo/index.html"), 404, "NOT_FOUND")
    monkeypatch.setattr(pages, "settings", lambda: Settings(demo=False))
    await assert_error(await nobody.get("/demo"), 404, "NOT_FOUND")


async def test_the_demo_cannot_be_made_to_carry_what_its_address_says(nobody: Caller, admin: Caller):
    await admin.new_website()
    page = await (await nobody.get("/demo", headers={"Host": 'a"><script>alert(1)</script>'})).text()
    assert "<script>alert" not in page


# The OpenAPI document.


async def document(nobody: Caller) -> dict:
    response = await nobody.get("/analytics/openapi.json")
    assert response.status == 200
    return await response.json()


async def test_the_document_names_every_endpoint_under_its_full_path(nobody: Caller):
    paths = (await document(nobody))["paths"]
    assert {"get", "post"} == set(paths["/analytics/websites"])
    assert {"get", "put", "patch", "delete"} == set(paths["/analytics/websites/{website_id}"])
    for path in ("/analytics/track", "/analytics/event", "/analytics/heartbeat", "/analytics/leave"):
        assert set(paths[path]) == {"post"}
        assert paths[path]["post"]["security"] == []


async def test_every_operation_is_described_secured_and_answers_errors_in_the_one_shape(nobody: Caller):
    whole = await document(nobody)
    assert whole["openapi"].startswith("3.1")
    names = [op["operationId"] for methods in whole["paths"].values() for op in methods.values()]
    assert len(names) == len(set(names))
    for path, methods in whole["paths"].items():
        for method, op in methods.items():
            assert op["summary"], (method, path)
            assert "security" in op
            assert "default" in op["responses"]
            for name in re.findall(r"{(\w+)}", path):
                assert name in [parameter["name"] for parameter in op["parameters"] if parameter["in"] == "path"]
            if op["security"] == [{"token": []}]:
                assert {"401", "403"} <= set(op["responses"])


async def test_every_reference_in_the_document_leads_somewhere(nobody: Caller):
    whole = await document(nobody)
    for kind, name in set(re.findall(r"#/components/(\w+)/([\w.-]+)", str(whole))):
        assert name in whole["components"][kind]


# Postgres away.


async def test_while_postgres_refuses_there_is_503_with_when_to_try_again(admin: Caller, monkeypatch):
    from analytics_app.websites import store

    async def refuse(*_, **__):
        raise OperationalError("select", {}, psycopg.OperationalError("the server has gone"))

    monkeypatch.setattr(store, "websites_of", refuse)
    response = await admin.get("/analytics/websites")
    body = await assert_error(response, 503, "UNAVAILABLE")
    assert int(response.headers["Retry-After"]) > 0
    assert "gone" not in body["error"]


async def test_a_postgres_that_hangs_is_noticed_and_nobody_waits_for_it(admin: Caller, monkeypatch):
    from analytics_app.websites import store
    from web import presence

    released = asyncio.Event()

    async def hang(*_, **__):
        await released.wait()
        raise OperationalError("select", {}, psycopg.OperationalError("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(store, "websites_of", hang)
        patched.setattr(presence, "ping", hang)
        began = asyncio.get_running_loop().time()
        response = await admin.get("/analytics/websites")
        await assert_error(response, 503, "UNAVAILABLE")
        assert asyncio.get_running_loop().time() - began < 2.5
        began = asyncio.get_running_loop().time()
        await assert_error(await admin.get("/analytics/websites"), 503, "UNAVAILABLE")
        assert asyncio.get_running_loop().time() - began < 0.2
        released.set()
        await asyncio.sleep(0.1)
    for _ in range(40):
        await asyncio.sleep(0.1)
        if not presence.PRESENCE.is_away():
            break
    assert (await admin.get("/analytics/websites")).status == 200


def test_gzip_is_what_it_says():
    from web.assets import asset_of

    assert gzip.decompress(asset_of(b"abc", "text/css").zipped) == b"abc"
