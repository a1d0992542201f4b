"""Questions that are asked before anybody asks them."""

from datetime import UTC, datetime, timedelta

import psycopg

from tests.web.calls import Caller

SINCE = (datetime.now(UTC) - timedelta(days=30)).date().isoformat()
QUESTIONS = (
    f"stats?start_date={SINCE}",
    f"timeseries?start_date={SINCE}&metric=visitors",
    f"timeseries?start_date={SINCE}&metric=pageviews",
    f"breakdown?start_date={SINCE}&dimension=page",
    f"breakdown?start_date={SINCE}&dimension=browser",
    "realtime",
)


async def test_who_asks_first_finds_every_statement_compiled(admin: Caller):
    from analytics_app.db import engine
    from web.first_answers import ask_beforehand

    website = await admin.new_website()

    async def compiled_by_asking() -> set[object]:
        before = set(cache)
        for question in QUESTIONS:
            response = await admin.get(f"/analytics/websites/{website['id']}/{question}")
            assert response.status == 200, await response.text()
        return set(cache) - before

    async def compiled_anew() -> set[object]:
        engine().sync_engine.clear_compiled_cache()
        return await compiled_by_asking()

    cache = engine().sync_engine._compiled_cache
    assert cache is not None
    # Of both times: what the process itself asks now and then is no statement of these questions.
    theirs = await compiled_anew() & await compiled_anew()
    assert len(theirs) >= 5
    engine().sync_engine.clear_compiled_cache()
    await ask_beforehand()
    assert not theirs & await compiled_by_asking()


async def test_while_postgres_is_away_nothing_is_asked_and_nothing_fails(monkeypatch, client):
    from web import first_answers

    def away():
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(first_answers, "snapshot", away)
    await first_answers.ask_beforehand()
