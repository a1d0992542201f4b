"""The reference's sections Website Management and Error Responses, and what holds for every endpoint."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.web.calls import Caller, assert_error, new_experiment

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
WEBSITE = {"name": "My Website", "host": "example.com", "tracking_type": "lightweight", "channel_type": "website"}
REPORT = {"name": "Weekly", "frequency": "weekly", "recipients": ["user@example.com"]}
ALERT = {"name": "Traffic has fallen", "type": "traffic_drop"}
RULE = {"rule_type": "whitelist", "match_type": "ip", "match_value": "192.168.1.100", "description": "Office IP"}
WEBSITE_FIELDS = {"id", "name", "host", "pixel_key", "tracking_enabled", "is_enabled", "created_at"}

HEATMAP = {"name": "Homepage Clicks", "url_pattern": "/", "type": "click"}

PUBLIC = {
    # The reference's.
    "/analytics/track",
    "/analytics/track/{pixel_key}",
    "/analytics/pixel",
    "/analytics/event",
    "/analytics/heartbeat",
    "/analytics/leave",
    "/analytics/batch",
    "/analytics/experiment/variant",
    "/analytics/experiment/exposure",
    "/analytics/replay",
    "/js/{name}",
    "/replays",
    "/replays/{name}",
    "/analytics/email-reports/unsubscribe",
    "/analytics/gdpr/consent",
    "/analytics/gdpr/consent/status",
    "/analytics/heatmap",
    # The service's own.
    "/analytics/openapi.json",
    "/analytics/heatmaps/view",
    "/analytics/heatmaps/view/{name}",
    "/analytics/docs",
    "/analytics/docs/{name}",
    "/health/live",
    "/health/ready",
    # To browsers on this machine only.
    "/demo",
    "/demo/{name}",
}


@dataclass(frozen=True)
class Row:
    """One endpoint: how it is called, what it needs, what it answers."""

    method: str
    path: str
    scope: str
    status: int
    shape: str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


EXPERIMENT = {"name": "Button Colour Test", "goal_type": "pageview", "goal_value": "/signup/complete"}
VARIANT = {"name": "Blue Button", "is_control": False, "weight": 50, "config": {"button_color": "#0066cc"}}

GOAL = {"name": "Signup", "type": "pageview", "match_type": "equals", "match_value": "/signup/complete"}
FUNNEL = {"name": "Checkout Funnel", "is_strict": False, "window_hours": 24}
STEP = {"name": "Add to Cart", "match_type": "pageview", "match_value": "/cart/add", "is_optional": False}

BARE = {
    "results": {"experiment", "metrics", "analysis", "health"},
    "analysis": {"funnel_id", "funnel_name", "summary", "steps"},
    "trend": set(),
    "preview": {"subject", "html", "text"},
    "goal stats": {"total_conversions", "conversion_rate", "total_value", "average_value"},
    "stats": {"total_pageviews", "unique_visitors", "bounce_rate", "avg_session_duration", "period"},
    "bot stats": {"period", "totals", "bot_types", "top_bots"},
    "heatmap": {"heatmap_id", "data", "viewport"},
    "elements": {"heatmap_id", "elements", "viewport"},
    "realtime": {"active_visitors", "active_pages", "locations", "timestamp"},
}
"""What the reference shows without an envelope, and the fields it shows."""
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

TABLE = [
    Row("GET", "/analytics/websites", "read", 200, "list"),
    Row("POST", "/analytics/websites", "write", 201, "website", WEBSITE),
    Row("GET", "/analytics/websites/{id}", "read", 200, "website"),
    Row("PUT", "/analytics/websites/{id}", "write", 200, "website", WEBSITE),
    Row("PATCH", "/analytics/websites/{id}", "write", 200, "website", {"name": "Renamed"}),
    Row("POST", "/analytics/websites/{id}/pixel-key", "write", 201, "one"),
    Row("DELETE", "/analytics/websites/{id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/stats", "read", 200, "stats"),
    Row("GET", "/analytics/websites/{id}/timeseries", "read", 200, "timeseries"),
    Row("GET", "/analytics/websites/{id}/breakdown?dimension=page", "read", 200, "list"),
    Row("GET", "/analytics/websites/{id}/export", "read", 200, "list"),
    Row("GET", "/analytics/websites/{id}/realtime", "read", 200, "realtime"),
    Row("GET", "/analytics/websites/{id}/funnels", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/funnels", "write", 201, "one", FUNNEL),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/funnels/{funnel_id}", "write", 200, "one", FUNNEL),
    Row("PATCH", "/analytics/websites/{id}/funnels/{funnel_id}", "write", 200, "one", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/funnels/{funnel_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}/analysis", "read", 200, "analysis"),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}/trend", "read", 200, "trend"),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}/backfill", "read", 200, "one"),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}/steps", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/funnels/{funnel_id}/steps", "write", 201, "one", STEP),
    Row("PUT", "/analytics/websites/{id}/funnels/{funnel_id}/steps", "write", 200, "list", {"steps": [STEP]}),
    Row("GET", "/analytics/websites/{id}/funnels/{funnel_id}/steps/{step_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/funnels/{funnel_id}/steps/{step_id}", "write", 200, "one", STEP),
    Row("PATCH", "/analytics/websites/{id}/funnels/{funnel_id}/steps/{step_id}", "write", 200, "one", {"name": "B"}),
    Row("DELETE", "/analytics/websites/{id}/funnels/{funnel_id}/steps/{step_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/bots/stats", "read", 200, "bot stats"),
    Row("GET", "/analytics/websites/{id}/bots/detections", "read", 200, "list"),
    Row("GET", "/analytics/websites/{id}/bots/rules", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/bots/rules", "write", 201, "one", RULE),
    Row("GET", "/analytics/websites/{id}/bots/rules/{rule_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/bots/rules/{rule_id}", "write", 200, "one", RULE),
    Row("PATCH", "/analytics/websites/{id}/bots/rules/{rule_id}", "write", 200, "one", {"description": "Other"}),
    Row("DELETE", "/analytics/websites/{id}/bots/rules/{rule_id}", "write", 204, "none"),
    Row("POST", "/analytics/websites/{id}/bots/dry-run", "read", 200, "one", RULE),
    Row("GET", "/analytics/websites/{id}/email-reports", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/email-reports", "write", 201, "one", REPORT),
    Row("GET", "/analytics/websites/{id}/email-reports/{report_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/email-reports/{report_id}", "write", 200, "one", REPORT),
    Row("PATCH", "/analytics/websites/{id}/email-reports/{report_id}", "write", 200, "one", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/email-reports/{report_id}", "write", 204, "none"),
    Row("POST", "/analytics/websites/{id}/email-reports/{report_id}/preview", "read", 200, "preview"),
    Row("GET", "/analytics/websites/{id}/email-reports/{report_id}/sends", "read", 200, "list"),
    Row("GET", "/analytics/websites/{id}/alerts", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/alerts", "write", 201, "one", ALERT),
    Row("GET", "/analytics/websites/{id}/alerts/{alert_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/alerts/{alert_id}", "write", 200, "one", ALERT),
    Row("PATCH", "/analytics/websites/{id}/alerts/{alert_id}", "write", 200, "one", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/alerts/{alert_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/alerts/{alert_id}/firings", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/alerts/{alert_id}/test", "write", 202, "one"),
    Row("GET", "/analytics/gdpr/audit", "admin", 200, "list"),
    Row("GET", "/analytics/websites/{id}/experiments", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/experiments", "write", 201, "one", EXPERIMENT),
    Row("GET", "/analytics/websites/{id}/experiments/{experiment_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/experiments/{experiment_id}", "write", 200, "one", EXPERIMENT),
    Row("PATCH", "/analytics/websites/{id}/experiments/{experiment_id}", "write", 200, "one", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/experiments/{experiment_id}", "write", 204, "none"),
    Row("POST", "/analytics/websites/{id}/experiments/{experiment_id}/start", "write", 200, "one"),
    Row("POST", "/analytics/websites/{id}/experiments/{running_id}/pause", "write", 200, "one"),
    Row("POST", "/analytics/websites/{id}/experiments/{running_id}/stop", "write", 200, "one"),
    Row("GET", "/analytics/websites/{id}/experiments/{experiment_id}/results", "read", 200, "results"),
    Row("GET", "/analytics/websites/{id}/experiments/{running_id}/results/trend", "read", 200, "trend"),
    Row("GET", "/analytics/websites/{id}/experiments/{experiment_id}/variants", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/experiments/{experiment_id}/variants", "write", 201, "one", VARIANT),
    Row("GET", "/analytics/websites/{id}/experiments/{experiment_id}/variants/{variant_id}", "read", 200, "one"),
    Row(
        "PUT",
        "/analytics/websites/{id}/experiments/{experiment_id}/variants/{variant_id}",
        "write",
        200,
        "one",
        VARIANT,
    ),
    Row(
        "PATCH",
        "/analytics/websites/{id}/experiments/{experiment_id}/variants/{variant_id}",
        "write",
        200,
        "one",
        {"weight": 20},
    ),
    Row("DELETE", "/analytics/websites/{id}/experiments/{experiment_id}/variants/{variant_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/goals", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/goals", "write", 201, "goal", GOAL),
    Row("GET", "/analytics/websites/{id}/goals/{goal_id}", "read", 200, "goal"),
    Row("PUT", "/analytics/websites/{id}/goals/{goal_id}", "write", 200, "goal", GOAL),
    Row("PATCH", "/analytics/websites/{id}/goals/{goal_id}", "write", 200, "goal", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/goals/{goal_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/goals/{goal_id}/conversions", "read", 200, "list"),
    Row("GET", "/analytics/websites/{id}/goals/{goal_id}/conversions/stats", "read", 200, "goal stats"),
    Row("GET", "/analytics/websites/{id}/goals/{goal_id}/backfill", "read", 200, "one"),
    Row("POST", "/analytics/websites/{id}/goals/{goal_id}/backfill", "write", 202, "one"),
    Row("GET", "/analytics/websites/{id}/heatmaps", "read", 200, "list"),
    Row("POST", "/analytics/websites/{id}/heatmaps", "write", 201, "one", HEATMAP),
    Row("GET", "/analytics/websites/{id}/heatmaps/{heatmap_id}", "read", 200, "one"),
    Row("PUT", "/analytics/websites/{id}/heatmaps/{heatmap_id}", "write", 200, "one", HEATMAP),
    Row("PATCH", "/analytics/websites/{id}/heatmaps/{heatmap_id}", "write", 200, "one", {"name": "Renamed"}),
    Row("DELETE", "/analytics/websites/{id}/heatmaps/{heatmap_id}", "write", 204, "none"),
    Row("GET", "/analytics/websites/{id}/heatmaps/{heatmap_id}/data", "read", 200, "heatmap"),
    Row("GET", "/analytics/websites/{id}/heatmaps/{heatmap_id}/elements", "read", 200, "elements"),
    Row("GET", "/analytics/tokens", "admin", 200, "list"),
    Row("POST", "/analytics/tokens", "admin", 201, "one", {"name": "A token"}),
    Row("GET", "/analytics/tokens/{token_id}", "admin", 200, "one"),
    Row("PUT", "/analytics/tokens/{token_id}", "admin", 200, "one", {"name": "A token"}),
    Row("PATCH", "/analytics/tokens/{token_id}", "admin", 200, "one", {"name": "A token"}),
    Row("DELETE", "/analytics/tokens/{token_id}", "admin", 204, "none"),
]


MADE = {
    "{rule_id}": RULE,
    "{funnel_id}": FUNNEL,
    "{step_id}": STEP,
    "{report_id}": REPORT,
    "{alert_id}": ALERT,
    "{goal_id}": GOAL,
    "{heatmap_id}": HEATMAP,
}
"""What is made, below the list of its kind, for the id in a path."""


async def path_of(row: Row, admin: Caller) -> str:
    """The row's path with ids of things made for it."""
    path = row.path
    if "{id}" in path:
        website_id = (await admin.new_website())["id"]
        path = path.replace("{id}", str(website_id))
    for name, made in MADE.items():
        if name in path:
            answer = await admin.post(path.partition(f"/{name}")[0], json=made)
            path = path.replace(name, str((await answer.json())["data"]["id"]))
    if "/experiments/" in path:
        experiment, variants = await new_experiment(admin, website_id, start="{running_id}" in path)
        for name, id_ in (
            ("{experiment_id}", experiment), ("{running_id}", experiment), ("{variant_id}", variants[1]),
        ):  # fmt: skip
            path = path.replace(name, str(id_))
    if "{token_id}" in path:
        token = await admin.post("/analytics/tokens", json={"name": "A token"})
        path = path.replace("{token_id}", str((await token.json())["data"]["id"]))
    return path


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_every_endpoint_answers_as_the_reference_says(row: Row, admin: Caller, by_scope: dict[str, Caller]):
    path = await path_of(row, admin)
    response = await by_scope[row.scope].call(row.method, path, json=row.body)
    assert response.status == row.status, await response.text()
    if row.shape == "none":
        assert await response.read() == b""
        return
    assert response.content_type == "application/json"
    body = await response.json()
    if row.shape == "timeseries":
        assert list(body) == sorted(body)
        assert all(DAY.fullmatch(day) and count == 0 for day, count in body.items())
        assert 7 <= len(body) <= 8  # seven times 24 hours touch eight days, unless they begin at midnight
    elif row.shape in BARE:
        assert set(body) >= BARE[row.shape]
    elif row.shape == "list":
        assert set(body) == {"data", "meta"}
        assert set(body["meta"]) == {"next_cursor"}
        assert isinstance(body["data"], list)
    else:
        assert set(body) == {"data"}
    if row.shape == "goal":
        assert body["data"].items() >= {**GOAL, "name": (row.body or GOAL)["name"]}.items()
    if row.shape == "website":
        assert set(body["data"]) >= WEBSITE_FIELDS | {"tracking_type", "channel_type"}


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_every_endpoint_asks_for_a_token_of_its_scope(row: Row, admin: Caller, by_scope, nobody: Caller):
    path = await path_of(row, admin)
    await assert_error(await nobody.call(row.method, path, json=row.body), 401, "UNAUTHENTICATED")
    for scope in {"read": (), "write": ("read",), "admin": ("read", "write")}[row.scope]:
        await assert_error(await by_scope[scope].call(row.method, path, json=row.body), 403, "FORBIDDEN")


@pytest.mark.parametrize("row", [row for row in TABLE if "{" in row.path], ids=str)
@pytest.mark.parametrize("id_", ["0", "-1", "abc", "1.0", "%201", "%00", "2147483648", str(2**53), "9" * 400, "٣"])
async def test_an_id_that_names_nothing_is_404(row: Row, id_: str, admin: Caller):
    path = re.sub(r"{\w+}", id_, row.path)
    await assert_error(await admin.call(row.method, path, json=row.body), 404, "NOT_FOUND")


async def test_nothing_of_another_workspaces_website_is_there_by_any_way(admin: Caller, stranger: Caller):
    from analytics_app.app import app
    from web.openapi import operations

    theirs = str((await admin.new_website())["id"])
    tried, answered = 0, {}
    for path, view in app.web.views.items():
        if "{website_id}" in path:
            asked = re.sub(r"{\w+}", "1", path.replace("{website_id}", theirs))
            for method, _ in operations(view):
                response = await stranger.call(method.upper(), asked, json=None if method == "get" else WEBSITE)
                tried += 1
                if response.status != 404 or (await response.json())["code"] != "NOT_FOUND":
                    answered[f"{method} {path}"] = response.status
    assert answered == {}
    assert tried > 90


async def test_the_public_views_are_these_and_no_others(client):
    from analytics_app.app import app

    assert {path for path, view in app.web.views.items() if getattr(view, "public", False)} == PUBLIC


async def test_every_view_is_one_of_ours(client):
    from analytics_app.app import app
    from web.resource import Resource

    assert [path for path, view in app.web.views.items() if not isinstance(view, Resource)] == []


async def test_a_path_that_does_not_exist_is_404(admin: Caller):
    for path in (
        "/",
        "/analytics",
        "/analytics/nothing",
        "/analytics/websites/1/nothing",
        "/table/",
        "/router/",
        "/graph",
    ):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            await assert_error(await admin.call(method, path), 404, "NOT_FOUND")


async def test_a_method_that_a_path_does_not_take_is_405_with_those_it_does(admin: Caller):
    response = await admin.delete("/analytics/websites")
    await assert_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"].replace(" ", "") == "GET,HEAD,POST"
    response = await admin.call("HEAD", "/analytics/track")
    assert (response.status, response.headers["Allow"].replace(" ", "")) == (405, "OPTIONS,POST")
    response = await admin.call("SEARCH", "/analytics/websites")
    await assert_error(response, 405, "METHOD_NOT_ALLOWED")


async def test_head_answers_as_get_does_without_a_body(admin: Caller, nobody: Caller):
    response = await admin.call("HEAD", "/analytics/websites")
    assert (response.status, await response.read()) == (200, b"")
    assert (await nobody.call("HEAD", "/analytics/websites")).status == 401


async def test_a_crash_shows_a_request_id_and_nothing_of_the_inside(admin: Caller, monkeypatch, caplog):
    from analytics_app.websites import store

    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(store, "websites_of", crash)
    response = await admin.get("/analytics/websites")
    body = await assert_error(response, 500, "SERVER_ERROR")
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert "secret" not in await response.text()


async def test_answers_to_token_holders_are_kept_by_no_cache(admin: Caller):
    response = await admin.get("/analytics/websites")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_every_parameter_that_may_be_missing_may_be_empty_and_the_document_says_so(client):
    from analytics_app.app import app
    from web.openapi import document, operations

    paths = document(app.web.views)["paths"]
    asked = [
        (op.query, parameter)
        for path, view in app.web.views.items()
        for method, op in operations(view)
        if op.query and path in paths
        for parameter in paths[path][method]["parameters"]
        if parameter["in"] == "query" and op.query.model_fields[parameter["name"]].default is None
    ]
    assert len(asked) > 50
    for model, parameter in asked:
        name, schema = parameter["name"], parameter["schema"]
        refused = [error["loc"] for error in faults_of(model, {name: ""}) if error["loc"][:1] == (name,)]
        assert not refused, (model, name)
        assert allows_empty(schema), (model, name, schema)


def faults_of(model, values):
    try:
        model.model_validate(values)
    except ValidationError as error:
        return error.errors()
    return []


def allows_empty(schema):
    if "anyOf" in schema:
        return any(map(allows_empty, schema["anyOf"]))
    if "enum" in schema:
        return "" in schema["enum"]
    return schema.get("type") == "string" and bool(re.search(schema.get("pattern", ""), ""))


def test_every_documented_endpoint_is_served_and_no_other(client):
    from analytics_app.app import app
    from web.openapi import operations

    documented = set(re.findall(r"^(?:#+ )?`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)", DOCS.read_text(), re.MULTILINE))
    served = {(method.upper(), path) for path, view in app.web.views.items() for method, _ in operations(view)}
    assert sorted(served - documented) == []
    assert sorted(documented - served) == []
