"""Whether Postgres is there, looked at by several at once."""

import asyncio

import psycopg


async def test_those_who_look_at_the_same_time_share_one_look(monkeypatch):
    from web import presence

    looks = 0

    async def ping():
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.01)
        if looks == 2:
            raise psycopg.OperationalError("gone")

    monkeypatch.setattr(presence, "ping", ping)
    found = presence.Presence()
    await asyncio.gather(*(found.look() for _ in range(3)))
    assert (looks, found.is_away()) == (1, False)
    await asyncio.gather(*(found.look() for _ in range(3)))
    assert (looks, found.is_away()) == (2, True)
