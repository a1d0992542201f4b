"""Calls to the API, and what every error must look like."""

from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient


@dataclass
class Caller:
    """Somebody with a token, or without."""

    client: TestClient[Any, Any]
    token: str | None
    token_id: int = 0
    workspace_id: int = 0

    async def call(self, method: str, path: str, **options: Any) -> ClientResponse:
        headers = {**({"Authorization": f"Bearer {self.token}"} if self.token else {}), **options.pop("headers", {})}
        response = await self.client.request(method, path, headers=headers, **options)
        await response.read()
        return response

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> ClientResponse:
        return await self.call("POST", path, **options)

    async def put(self, path: str, **options: Any) -> ClientResponse:
        return await self.call("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> ClientResponse:
        return await self.call("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> ClientResponse:
        return await self.call("DELETE", path, **options)

    async def new_website(self, **values: Any) -> dict[str, Any]:
        response = await self.post("/analytics/websites", json={"name": "A site", "host": "example.com", **values})
        assert response.status == 201, await response.text()
        return (await response.json())["data"]


async def assert_error(response: ClientResponse, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The response is an error of the one shape; with `field`, one of its faults lies there."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    assert len(response.headers["X-Request-Id"]) == 16
    body = await response.json()
    expected = {"ok", "error", "code"}
    if code == "VALIDATION_ERROR" and "details" in body:
        expected |= {"details"}
        assert all(set(fault) == {"field", "message"} for fault in body["details"])
    if status == 500:
        expected |= {"request_id"}
    assert set(body) == expected
    assert body["ok"] is False
    assert body["code"] == code
    assert body["error"]
    if field is not None:
        assert field in [fault["field"] for fault in body["details"]], body
    return body


async def new_experiment(
    caller: Caller, website_id: int, *, start: bool = False, **values: Any
) -> tuple[int, list[int]]:
    """A new experiment with a control and another variant: its id, and theirs."""
    path = f"/analytics/websites/{website_id}/experiments"
    body = {"name": "A test", "goal_type": "pageview", "goal_value": "/done", **values}
    response = await caller.post(path, json=body)
    assert response.status == 201, await response.text()
    experiment_id = (await response.json())["data"]["id"]
    variants = []
    for name, is_control in (("Control", True), ("Blue Button", False)):
        said = {"name": name, "is_control": is_control, "config": {"button": name}}
        response = await caller.post(f"{path}/{experiment_id}/variants", json=said)
        assert response.status == 201, await response.text()
        variants.append((await response.json())["data"]["id"])
    if start:
        response = await caller.post(f"{path}/{experiment_id}/start")
        assert response.status == 200, await response.text()
    return experiment_id, variants
