"""A visitor who is erased or anonymised: what is gone, what stays to the unit, and what cannot come back."""

import asyncio
import random
import secrets
import uuid
from datetime import timedelta

import pytest

from analytics_app import removal, subjects
from analytics_app.db import batch_transaction, snapshot
from analytics_app.gdpr import erasing_store
from analytics_app.jobs import erasures
from analytics_app.sessions import removal_store
from analytics_app.sessions.store import instant
from analytics_app.stats import store as stats
from tests.factories import HOUR, at_ms, make_event, make_heartbeat, make_hit

pytestmark = pytest.mark.services

FIELDS = (
    "title",
    "host",
    "referrer",
    "source",
    "channel",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "device_type",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "language",
    "screen",
)
"""Texts of a hit beside its path."""
NOW = instant(at_ms(HOUR))
UNTIL = NOW + timedelta(days=10)
REMEMBERED = {"erasures"}
"""Who was erased is remembered here for as long as anything of theirs may still be on its way."""


@pytest.fixture
def visitor():
    return secrets.token_hex(16)


@pytest.fixture
def said():
    """What every text of this test's visitor says."""
    return f"marker-{secrets.token_hex(4)}"


@pytest.fixture
def hit(worker, visitor, said):
    """Make a hit of this test's visitor, whose every text is marked."""

    def made(at=0, **fields):
        given = {"website_id": worker.website_id, "session_key": worker.session_key, "visitor": visitor}
        marked = {name: f"{said}-{name}" for name in FIELDS}
        return make_hit(at, **{**given, **marked, "path": f"/{said}", "properties": {said: said}, **fields})

    return made


async def erase(worker, visitor, now=NOW):
    async with batch_transaction() as db:
        return await subjects.erase(db, worker.website_id, visitor, now, UNTIL)


async def anonymise(worker, visitor, now=NOW):
    async with batch_transaction() as db:
        return await subjects.anonymise(db, worker.website_id, visitor, now, UNTIL)


async def tables_with(worker, text: str) -> list[str]:
    """The tables any row of which, read as text or as bytes, says `text`."""
    found = []
    told = [text, text.encode().hex(), str(uuid.UUID(text))] if len(text) == 32 else [text, text.encode().hex()]
    names = await worker.rows(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname NOT LIKE 'alembic%%' ORDER BY 1"
    )
    for (name,) in names:
        if await worker.value(
            f"SELECT count(*) FROM {name} t WHERE t::text LIKE ANY(%s)", [f"%{one}%" for one in told]
        ):
            found.append(name)
    return found


async def finish(worker):
    """Do what the job does for this website."""
    return await erasures.remove_unnamed(worker.website_id)


async def test_of_an_erased_visitor_no_row_says_anything_and_the_totals_lose_it(worker, hit, visitor, said):
    stranger = make_hit(5, website_id=worker.website_id, session_key=secrets.token_hex(16), visitor="72" * 16)
    first = hit(0)
    await worker.store(worker.records(first, hit(10, path=f"/{said}/2"), stranger))
    await worker.store(worker.records(make_heartbeat(20, first, time_on_page_s=12)))
    await worker.store(
        worker.records(make_event(30, name=said, website_id=worker.website_id, session_key=worker.session_key,
                                  visitor=visitor))
    )  # fmt: skip
    assert "terms" in await tables_with(worker, said), "the control: before, rows do say it"
    assert {"visitors", "erasures"} & set(await tables_with(worker, visitor)) == {"visitors"}
    erased = await erase(worker, visitor)
    assert {name: erased[name] for name in ("events", "pageviews", "sessions", "visitor")} == {
        "events": 3, "pageviews": 2, "sessions": 1, "visitor": 1,
    }  # fmt: skip
    assert await finish(worker) >= len(FIELDS)
    assert await tables_with(worker, said) == []
    assert set(await tables_with(worker, visitor)) <= REMEMBERED
    assert list(await worker.sessions()) == [stranger.event_id]
    assert await worker.differences() == []
    assert await erase(worker, visitor, NOW + timedelta(days=20)) is None


async def test_a_text_that_others_use_too_stays(worker, hit, visitor, said):
    shared = {"website_id": worker.website_id, "path": "/shared", "source": "Shared"}
    await worker.store(
        worker.records(
            hit(0, path="/shared", source="Shared"),
            make_hit(5, session_key=secrets.token_hex(16), visitor="72" * 16, **shared),
        )
    )
    await erase(worker, visitor)
    await finish(worker)
    texts = {text for (text,) in await worker.rows("SELECT text FROM terms WHERE website_id = %s", worker.website_id)}
    assert {"/shared", "Shared"} <= texts
    assert not any(said in text for text in texts)


async def test_a_worker_that_knew_a_removed_text_writes_it_anew(worker, hit, visitor, said):
    await worker.store(worker.records(hit(0)))
    await erase(worker, visitor)
    await finish(worker)
    again = hit(2 * HOUR, visitor="73" * 16, session_key=secrets.token_hex(16))
    await worker.store(worker.records(again))
    found = await worker.rows(
        "SELECT t.text FROM events e LEFT JOIN terms t ON t.id = e.path WHERE e.website_id = %s", worker.website_id
    )
    assert found == [(f"/{said}",)]


async def test_texts_of_sessions_that_a_verdict_took_out_before_and_of_undone_batches_go_too(
    worker, hit, visitor, said
):
    stranger = make_hit(5, website_id=worker.website_id, path="/stays", session_key=secrets.token_hex(16))
    await worker.store(worker.records(hit(0), stranger))
    async with batch_transaction() as db:
        await removal_store.hold_alone(db, worker.website_id)
        found = await removal_store.sessions_under(db, worker.website_id, [worker.session_key])
        assert (await removal.remove(db, worker.website_id, found)).session_ids
        await db.execute(
            "INSERT INTO terms (website_id, kind, text) VALUES (%s, 1, %s)", (worker.website_id, f"/{said}/undone")
        )
    assert await tables_with(worker, said) == ["terms"], "the control: texts outlive the rows that named them"
    await erasures.old_texts(NOW)
    assert await tables_with(worker, said) == []
    texts = {text for (text,) in await worker.rows("SELECT text FROM terms WHERE website_id = %s", worker.website_id)}
    assert "/stays" in texts
    assert await worker.differences() == []


async def test_a_text_that_is_named_again_between_the_two_looks_stays(worker, hit, said):
    await worker.store(worker.records(hit(0)))
    async with batch_transaction() as db:
        await db.execute(
            "INSERT INTO terms (website_id, kind, text) SELECT %s, kind, %s FROM terms "
            "WHERE website_id = %s AND text = %s",
            (worker.website_id, f"/{said}/again", worker.website_id, f"/{said}"),
        )
        unnamed = await erasing_store.unnamed_terms(db, worker.website_id)
    assert len(unnamed) == 1
    await worker.store(worker.records(hit(20, path=f"/{said}/again")))
    async with batch_transaction() as db:
        await erasing_store.hold_batches(db)
        assert await erasing_store.remove_unnamed(db, worker.website_id, unnamed) == 0
    assert await worker.differences() == []


async def test_what_was_on_its_way_is_left_out_and_a_replay_from_the_start_brings_nothing_back(worker, hit, visitor):
    records = worker.records(hit(0), hit(10))
    await worker.store(records)
    await erase(worker, visitor)
    late = worker.records(hit(20, session_key=secrets.token_hex(16)), hit(HOUR - 1))
    await worker.store(late)
    assert (await worker.outcomes())["ignored_erased"] == 2
    await worker.rows("UPDATE stream_positions SET next_offset = 0 WHERE topic = %s RETURNING 1", worker.topic)
    await worker.rows("DELETE FROM stream_writers WHERE topic = %s RETURNING 1", worker.topic)
    await worker.store([*records, *late])
    assert await worker.sessions() == {}
    assert set(await tables_with(worker, visitor)) == REMEMBERED


async def test_who_comes_back_later_is_somebody_new(worker, hit, visitor):
    await worker.store(worker.records(hit(0)))
    await erase(worker, visitor)
    back = hit(HOUR + 1)
    await worker.store(worker.records(back))
    assert list(await worker.sessions()) == [back.event_id]
    assert await worker.differences() == []
    assert (await erase(worker, visitor, NOW + timedelta(hours=1)))["sessions"] == 1


async def test_erasing_while_hits_are_being_stored_leaves_nothing_behind(worker, hit, visitor):
    rng = random.Random(4)
    keys = [secrets.token_hex(16) for _ in range(4)]
    batches = [worker.records(*(hit(rng.randrange(HOUR - 2), session_key=rng.choice(keys)) for _ in range(9)))
               for _ in range(8)]  # fmt: skip

    async def store_all():
        for batch in batches:
            await worker.store(batch)

    async def erase_between():
        await asyncio.sleep(rng.random() / 20)
        return await erase(worker, visitor)

    await asyncio.gather(store_all(), erase_between())
    if await worker.sessions():  # nothing had been stored when it was asked for
        await erase(worker, visitor)
    assert await worker.sessions() == {}
    assert await worker.differences() == []


async def test_anonymised_every_number_stays_and_nothing_leads_to_the_visitor(worker, hit, visitor):
    first = hit(0)
    await worker.store(worker.records(first, hit(10, path="/b"), hit(2 * HOUR, session_key=secrets.token_hex(16))))

    async def numbers():
        async with snapshot() as db:
            return await stats.totals(db, worker.website_id, instant(at_ms(-HOUR)), instant(at_ms(12 * HOUR)))

    before = await numbers()
    done = await anonymise(worker, visitor, NOW + timedelta(hours=2))
    assert done["sessions"] == 2
    assert await numbers() == before
    assert set(await tables_with(worker, visitor)) <= REMEMBERED
    assert await worker.differences() == []
    assert await anonymise(worker, visitor, NOW + timedelta(hours=2)) is None
    await worker.store(worker.records(make_heartbeat(2.5 * HOUR, first, time_on_page_s=5)))
    assert (await worker.outcomes())["ignored_unknown_event"] == 1
    assert await numbers() == before


async def test_what_was_on_its_way_of_an_anonymised_visitor_counts_as_nobody_s(worker, hit, visitor):
    await worker.store(worker.records(hit(0)))
    await anonymise(worker, visitor)
    late = [hit(20), hit(30, path="/late"), hit(40, session_key=secrets.token_hex(16))]
    await worker.store(worker.records(*late))
    assert sorted(await worker.event_ids())[1:] == sorted(one.event_id for one in late)
    assert (await worker.outcomes()).get("ignored_erased", 0) == 0
    found = await worker.sessions()
    assert sorted(session.pageviews for session in found.values()) == [1, 1, 2]
    assert len({session.visitor for session in found.values()}) == 2, "who they were first is not remembered"
    assert set(await tables_with(worker, visitor)) <= REMEMBERED
    assert await tables_with(worker, worker.session_key) == ["session_states"], "an empty one"
    assert await worker.differences() == []
    back = hit(2 * HOUR)
    await worker.store(worker.records(back))
    assert (await worker.sessions())[back.event_id].visitor == visitor


async def test_an_erasure_after_an_anonymisation_leaves_out_what_is_on_its_way(worker, hit, visitor):
    await worker.store(worker.records(hit(0)))
    await anonymise(worker, visitor)
    await worker.store(worker.records(hit(HOUR + 5)))
    await erase(worker, visitor, NOW + timedelta(seconds=10))
    await worker.store(worker.records(hit(HOUR + 7), hit(10)))
    assert (await worker.outcomes())["ignored_erased"] == 2
    assert len(await worker.sessions()) == 1


async def test_a_failed_record_that_names_the_visitor_by_number_goes_too(worker, hit, visitor):
    from analytics_app.stream import store as stream
    from analytics_app.stream.logic import Failure

    await worker.store(worker.records(hit(0)))
    number = await worker.value("SELECT number FROM visitors WHERE website_id = %s", worker.website_id)
    async with batch_transaction() as db:
        for place, said in enumerate((b'{"visitor":%d,"text":"/"}', b'{"visitor":%d1,"text":"/"}')):
            await stream.keep_failures(db, worker.topic, [Failure(0, place, said % number, "wrong")])
    assert (await erase(worker, visitor))["failed_records"] == 1


async def test_failed_records_that_name_the_visitor_go_too(worker, hit, visitor):
    from analytics_app.stream import store as stream
    from analytics_app.stream.logic import Failure

    await worker.store(worker.records(hit(0)))
    async with batch_transaction() as db:
        await stream.keep_failures(db, worker.topic, [Failure(0, 7, f'{{"visitor":"{visitor}"}}'.encode(), "wrong")])
        await stream.keep_failures(db, worker.topic, [Failure(0, 8, b'{"visitor":"another"}', "wrong")])
    assert (await erase(worker, visitor))["failed_records"] == 1
    left = await worker.rows('SELECT "offset" FROM failed_records WHERE topic = %s', worker.topic)
    assert left == [(8,)]


async def test_the_job_ends_receipts_and_forgets_old_erasures(worker, hit, visitor, said):
    await worker.store(worker.records(hit(0)))
    await erase(worker, visitor)
    await worker.rows(
        "INSERT INTO gdpr_receipts (workspace_id, website_id, action, counts, forgotten_at) "
        "VALUES (1, %s, 'delete', '{}', now()) RETURNING id",
        worker.website_id,
    )  # fmt: skip
    await erasures.finish_erasures(NOW)
    done = await worker.rows("SELECT finished_at FROM gdpr_receipts WHERE website_id = %s", worker.website_id)
    assert done == [(NOW,)]
    assert await tables_with(worker, said) == []
    assert set(await tables_with(worker, visitor)) == REMEMBERED
    await erasures.finish_erasures(UNTIL + timedelta(seconds=1))
    assert await tables_with(worker, visitor) == []
