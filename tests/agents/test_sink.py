"""A batch and its position are one transaction: whatever happens between, a hit is stored once."""

import asyncio
import secrets
from collections import Counter
from contextlib import asynccontextmanager

import psycopg
import pytest
from aiokafka.errors import KafkaConnectionError

from agents import sessions as agent
from agents import sink as sink_module
from agents.sink import Sink, TooManyFailures, Written, is_away
from analytics_app.db import batch_transaction
from analytics_app.records import HITS, encode
from analytics_app.stream import store
from analytics_app.stream.logic import Gap, Record, digest_of
from tests.factories import DAY, NOON_MS, make_event, make_heartbeat, make_hit, make_leave, make_record

pytestmark = pytest.mark.services


@pytest.fixture
def hit(worker):
    """Make a hit of this test's website and session."""

    def made(at=0, **fields):
        return make_hit(at, **{"website_id": worker.website_id, "session_key": worker.session_key, **fields})

    return made


# However often a batch is offered.


async def test_a_batch_is_stored_once_however_often_it_is_offered(worker, hit):
    hits = [hit(at) for at in range(5)]
    records = worker.records(*hits)
    for _ in range(3):
        await worker.store(records)
    assert await worker.event_ids() == [one.event_id for one in hits]
    assert await worker.position() == 5
    assert await worker.outcomes() == {"received": 5, "stored": 5}
    assert await worker.differences() == []


async def test_batches_that_overlap_are_stored_once(worker, hit):
    hits = [hit(at) for at in range(20)]
    records = worker.records(*hits)
    for first, last in ((0, 10), (5, 12), (0, 12), (12, 15), (3, 20), (0, 20)):
        await worker.store(records[first:last])
    assert await worker.event_ids() == [one.event_id for one in hits]
    assert await worker.outcomes() == {"received": 20, "stored": 20}
    assert await worker.differences() == []


async def test_a_batch_after_a_rebalance_is_stored_in_order_and_once(worker, hit):
    hits = [hit(at) for at in range(12)]
    records = worker.records(*hits)
    await worker.store(records[:5])
    await worker.store([records[10], *records[3:10], records[10], records[11]])
    assert await worker.event_ids() == [one.event_id for one in hits]
    assert await worker.position() == 12
    assert await worker.differences() == []


async def test_workers_that_both_hold_a_partition_store_each_hit_once(worker, hit):
    keys = [secrets.token_hex(16) for _ in range(4)]
    hits = {p: [hit(at, session_key=keys[p], visitor=keys[p]) for at in range(30)] for p in range(4)}
    records = {p: worker.records(*hits[p], partition=p) for p in range(4)}
    other = Sink(worker.topic, agent.write)

    async def offer(sink, partition, step):
        for first in range(0, 30, step):
            await sink.store(records[partition][: first + step])

    await asyncio.gather(*(offer(sink, p, step) for p in range(4) for sink, step in ((worker.sink, 7), (other, 4))))
    assert await worker.event_ids() == sorted(one.event_id for of in hits.values() for one in of)
    assert await worker.outcomes() == {"received": 120, "stored": 120}
    assert await worker.differences() == []
    assert {row.pageviews for row in (await worker.sessions()).values()} == {30}


async def test_what_a_producer_wrote_twice_is_stored_once(worker, hit):
    one, two = hit(0), hit(1)
    await worker.store([make_record(0, one, sequence=4), make_record(1, one, sequence=4)])
    await worker.store([make_record(2, one, sequence=4), make_record(3, two, sequence=5)])
    assert await worker.event_ids() == [one.event_id, two.event_id]
    assert await worker.outcomes() == {"received": 4, "stored": 2, "written_twice": 2}
    assert await worker.position() == 4
    assert await worker.differences() == []


async def test_a_sequence_counts_within_its_partition_and_writer(worker, hit):
    hits = [hit(at) for at in range(3)]
    await worker.store([make_record(0, hits[0], sequence=1)])
    await worker.store([make_record(0, hits[1], sequence=1, partition=1)])
    await worker.store([make_record(1, hits[2], sequence=1, writer="edge-2")])
    assert len(await worker.event_ids()) == 3


async def test_a_client_that_sends_a_hit_again_counts_once_in_whatever_batch_and_partition(worker, hit):
    client_id = "ab" * 16
    kept = hit(0, client_id=client_id)
    await worker.store(worker.records(kept, hit(1, client_id=client_id)))
    await worker.store(worker.records(hit(2, client_id=client_id)))
    await worker.store(worker.records(hit(3, client_id=client_id, session_key=secrets.token_hex(16)), partition=1))
    assert await worker.event_ids() == [kept.event_id]
    assert await worker.outcomes() == {"received": 4, "stored": 1, "duplicate": 3}
    assert await worker.differences() == []


async def test_two_partitions_that_claim_the_same_clients_ids_at_once_agree(worker, hit):
    ids = [f"{number:032x}" for number in range(40)]
    mine = [hit(0, client_id=one) for one in ids]
    theirs = [hit(0, client_id=one, session_key=secrets.token_hex(16)) for one in reversed(ids)]
    records = [worker.records(*mine), worker.records(*theirs, partition=1)]
    await asyncio.gather(worker.store(records[0][:10]), worker.store(records[1][:10]))
    await asyncio.gather(worker.store(records[0]), worker.store(records[1]))
    assert len(await worker.event_ids()) == 40
    assert await worker.outcomes() == {"received": 80, "stored": 40, "duplicate": 40}
    assert await worker.differences() == []


# Several partitions in one batch.


async def test_a_batch_of_several_partitions_is_one_transaction(worker, hit, monkeypatch):
    begun = []

    @asynccontextmanager
    async def counted():
        begun.append(1)
        async with batch_transaction() as db:
            yield db

    monkeypatch.setattr(sink_module, "batch_transaction", counted)
    keys = {p: secrets.token_hex(16) for p in (0, 2, 3)}
    hits = {p: [hit(at, session_key=keys[p], visitor=keys[p]) for at in range(p + 1)] for p in keys}
    await worker.store([record for p in (3, 0, 2) for record in worker.records(*hits[p], partition=p)])
    assert len(begun) == 1
    assert await worker.event_ids() == sorted(one.event_id for of in hits.values() for one in of)
    assert [await worker.position(p) for p in range(4)] == [1, None, 3, 4]
    assert await worker.outcomes() == {"received": 8, "stored": 8}
    stored = await worker.rows("SELECT encode(uuid_send(key), 'hex'), partition FROM session_states")
    assert {partition: key for key, partition in stored if key in keys.values()} == keys
    assert await worker.differences() == []


async def test_very_much_at_once_is_stored_in_parts(worker, hit, monkeypatch):
    hits = {p: [hit(at, session_key=f"{p:032x}", visitor=f"{p:032x}") for at in range(9)] for p in range(3)}
    records = [record for p in hits for record in worker.records(*hits[p], partition=p)]
    monkeypatch.setattr(sink_module, "MOST_BYTES", 4 * len(records[0].value))
    written = await worker.store([*records[20:], *records[:20], *records[5:8]])
    assert len(written) > 5
    assert await worker.outcomes() == {"received": 27, "stored": 27}
    assert {row.pageviews for row in (await worker.sessions()).values()} == {9}
    assert await worker.differences() == []


async def test_of_each_partition_only_what_is_new_is_stored(worker, hit):
    keys = [secrets.token_hex(16) for _ in range(3)]
    hits = [[hit(at, session_key=key, visitor=key) for at in range(4)] for key in keys]
    records = [worker.records(*hits[p], partition=p) for p in range(3)]
    await worker.store([*records[0][:2], *records[1]])
    await worker.store([*records[2], *records[1], *records[0]])
    await worker.store([*records[0], *records[1], *records[2]])
    assert [await worker.position(p) for p in range(3)] == [4, 4, 4]
    assert await worker.outcomes() == {"received": 12, "stored": 12}
    assert {row.pageviews for row in (await worker.sessions()).values()} == {4}
    assert await worker.differences() == []


async def test_a_gap_in_one_partition_leaves_the_others_as_they_were(worker, hit):
    first, second = worker.records(hit(0), hit(1)), worker.records(hit(2, session_key="5a" * 16), partition=1)
    with pytest.raises(Gap):
        await worker.store([*second, first[1]])
    assert await worker.event_ids() == []
    await worker.store([*second, *first])
    assert await worker.outcomes() == {"received": 3, "stored": 3}


async def test_what_cannot_be_stored_is_set_aside_with_the_partition_it_came_from(worker, hit):
    good, bad = hit(0), hit(1, title="\0", session_key="5b" * 16)
    unreadable = Record(3, 0, b"nonsense")
    await worker.store([*worker.records(good), *worker.records(bad, partition=2), unreadable])
    assert await worker.event_ids() == [good.event_id]
    assert [failure[:2] for failure in await worker.failures()] == [(3, 0), (2, 0)]
    assert [await worker.position(p) for p in (0, 2, 3)] == [1, 1, 1]
    assert await worker.outcomes() == {"received": 3, "stored": 1, "failed": 2}


async def test_a_writer_counts_its_records_in_each_partition_of_a_batch_anew(worker, hit):
    hits = [hit(at, session_key=f"{at:032x}") for at in range(4)]
    await worker.store([make_record(0, hits[p], sequence=7, partition=p) for p in (0, 1)])
    await worker.store(
        [make_record(1, hits[0], sequence=7), make_record(1, hits[2], hits[3], sequence=8, partition=1)],
    )
    assert await worker.event_ids() == [one.event_id for one in hits]
    assert await worker.outcomes() == {"received": 5, "stored": 4, "written_twice": 1}


async def test_workers_that_take_overlapping_partitions_in_any_order_store_each_hit_once(worker, hit):
    keys = [secrets.token_hex(16) for _ in range(4)]
    hits = [[hit(at, session_key=key, visitor=key) for at in range(20)] for key in keys]
    records = [worker.records(*hits[p], partition=p) for p in range(4)]
    other = Sink(worker.topic, agent.write)

    async def offer(sink, partitions, step):
        for first in range(0, 20, step):
            await sink.store([record for p in partitions for record in records[p][: first + step]])

    await asyncio.gather(offer(worker.sink, (3, 1, 0), 3), offer(other, (1, 2, 3), 2), offer(other, (0, 2), 7))
    assert await worker.outcomes() == {"received": 80, "stored": 80}
    assert {row.pageviews for row in (await worker.sessions()).values()} == {20}
    assert await worker.differences() == []


# The position.


async def test_the_position_moves_with_what_is_stored_and_remembers_the_record_before_it(worker, hit):
    records = worker.records(hit(0), hit(90), make_leave(30, session_key=worker.session_key))
    await worker.store(records[:2])
    ((offset, digest, stream_at),) = await worker.rows(
        "SELECT next_offset, last_digest, stream_at FROM stream_positions WHERE topic = %s", worker.topic
    )
    assert (offset, bytes(digest)) == (2, digest_of(records[1]))
    assert stream_at.timestamp() * 1000 == NOON_MS + 90_000
    await worker.store(records[2:])
    query = "SELECT stream_at FROM stream_positions WHERE topic = %s"
    assert await worker.value(query, worker.topic) == stream_at, "it never steps back"


async def test_a_gap_is_raised_and_nothing_is_stored(worker, hit):
    records = worker.records(*(hit(at) for at in range(5)))
    await worker.store(records[:2])
    with pytest.raises(Gap) as raised:
        await worker.store(records[3:])
    assert (raised.value.expected, raised.value.got) == (2, 3)
    assert len(await worker.event_ids()) == 2
    assert await worker.position() == 2


async def test_an_empty_batch_and_an_empty_record_are_nothing(worker):
    assert await worker.store([]) == []
    await worker.store([make_record(0), make_record(1)])
    assert await worker.position() == 2
    assert await worker.outcomes() == {}


# Bad hits.


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "a\0b"},
        {"path": "/\0"},
        {"kind": 2, "name": "\0"},
        {"country": "\0"},
        {"properties": {"a": "\0"}},
        {"properties": {"\0": 1}},
        {"currency": "EUR", "title": "\0" * 2000},
    ],
    ids=["title", "path", "name", "country", "property", "name of a property", "nothing but"],
)
async def test_a_hit_that_postgres_refuses_is_set_aside_and_the_others_of_its_batch_are_stored(worker, hit, fields):
    hits = [hit(at) for at in range(9)]
    bad = hit(-5, **fields)
    records = [make_record(0, *hits[:3]), make_record(1, hits[3], bad, hits[4]), make_record(2, *hits[5:])]
    await worker.store(records)
    assert await worker.event_ids() == [one.event_id for one in hits]
    assert await worker.outcomes() == {"received": 10, "stored": 9, "failed": 1}
    ((partition, offset, value, error),) = await worker.failures()
    assert (partition, offset, HITS.item(value)) == (0, 1, bad)
    assert error
    assert "\0" not in error
    assert await worker.position() == 3
    assert await worker.differences() == []
    ((row),) = (await worker.sessions()).values()
    assert (row.pageviews, row.entry_path) == (9, "/")


async def test_bad_hits_of_every_sort_among_good_ones_are_each_set_aside(worker, hit):
    good = [hit(at) for at in range(30)]
    mixed = list(good)
    bad = [hit(7, title=f"{number}\0") for number in range(6)]
    for number, one in enumerate(bad):
        mixed.insert(number * 5, one)
    nan = encode(hit(1, properties={"a": 5.0})).replace(b"5.0", b"NaN")
    deep = encode(hit(1)).replace(b'{"t"', b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b',"t"')
    record = make_record(0, *mixed)
    value = record.value.replace(b'"hits":[', b'"hits":[%b,%b,' % (nan, deep))
    await worker.store([Record(0, 0, value), Record(0, 1, b"\xff\0"), Record(0, 2, b""), make_record(3, hit(50))])
    assert await worker.outcomes() == {"received": 41, "stored": 31, "failed": 10}
    values = [bytes(value) for _, _, value, _ in await worker.failures()]
    assert values[:4] == [nan, deep, b"\xff\0", b""]
    assert [HITS.item(value) for value in values[4:]] == bad
    assert len(await worker.event_ids()) == 31
    assert await worker.differences() == []


async def test_an_event_id_that_is_stored_already_is_set_aside(worker, hit):
    first = hit(0)
    await worker.store(worker.records(first))
    await worker.store(worker.records(hit(1), first, hit(2)))
    assert len(await worker.event_ids()) == 3
    assert await worker.outcomes() == {"received": 4, "stored": 3, "failed": 1}
    assert await worker.differences() == []


async def test_a_repeat_of_a_hit_that_was_refused_is_stored(worker, hit):
    client_id = "ef" * 16
    good = hit(1, client_id=client_id)
    await worker.store(worker.records(hit(0, client_id=client_id, title="\0")))
    await worker.store(worker.records(good))
    assert await worker.event_ids() == [good.event_id]
    assert await worker.outcomes() == {"received": 2, "stored": 1, "failed": 1}


async def test_too_many_failures_in_a_row_stop_the_worker_and_leave_the_position(worker, hit, monkeypatch):
    monkeypatch.setattr(sink_module, "FAILURES_IN_A_ROW", 5)
    await worker.store([Record(0, offset, b"bad") for offset in range(4)])
    with pytest.raises(TooManyFailures):
        await worker.store([Record(0, offset, b"bad") for offset in range(4, 6)])
    assert await worker.position() == 4
    assert len(await worker.failures()) == 4
    await worker.store([Record(0, 4, b"bad"), make_record(5, hit(0))])
    await worker.store([Record(0, offset, b"bad") for offset in range(6, 11)])
    assert await worker.position() == 11
    assert await worker.outcomes() == {"received": 11, "failed": 10, "stored": 1}


# Crashes and lost connections.


async def test_a_crash_between_writing_and_committing_leaves_nothing(worker, hit, monkeypatch):
    records = worker.records(*(hit(at) for at in range(3)), make_leave(9, session_key=worker.session_key))

    async def crash(*_):
        assert len(await worker.event_ids()) == 0, "nobody else sees what is not committed"
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(sink_module.store, "move_positions", crash)
        with pytest.raises(RuntimeError, match="crash"):
            await worker.store(records)
    assert (await worker.event_ids(), await worker.position(), await worker.outcomes()) == ([], None, {})
    assert await worker.sessions() == {}
    assert await worker.value("SELECT count(*) FROM session_states WHERE key = %s::uuid", worker.session_key) == 0
    assert await worker.value("SELECT count(*) FROM traffic_rollups WHERE website_id = %s", worker.website_id) == 0
    assert await worker.value("SELECT count(*) FROM stream_writers WHERE topic = %s", worker.topic) == 0
    assert worker.table.copies == {}
    await worker.store(records)
    assert await worker.outcomes() == {"received": 4, "stored": 4}
    assert await worker.differences() == []


async def test_a_worker_that_is_stopped_in_the_middle_leaves_nothing(worker, hit, monkeypatch):
    records = worker.records(hit(0), hit(1))
    reached = asyncio.Event()

    async def hang(*_):
        reached.set()
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(sink_module.store, "move_positions", hang)
        storing = asyncio.create_task(worker.store(records))
        await reached.wait()
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
    assert await worker.event_ids() == []
    await worker.store(records)
    assert await worker.outcomes() == {"received": 2, "stored": 2}


async def test_a_commit_of_which_nobody_knows_whether_it_took_place_is_not_doubled(worker, hit, monkeypatch):
    commits = []

    @asynccontextmanager
    async def lost_answer():
        async with batch_transaction() as db:
            yield db
        commits.append(1)
        if len(commits) == 1:
            raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(sink_module, "batch_transaction", lost_answer)
    records = worker.records(*(hit(at) for at in range(4)))
    assert await worker.store(records) == []
    assert worker.table.copies == {}, "what may not have been committed is not held"
    assert len(await worker.event_ids()) == 4
    await worker.store([*records, *worker.records(hit(4))])
    assert len(commits) == 3
    assert await worker.outcomes() == {"received": 5, "stored": 5}
    assert await worker.differences() == []


async def test_a_connection_cut_before_the_commit_is_tried_again(worker, hit, monkeypatch):
    cuts = []

    async def cut_once(db, hits, partitions):
        written = await agent.write(db, hits, partitions)
        if not cuts:
            cuts.append(1)
            await worker.rows("SELECT pg_terminate_backend(%s)", db.info.backend_pid)
        return written

    worker.sink.write = cut_once
    await worker.store(worker.records(hit(0), hit(1)))
    assert cuts
    assert await worker.outcomes() == {"received": 2, "stored": 2}
    assert await worker.differences() == []


async def test_while_kafka_takes_no_activity_nothing_is_committed_and_then_once(worker, hit, monkeypatch):
    tries = []

    async def tell(folded):
        tries.append(len(await worker.event_ids()))
        if len(tries) < 3:
            raise (KafkaConnectionError("away"), TimeoutError())[len(tries) - 1]

    monkeypatch.setattr(agent, "_tell", tell)
    await worker.store(worker.records(hit(0)))
    assert tries == [0, 0, 0]
    assert await worker.outcomes() == {"received": 1, "stored": 1}


async def test_a_paused_worker_that_lost_its_partition_stores_nothing_when_it_wakes(worker, hit, monkeypatch):
    records = worker.records(*(hit(at) for at in range(6)))
    other = Sink(worker.topic, agent.write)
    await worker.store(records[:3])
    await other.store(records[3:])
    stored = await worker.store(records[3:5])
    assert stored == []
    assert await worker.outcomes() == {"received": 6, "stored": 6}


@pytest.mark.parametrize(("within_s", "is_stored"), [(1, True), (0, False)], ids=["as it is", "control"])
async def test_who_is_cut_off_between_two_statements_holds_no_position_for_ever(worker, hit, within_s, is_stored):
    holds = asyncio.Event()

    async def cut_off():
        async with batch_transaction() as db:
            await store.begin_batch(db, worker.topic, [0], set(), within_s)
            async with db.pipeline():
                await db.execute("SELECT 1")  # the server waits for more, and does not count that as idle
                holds.set()
                await asyncio.sleep(60)

    await worker.store(worker.records(hit(0)))
    silent = asyncio.create_task(cut_off())
    await holds.wait()
    storing = asyncio.create_task(worker.store(worker.records(hit(0), hit(1))))
    done, _ = await asyncio.wait({storing}, timeout=4)
    assert bool(done) is is_stored
    assert await worker.position() == (3 if is_stored else 1)
    for task in (storing, silent):
        task.cancel()
    await asyncio.gather(storing, silent, return_exceptions=True)


@pytest.mark.parametrize("is_slow", ["SELECT pg_sleep(0.8)", None], ids=["the server", "the worker"])
async def test_a_batch_that_takes_too_long_is_given_its_time(worker, hit, monkeypatch, is_slow):
    monkeypatch.setattr(store, "BATCH_WITHIN_S", 0.3)
    attempts = 0

    async def slowly(db, hits, partitions):
        nonlocal attempts
        attempts += 1
        await (db.execute(is_slow) if is_slow else asyncio.sleep(0.8))
        return await agent.write(db, hits, partitions)

    worker.sink.write = slowly
    hits = [hit(0), hit(1)]
    await asyncio.wait_for(worker.store(worker.records(*hits)), 10)
    assert attempts == 2
    assert await worker.event_ids() == [one.event_id for one in hits]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.OperationalError(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.IdleInTransactionSessionTimeout(), True),
        (psycopg.errors.TransactionTimeout(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (KafkaConnectionError(), True),
        (TimeoutError(), True),
        (psycopg.errors.ProgramLimitExceeded(), False),
        (psycopg.DataError(), False),
        (psycopg.IntegrityError(), False),
        (psycopg.ProgrammingError(), False),
        (ValueError(), False),
    ],
)
def test_away_is_what_waiting_mends(error, away):
    assert is_away(error) is away


async def test_a_hit_beyond_a_limit_of_postgres_is_set_aside_and_not_waited_for(worker, hit):
    async def refuse(db, hits, partitions):
        if any(one.title == "too much" for one in hits):
            raise psycopg.errors.ProgramLimitExceeded("index row size exceeds maximum")
        return await agent.write(db, hits, partitions)

    worker.sink.write = refuse
    await worker.store(worker.records(hit(0), hit(1, title="too much"), hit(2)))
    assert await worker.outcomes() == {"received": 3, "stored": 2, "failed": 1}


# Outcomes.


async def test_every_hit_is_accounted_for(worker, hit):
    view = hit(0, client_id="aa" * 16)
    gone = worker.website_id + 1
    worker.gone.add(gone)
    records = [
        make_record(0, view, hit(1, client_id="aa" * 16), hit(2, title="\0")),
        make_record(1, hit(3, website_id=gone), sequence=1),
        make_record(2, hit(3, website_id=gone), sequence=1),
        make_record(3, make_heartbeat(4, 12, session_key=worker.session_key), make_heartbeat(5, view)),
        make_record(4, make_leave(6, session_key=secrets.token_hex(16)), make_leave(6, session_key=worker.session_key)),
        make_record(5, make_event(7, website_id=worker.website_id, session_key=worker.session_key)),
        Record(0, 6, b"nonsense"),
    ]
    await worker.store(records)
    assert await worker.outcomes() == {
        "received": 11,
        "stored": 4,
        "duplicate": 1,
        "failed": 2,
        "written_twice": 1,
        "ignored_website_gone": 1,
        "ignored_unknown_event": 1,
        "ignored_unknown_session": 1,
    }
    assert await worker.differences() == []


async def test_outcomes_are_the_writers_and_add_up_over_batches(worker):
    async def write(_db, hits, _partitions):
        return Written(Counter(stored=len(hits)))

    sink = Sink(worker.topic, write)
    await sink.store([make_record(0, make_hit(), make_hit())])
    await sink.store([make_record(1, make_hit(DAY))])
    assert await worker.outcomes() == {"received": 3, "stored": 3}
