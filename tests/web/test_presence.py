"""Whether Postgres is there, looked at by several at once."""

import asyncio
from contextlib import suppress

import psycopg
import pytest


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """The application of the other tests looks at Postgres all along: not by what is put in place here."""
    from web import presence

    async def look():
        """It looks another time."""

    monkeypatch.setattr(presence.PRESENCE, "look", look)


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


@pytest.mark.parametrize(("others_are_answered", "ends"), [(True, True), (False, False)])
async def test_a_process_whose_connections_nobody_answers_ends_where_a_new_one_is_answered(
    monkeypatch, others_are_answered, ends
):
    from web import presence

    class Ended(BaseException):
        pass

    def end(code):
        assert code == 70
        raise Ended

    async def answers_anew():
        return others_are_answered

    async def hang():
        await asyncio.Event().wait()

    monkeypatch.setattr(presence, "ping", hang)
    monkeypatch.setattr(presence, "answers_anew", answers_anew)
    monkeypatch.setattr(presence.os, "_exit", end)
    for name in ("DOUBT_AFTER_S", "ARRIVES_WITHIN_S", "AWAY_AFTER_S", "LOOK_EVERY_S"):
        monkeypatch.setattr(presence, name, 0.02)
    looking = asyncio.ensure_future(presence.Presence().keep_looking())
    done, _ = await asyncio.wait({looking}, timeout=0.5)
    assert bool(done) == ends
    looking.cancel()
    with suppress(Ended, asyncio.CancelledError):
        await looking


async def test_one_that_hears_the_answer_a_little_later_goes_on(monkeypatch):
    from web import presence

    heard = asyncio.Event()

    async def late():
        await heard.wait()

    async def answers_anew():
        heard.set()  # what the network held back comes together with it
        return True

    monkeypatch.setattr(presence, "ping", late)
    monkeypatch.setattr(presence, "answers_anew", answers_anew)
    monkeypatch.setattr(presence.os, "_exit", lambda _: pytest.fail("it ended"))
    for name in ("DOUBT_AFTER_S", "ARRIVES_WITHIN_S", "AWAY_AFTER_S", "LOOK_EVERY_S"):
        monkeypatch.setattr(presence, name, 0.02)
    found = presence.Presence()
    looking = asyncio.ensure_future(found.keep_looking())
    await asyncio.wait({looking}, timeout=0.5)
    assert not found.is_away()
    looking.cancel()
