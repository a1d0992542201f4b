"""Samples of heatmaps under kills: what was answered ok counts once."""

import asyncio
import random
import uuid
from collections import Counter

import aiohttp
import pytest

from tests.faults.conftest import seconds
from tests.faults.rig import Rig

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
TOPIC = "analytics-heatmap-samples"
BUSY = 8


async def click(rig: Rig, key: str, chance: random.Random, until: float, expected: Counter[tuple[int, int]]) -> int:
    """Send clicks until it is time, each call again with its id until it is answered ok; returns how often again."""
    again = 0
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(headers=FIREFOX, timeout=aiohttp.ClientTimeout(total=5)) as http:
        while loop.time() < until:
            places = [(chance.randrange(0, 1200, 10), chance.randrange(0, 2000, 10)) for _ in range(5)]
            sample = {"type": "click", "path": f"/{chance.randrange(6)}", "page_width": 1265, "page_height": 3000}
            sizes = {"viewport_width": 1280, "viewport_height": 720}
            body = {
                "key": key,
                "id": str(uuid.uuid4()),
                "samples": [{**sample, **sizes, "x": x + 3, "y": y + 7} for x, y in places],
            }
            while True:
                try:
                    async with http.post(f"{rig.address}/analytics/heatmap", json=body) as answer:
                        if answer.status == 200:
                            assert await answer.json() == {"ok": True}
                            break
                        assert answer.status == 503, await answer.text()
                except (aiohttp.ClientError, TimeoutError):
                    pass
                again += 1
                await asyncio.sleep(0.1)
            expected.update(places)
            await asyncio.sleep(0.02)
    return again


@pytest.mark.long
async def test_whatever_is_killed_every_sample_counts_once(rig: Rig) -> None:
    website_id, key = await rig.website("heatmaps")
    await rig.call("PATCH", f"/analytics/websites/{website_id}", {"tracking_type": "full"})
    made = await rig.call(
        "POST", f"/analytics/websites/{website_id}/heatmaps", {"name": "All", "url_pattern": "*", "type": "click"}
    )
    await asyncio.sleep(2)  # a change is known everywhere by then
    chance = random.Random(7)
    expected: Counter[tuple[int, int]] = Counter()
    lasts_s = seconds(40)
    until = asyncio.get_running_loop().time() + lasts_s
    sending = [asyncio.create_task(click(rig, key, random.Random(number), until, expected)) for number in range(BUSY)]
    for role in ("worker", "web", "worker", "postgres", "worker", "kafka")[: max(2, int(lasts_s / 7))]:
        await asyncio.sleep(2 + chance.random() * 3)
        await rig.kill(role, which=chance.randrange(2))
    again = sum(await asyncio.gather(*sending))
    drained_s = await rig.drained(TOPIC)
    found = await rig.call("GET", f"/analytics/websites/{website_id}/heatmaps/{made['data']['id']}/data")
    counted = Counter({(point["x"], point["y"]): point["count"] for point in found["data"]})
    assert counted == expected, f"{(expected - counted)} lost, {(counted - expected)} too many; {rig.told}"
    assert found["total"] == expected.total() > 100
    verified = await asyncio.to_thread(rig.run, "verify")
    assert "heatmaps" not in verified.stdout, verified.stdout
    rig.figures.append(f"{expected.total()} samples, {again} calls sent again; drained after {drained_s:.1f} s")
