import pytest

from analytics_app.records import HITS
from tests.web.calls import Caller, assert_error

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
}


@pytest.fixture
async def key(admin: Caller) -> str:
    return (await admin.new_website())["pixel_key"]


async def test_each_hit_of_a_batch_is_answered_in_its_order(nobody: Caller, key: str, sent):
    hits = [{"key": key, "path": f"/{number}"} for number in range(3)]
    response = await nobody.post("/analytics/batch", json={"hits": hits}, headers=BROWSER)
    assert response.status == 200
    results = (await response.json())["results"]
    assert [result["ok"] for result in results] == [True] * 3
    assert [(HITS.item(hit).event_id, HITS.item(hit).path) for _, hit in sent] == [
        (result["event_id"], f"/{number}") for number, result in enumerate(results)
    ]


async def test_a_wrong_hit_harms_no_other(nobody: Caller, key: str, sent):
    hits = [
        {"key": key, "path": "/"},
        {"key": key, "path": 4},
        {"key": "unknown"},
        {"path": "/"},
        {"key": key, "type": "?"},
    ]
    response = await nobody.post("/analytics/batch", json={"hits": hits}, headers=BROWSER)
    assert response.status == 200
    results = (await response.json())["results"]
    assert [result.get("code") for result in results] == [
        None,
        "VALIDATION_ERROR",
        "NOT_FOUND",
        "VALIDATION_ERROR",
        "VALIDATION_ERROR",
    ]
    assert results[1]["details"][0]["field"] == "path"
    assert len(sent) == 1


async def test_who_opted_out_is_ignored_in_a_batch_too(nobody: Caller, key: str, sent):
    headers = {**BROWSER, "Sec-GPC": "1"}
    response = await nobody.post("/analytics/batch", json={"hits": [{"key": key, "path": "/"}]}, headers=headers)
    assert (await response.json())["results"] == [{"ok": True, "ignored": "gpc"}]
    assert sent == []


@pytest.mark.parametrize("hits", [[], None, {}, [1], [{}] * 1001])
async def test_what_is_no_batch_is_refused_as_a_whole(nobody: Caller, hits, sent):
    await assert_error(await nobody.post("/analytics/batch", json={"hits": hits}), 400, "VALIDATION_ERROR")
    assert sent == []


async def test_a_server_may_report_whose_request_it_was(nobody: Caller, admin: Caller, key: str, sent):
    hit = {"key": key, "path": "/", "ip": "8.8.8.8", "user_agent": BROWSER["User-Agent"]}
    refused = (await (await nobody.post("/analytics/batch", json={"hits": [hit]})).json())["results"]
    assert [result["code"] for result in refused] == ["UNAUTHENTICATED"]
    taken = (await (await admin.post("/analytics/batch", json={"hits": [hit]})).json())["results"]
    assert taken[0]["ok"] is True
    assert HITS.item(sent[0][1]).country == "US"


async def test_the_service_says_503_where_none_of_a_batch_can_be_stored(nobody: Caller, key: str, monkeypatch):
    from analytics_app.errors import Unavailable
    from web.intake import EDGE

    def refuse(session_key: str, hit: bytes) -> None:
        raise Unavailable

    monkeypatch.setattr(EDGE, "put", refuse)
    hits = {"hits": [{"key": key, "path": "/"}] * 2}
    await assert_error(await nobody.post("/analytics/batch", json=hits, headers=BROWSER), 503, "UNAVAILABLE")
