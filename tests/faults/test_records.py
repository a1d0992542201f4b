"""Records that no edge would write, put straight into the topic: set aside or accounted for, and nobody is hurt."""

import asyncio
import json

import pytest

from analytics_app.records import encode
from tests.faults.compare import SHOWN
from tests.faults.hits import hit, record, session_of
from tests.faults.rig import Rig

DEPTH = 1000


def bad_hits(website_id: int, session: str) -> dict[str, bytes]:
    """Hits that cannot be stored, as they would stand in a record."""
    good = json.loads(encode(hit(website_id, session)))

    def but(**fields: object) -> bytes:
        return json.dumps({**good, **fields}).encode()

    def written(field: str, value: bytes) -> bytes:
        return but(**{field: "HERE"}).replace(b'"HERE"', value)

    return {
        "NUL in a text": written("path", rb'"/a\u0000b"'),
        "NUL in a property": but(properties={"a\0": "b\0"}),
        "a lone surrogate": written("path", rb'"/\ud800"'),
        "a lone surrogate in a property": written("properties", rb'{"a": "\udfff"}'),
        "NaN": written("at_ms", b"NaN"),
        "Infinity": written("properties", b'{"a": Infinity}'),
        "1e999": written("at_ms", b"1e999"),
        "depth 1,000": written("properties", b'{"a":' * DEPTH + b"1" + b"}" * DEPTH),
        "depth 1,000 where nobody looks": written("nobody", b"[" * DEPTH + b"]" * DEPTH),
        "2^80": but(event_id=2**80),
        "a negative id": but(event_id=-1),
        "a text for a number": but(website_id="1"),
        "a number for a text": but(path=5),
        "a list for an object": but(properties=[1]),
        "an unknown kind": but(t="nothing"),
        "no kind": b"{}",
        "no object": b"17",
        "bad UTF-8": written("path", b'"/\xff\xfe"'),
        "a bad hash": but(session_key="x" * 32),
        "a name far too long": but(name="n" * 5000),
    }


BAD_RECORDS: dict[str, bytes | None] = {
    "none at all": None,
    "empty": b"",
    "a byte": b"\xff",
    "bad UTF-8": b"\xff\xfe{}",
    "no JSON": b"hello",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "hits that are no list": b'{"writer":"w","sequence":1,"hits":"all"}',
    "a sequence of 2^80": b'{"writer":"w","sequence":1208925819614629174706176,"hits":[]}',
    "depth 1,000": b"[" * DEPTH,
    "depth 100,000": b'{"writer":' + b"[" * 100_000,
    "cut off": b'{"writer":"w","sequence":2,"hits":[{"t":"hit"',
    "1 MB of garbage": bytes(range(256)) * 4096,
    "1 MB of brackets": b"[{" * 500_000,
}


async def failed(rig: Rig, offsets: list[int], partition: int) -> set[int]:
    rows = await rig.query(
        'SELECT DISTINCT "offset" FROM failed_records WHERE topic = %s AND partition = %s AND "offset" = ANY(%s)',
        rig.hits_topic,
        partition,
        offsets,
    )
    return {offset for (offset,) in rows}


async def paths(rig: Rig, website_id: int) -> list[str]:
    """The pages of the website's stored pageviews."""
    query = "SELECT t.text FROM events e JOIN terms t ON t.id = e.path WHERE e.website_id = %s ORDER BY 1"
    return [path for (path,) in await rig.query(query, website_id)]


async def assert_nothing_else_is_wrong(rig: Rig, workers: list[int]) -> None:
    assert rig.pids("worker") == workers, "a worker ended"
    verified = await asyncio.to_thread(rig.run, "verify")
    assert verified.returncode == 0, (verified.stdout + verified.stderr).splitlines()[:SHOWN]


@pytest.fixture
async def workers(rig: Rig) -> list[int]:
    """The workers' process ids, once they are settled."""
    await rig.drained()
    return rig.pids("worker")


async def test_a_bad_hit_is_set_aside_and_the_good_ones_of_its_record_are_stored(rig: Rig, workers: list[int]) -> None:
    website_id, _ = await rig.website("bad hits")
    session = session_of(0)
    cases = bad_hits(website_id, session)
    values = [
        record([hit(website_id, session, path=f"/{n}/before"), bad, hit(website_id, session, path=f"/{n}/after")])
        for n, bad in enumerate(cases.values())
    ]
    offsets = dict(zip(cases, await rig.put(values), strict=True))
    await rig.drained()
    aside = await failed(rig, list(offsets.values()), 0)
    stored = await paths(rig, website_id)
    good = sorted(f"/{n}/{when}" for n in range(len(cases)) for when in ("before", "after"))
    assert [path for path in stored if path in good] == good
    # What is only odd, not wrong, may be stored; but each hit is either stored or set aside.
    assert len(stored) - len(good) + len(aside) == len(cases), {name for name in cases if offsets[name] not in aside}
    assert {name for name in cases if offsets[name] not in aside} <= {"depth 1,000 where nobody looks"}
    await assert_nothing_else_is_wrong(rig, workers)


async def test_a_record_that_is_none_is_set_aside_and_those_around_it_are_stored(rig: Rig, workers: list[int]) -> None:
    website_id, _ = await rig.website("bad records")
    session = session_of(1)
    values: list[bytes | None] = []
    for n, bad in enumerate(BAD_RECORDS.values()):
        values += [record([hit(website_id, session, path=f"/{n}")]), bad]
    values.append(record([hit(website_id, session, path="/last")]))
    offsets = await rig.put(values, partition=1)
    await rig.drained()
    assert await failed(rig, offsets, 1) == set(offsets[1::2])
    assert await paths(rig, website_id) == sorted([*(f"/{n}" for n in range(len(BAD_RECORDS))), "/last"])
    await assert_nothing_else_is_wrong(rig, workers)


async def test_hits_of_a_website_that_is_unknown_are_counted_as_ignored(rig: Rig, workers: list[int]) -> None:
    async def ignored() -> int:
        query = "SELECT coalesce(sum(hits), 0)::int FROM stream_outcomes WHERE outcome = 'ignored_website_gone'"
        return int((await rig.query(query))[0][0])

    before = await ignored()
    await rig.put([record([hit(2_000_000_000, session_of(2)) for _ in range(7)])], partition=2)
    await rig.drained()
    assert await ignored() - before == 7
    await assert_nothing_else_is_wrong(rig, workers)


async def test_what_postgres_refuses_is_set_aside_and_counts_once_however_often_it_is_replayed(
    rig: Rig, workers: list[int]
) -> None:
    website_id, _ = await rig.website("refused")
    good_id, _ = await rig.website("beside it")
    refused, good = session_of(3), session_of(3)
    (settled,) = await rig.query("SELECT coalesce(max(id), 0) FROM failed_records")
    await rig.query(f"ALTER TABLE events ADD CONSTRAINT refused CHECK (website_id <> {website_id}) NOT VALID")
    try:
        hits = [hit(website_id, refused, path=f"/{n}") for n in range(3)]
        await rig.put([record([one, hit(good_id, good, path=f"/{n}")]) for n, one in enumerate(hits)], partition=3)
        await rig.drained()
    finally:
        await rig.query("ALTER TABLE events DROP CONSTRAINT refused")
    assert await paths(rig, website_id) == []
    assert await paths(rig, good_id) == ["/0", "/1", "/2"]
    rows = await rig.query("SELECT id FROM failed_records WHERE id > %s AND topic = %s", settled[0], rig.hits_topic)
    ids = [str(failed_id) for (failed_id,) in rows]
    assert len(ids) == 3

    listed = await asyncio.to_thread(rig.run, "failed", "list", "--limit", "10000")
    assert listed.returncode == 0, listed.stderr
    assert set(ids) <= {line.split()[0] for line in listed.stdout.splitlines() if line.strip()}
    shown = await asyncio.to_thread(rig.run, "failed", "show", ids[0], "--raw")
    assert json.loads(shown.stdout)["website_id"] == website_id

    replayed = await asyncio.to_thread(rig.run, "failed", "replay", *ids)
    assert replayed.returncode == 0, replayed.stderr
    await rig.drained()
    assert await paths(rig, website_id) == ["/0", "/1", "/2"]
    # As if it had been killed between sending and noting that it had.
    await rig.query("UPDATE failed_records SET settled_at = NULL, settled_as = NULL WHERE id > %s", settled[0])
    replayed = await asyncio.to_thread(rig.run, "failed", "replay", *ids)
    assert replayed.returncode == 0, replayed.stderr
    await rig.drained()
    assert await paths(rig, website_id) == ["/0", "/1", "/2"]
    await assert_nothing_else_is_wrong(rig, workers)


async def test_what_cannot_be_read_stays_until_it_is_discarded(rig: Rig, workers: list[int]) -> None:
    await rig.query("UPDATE failed_records SET settled_at = now(), settled_as = 'discarded' WHERE settled_at IS NULL")
    await rig.put([b"not a record", b'{"t":"hit"}'])
    await rig.drained()
    replayed = await asyncio.to_thread(rig.run, "failed", "replay", "--all")
    assert replayed.returncode == 1
    assert replayed.stdout.startswith("0 sent again")
    assert (await rig.query("SELECT count(*) FROM failed_records WHERE settled_at IS NULL"))[0][0] == 2
    discarded = await asyncio.to_thread(rig.run, "failed", "discard", "--all")
    assert discarded.stdout.startswith("2 discarded"), discarded.stderr
    listed = await asyncio.to_thread(rig.run, "failed", "list")
    assert len(listed.stdout.splitlines()) == 1
    both = await asyncio.to_thread(rig.run, "failed", "discard", "--all", "7")
    assert both.returncode == 2
    unknown = await asyncio.to_thread(rig.run, "failed", "replay", "2000000000")
    assert unknown.returncode == 1
    await assert_nothing_else_is_wrong(rig, workers)
