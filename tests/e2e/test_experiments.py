"""An experiment on the running service: told alike by every process, and its results two seconds behind at most."""

import asyncio
import time
import uuid
from typing import Any

import pytest

from tests.e2e.conftest import client_of
from tests.e2e.service import Service
from tests.web.calls import Caller, new_experiment

pytestmark = pytest.mark.services
VISITORS = 60


async def shown(caller: Caller, experiment_id: int, visitor: str) -> dict[str, Any]:
    """What a visitor is told."""
    query = {"experiment_id": str(experiment_id), "visitor_id": visitor}
    response = await caller.get("/analytics/experiment/variant", params=query)
    assert response.status == 200, await response.text()
    told: dict[str, Any] = await response.json()
    return told


async def seen_after(admin: Caller, path: str, **metrics: int) -> float:
    """How long it takes until the results say so."""
    began = time.monotonic()
    while True:
        found = (await (await admin.get(path)).json())["metrics"]
        if all(found[name] == value for name, value in metrics.items()):
            return time.monotonic() - began
        assert time.monotonic() - began < 15, (found, metrics)
        await asyncio.sleep(0.05)


async def test_an_experiment_from_its_first_visitor_to_its_results(
    service: Service, admin: Caller, nobody: Caller, website: dict[str, Any]
):
    experiment_id, variants = await new_experiment(admin, website["id"], start=True)
    path = f"/analytics/websites/{website['id']}/experiments/{experiment_id}/results"
    await admin.get(path)  # loads what the statistics need
    visitors = [str(uuid.uuid4()) for _ in range(VISITORS)]
    told = await asyncio.gather(*(shown(nobody, experiment_id, visitor) for visitor in visitors))
    assert all(one["in_experiment"] for one in told)
    assert {one["variant_id"] for one in told} == set(variants)
    assert await seen_after(admin, path, total_visitors=VISITORS) < 2
    for visitor in visitors[:3]:
        body = {"key": website["pixel_key"], "visitor_id": visitor, "path": "/done"}
        assert (await nobody.post("/analytics/track", json=body)).status == 200
    assert await seen_after(admin, path, total_conversions=3) < 2

    other = service.another_web()
    try:
        other.wait()
        async with client_of(other.address) as client:
            elsewhere = Caller(client, None)  # type: ignore[arg-type]
            assert [await shown(elsewhere, experiment_id, visitor) for visitor in visitors] == told
            # What is made here is known there at once, and what changes here is heard there within two seconds.
            made, _ = await new_experiment(admin, website["id"])
            assert not (await shown(elsewhere, made, visitors[0]))["in_experiment"], "a draft shows its control"
            for experiment, move, runs in ((made, "start", True), (experiment_id, "pause", False)):
                moved = await admin.post(f"{path.removesuffix(f'{experiment_id}/results')}{experiment}/{move}")
                assert moved.status == 200, await moved.text()
                moved_at = time.monotonic()
                while (await shown(elsewhere, experiment, str(uuid.uuid4())))["in_experiment"] is not runs:
                    assert time.monotonic() - moved_at < 2
                    await asyncio.sleep(0.02)
    finally:
        other.stop()
    found = (await (await admin.get(path)).json())["metrics"]
    assert found["total_visitors"] >= VISITORS, "and who was told elsewhere while it was being paused"
    answer = await asyncio.to_thread(service.command, "verify")
    assert answer.returncode == 0, answer.stdout
