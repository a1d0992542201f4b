"""What rules are tried on: added up by hour and sender, whoever tells it, and forgotten."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from analytics_app.bots import sightings_store
from analytics_app.bots.sightings import Sighting, Sought, grams_of
from analytics_app.db import driver_of

HOUR = datetime(2031, 3, 4, 5, tzinfo=UTC)
SALT = b"s" * 32
AGENTS = {1: "Mozilla/5.0 (X11; Linux x86_64)", 2: 'curl/8.0 \\ "quoted" {braces}'}


def sighting(source, requests, website_id=7, agent=1, hour=HOUR):
    return Sighting(website_id, hour.date(), hour, source, agent, [source, -source, 2**62], requests)


def grams(*agents):
    return {(HOUR.date(), agent): grams_of(SALT, AGENTS[agent]) for agent in agents}


async def test_what_is_told_of_a_sender_adds_up_by_hour_and_website(db):
    rng, told, driver = random.Random(5), Counter(), await driver_of(db)
    for _ in range(3):
        seen = Counter(
            (rng.randrange(1, 4), HOUR + timedelta(hours=rng.randrange(2)), rng.randrange(1, 900)) for _ in range(3000)
        )
        assert len(seen) > sightings_store.ADDED_AT_ONCE
        told += seen
        found = [sighting(source, count, website_id, hour=hour) for (website_id, hour, source), count in seen.items()]
        await sightings_store.add(driver, found, grams(1))
    rows = await db.execute(text("SELECT website_id, hour, source, requests, prefixes FROM bot_sightings"))
    stored = rows.all()
    assert {(row.website_id, row.hour, row.source): row.requests for row in stored} == told
    assert all(row.prefixes == [row.source, -row.source, 2**62] for row in stored)


async def test_a_rule_is_tried_on_agents_and_networks_of_its_website(db):
    driver = await driver_of(db)
    await sightings_store.add(
        driver, [sighting(1, 5), sighting(2, 3, agent=2), sighting(3, 9, website_id=8, agent=2)], grams(1, 2)
    )
    by_agent = await sightings_store.tried(db, 7, HOUR, [Sought([], grams_of(SALT, "{braces}"))])
    assert by_agent == (8, 2, 3, 1)
    by_network = await sightings_store.tried(db, 7, HOUR, [Sought([-1], [])])
    assert by_network == (8, 2, 5, 1)


async def test_nothing_to_tell_is_told_without_a_fault(db):
    await sightings_store.add(await driver_of(db), [], {})
    assert (await db.execute(text("SELECT count(*) FROM bot_sightings"))).scalar() == 0


async def test_what_is_old_is_forgotten(db):
    driver = await driver_of(db)
    await sightings_store.add(driver, [sighting(1, 1), sighting(2, 1, hour=HOUR - timedelta(days=2))], grams(1))
    await sightings_store.forget(db, HOUR - timedelta(days=1))
    assert (await db.execute(text("SELECT array_agg(source) FROM bot_sightings"))).scalar() == [1]
    assert (await db.execute(text("SELECT count(*) FROM bot_agents"))).scalar() == 1
