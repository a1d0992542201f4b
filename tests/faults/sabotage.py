"""A process with one of its safeguards taken out: `python -m tests.faults.sabotage SABOTAGE…`, then as ever.

What is no sabotage but a fault, made to order, says so.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from faust.streams import Stream
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from agents import sessions, sink
from analytics_app import app, process, transport, watchdog
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.logic import Record, Writer
from analytics_app.transport import Consumer


def no_seek() -> None:
    """It goes on at Kafka's committed offset, not at Postgres' position: Faust's own way."""

    async def seek_to_committed(self: Consumer) -> Mapping[TP, int]:
        offsets = dict(await driver.Consumer.seek_to_committed(self))
        self._due = {tp: offset or 0 for tp, offset in offsets.items()}
        return offsets

    Consumer.seek_to_committed = seek_to_committed  # type: ignore[method-assign]


def take() -> None:
    """It reads its batches by `take`, which acknowledges whatever becomes of them, not by `noack_take`.

    As far as it can be put in: `take_events` is the same code, but yields what the agent needs.
    """
    Stream.noack_take = Stream.take_events  # type: ignore[method-assign]


def wait_once() -> None:
    """A fault: the first such worker waits with its first batch, as for Postgres, until it is stopped."""
    stored, waited = sessions.sink.store, Path(settings().data_dir) / "waited"
    waits = not waited.exists()

    async def wait_or_store(records: Sequence[Record]) -> Any:
        if waits:
            waited.touch()
            await asyncio.sleep(3600)
        return await stored(records)

    sessions.sink.store = wait_or_store  # type: ignore[method-assign]


def believe_commits() -> None:
    """A COMMIT of which nothing was heard is taken for done, and not tried again."""
    wrapped = sink.batch_transaction

    @asynccontextmanager
    async def believing() -> AsyncIterator[Any]:
        at_the_end = False
        try:
            async with wrapped() as db:
                yield db
                at_the_end = True
        except psycopg.OperationalError:
            if not at_the_end:
                raise

    sink.batch_transaction = believing  # type: ignore[assignment]


def give_up() -> None:
    """A batch that Postgres does not take now is not waited with: as Faust's own agents go on after an error."""
    attempt = sink.Sink._attempt

    async def attempt_once(self: Any, *given: Any, **named: Any) -> Any:
        try:
            return await attempt(self, *given, **named)
        except Exception as error:
            if not sink.is_away(error):
                raise
            sink.log.warning("a batch is given up", error=str(error))
            return []

    sink.Sink._attempt = attempt_once  # type: ignore[method-assign]


def trust_records() -> None:
    """What cannot be read is not set aside."""
    parse = sink.parse

    def parse_or_end(record: Record, reader: Any) -> Any:
        parsed = parse(record, reader)
        if parsed.failures:
            raise ValueError(f"a bad record: {parsed.failures[0].error}")
        return parsed

    sink.parse = parse_or_end


def end_once_committed() -> None:
    """A fault: the first such worker is killed as soon as it has committed a batch of hits."""
    attempt, ended = sink.Sink._attempt, Path(settings().data_dir) / "ended"

    async def attempt_and_end(self: Any, *given: Any, **named: Any) -> Any:
        written = await attempt(self, *given, **named)
        if written and self is sessions.sink and not ended.exists():
            ended.touch()
            os._exit(9)
        return written

    sink.Sink._attempt = attempt_and_end  # type: ignore[method-assign]


def tell_late() -> None:
    """What funnels want of a batch is told after it is committed, not before."""
    tell, stored, waiting = sessions._tell_funnels, sessions.sink.store, []

    async def later(folded: Any) -> None:
        waiting.append(folded)

    async def store_and_tell(records: Sequence[Record]) -> Any:
        written = await stored(records)
        while waiting:
            await tell(waiting.pop())
        return written

    sessions._tell_funnels = later
    sessions.sink.store = store_and_tell  # type: ignore[method-assign]


def no_doubt() -> None:
    """A web process that Postgres answers no more goes on waiting for it."""
    start = app.App.on_first_start

    async def start_trusting(self: Any) -> None:
        from web import presence  # by now: Faust imports it

        presence.Presence.hangs = lambda _self: False  # type: ignore[method-assign]
        await start(self)

    app.App.on_first_start = start_trusting  # type: ignore[method-assign]


def forget_position() -> None:
    """A batch is stored whatever the position says, as if nobody could have stored it before."""

    def fresh(_next_offset: int, records: Sequence[Record]) -> list[Record]:
        return sorted(records, key=lambda record: record.offset)

    sink.fresh = fresh  # type: ignore[assignment]


def forget_writers() -> None:
    """What a producer wrote twice is not recognised."""

    begin = store.begin_batch

    async def without_sequences(*given: Any) -> tuple[dict[int, int], dict[Writer, int]]:
        next_offsets, _ = await begin(*given)
        return next_offsets, {}

    store.begin_batch = without_sequences


def forget_clients() -> None:
    """What a client sent twice is not recognised."""
    claim = sessions.store.claim_client_ids

    async def claim_and_forget(*given: Any) -> dict[int, int]:
        await claim(*given)
        return {}

    sessions.store.claim_client_ids = claim_and_forget


def believe_topic() -> None:
    """It does not look whether the topic is still the one that was stored from."""
    transport.restart_of = lambda *_: None  # type: ignore[assignment]
    transport.Consumer._end = lambda *_: None  # type: ignore[method-assign]
    watchdog.Progress.ahead = lambda *_: set()  # type: ignore[method-assign]


def no_reread() -> None:
    """After an assignment it reads what is live from now on, not from the start of the window."""
    window_s = 0
    transport_settings = transport.settings

    def without_window() -> Any:
        return transport_settings().model_copy(update={"realtime_window_s": window_s})

    transport.settings = without_window  # type: ignore[assignment]


def stuck_once() -> None:
    """A fault: the first such worker never comes back from the seek, as where a call to Kafka hangs for good."""
    seek, stuck = Consumer.seek_to_committed, Path(settings().data_dir) / "stuck"
    hangs = not stuck.exists()

    async def hang_or_seek(self: Consumer) -> Mapping[TP, int]:
        if hangs:
            stuck.touch()
            await asyncio.sleep(3600)
        return await seek(self)

    Consumer.seek_to_committed = hang_or_seek  # type: ignore[method-assign]


def slow_seek() -> None:
    """A fault: it takes a second until a seek that took place is heard of."""
    wait = driver.AIOKafkaConsumerThread._seek_wait

    async def wait_longer(self: Any, consumer: Any, partitions: Mapping[TP, int]) -> None:
        await wait(self, consumer, partitions)
        await asyncio.sleep(1)

    driver.AIOKafkaConsumerThread._seek_wait = wait_longer  # type: ignore[method-assign]


def put_nothing_back() -> None:
    """What a fetch takes that a seek overtook is handed on, or to nobody."""
    transport.ConsumerThread._fetch_records = driver.AIOKafkaConsumerThread._fetch_records  # type: ignore[method-assign]


def pass_over_once() -> None:
    """A fault: the first record of each partition that funnels follow is lost on its way, the first time it comes."""
    fetch, folder = driver.Consumer.getmany, Path(settings().data_dir)

    async def getmany(self: Consumer, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        async for tp, message in fetch(self, timeout):
            mark = folder / f"lost-{tp.partition}"
            if tp.topic.endswith("-visitor-events") and message.offset == 0 and not mark.exists():
                mark.touch()
                continue
            yield tp, message

    driver.Consumer.getmany = getmany  # type: ignore[method-assign]


def no_watchdog() -> None:
    """Nobody ends a worker that gets nowhere."""
    watchdog.Watchdog.run = lambda _self: None  # type: ignore[method-assign]


def hang_in_stop() -> None:
    """A fault: something hangs while the process stops."""
    stop = app.App.on_stop

    async def hanging(self: Any) -> None:
        await stop(self)
        await asyncio.sleep(3600)

    app.App.on_stop = hanging  # type: ignore[method-assign]


def no_deadline() -> None:
    """A stop takes as long as it takes."""

    class Never(threading.Timer):
        def __init__(self, _interval: float, *arguments: Any, **named: Any) -> None:
            super().__init__(3600.0, *arguments, **named)

    app.threading.Timer = Never  # type: ignore[misc]


def early_ok() -> None:
    """A hit is answered before Kafka has it."""
    start = app.App.on_first_start

    async def start_lying(self: Any) -> None:
        from web import edge  # by now: Faust imports it, and only for this role

        put = edge.Edge.put

        def put_and_answer(self: Any, session_key: str, hit: bytes) -> Any:
            put(self, session_key, hit)
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        edge.Edge.put = put_and_answer  # type: ignore[method-assign]
        await start(self)

    app.App.on_first_start = start_lying  # type: ignore[method-assign]


def all_of() -> Iterator[Callable[[], None]]:
    """Every sabotage and fault."""
    yield from (no_seek, take, wait_once, believe_commits, forget_position, forget_writers, believe_topic)
    yield from (forget_clients, give_up, trust_records, end_once_committed, tell_late, no_doubt)
    yield from (no_reread, stuck_once, slow_seek, put_nothing_back, pass_over_once, no_watchdog)
    yield from (hang_in_stop, no_deadline, early_ok)


SABOTAGES = {one.__name__.replace("_", "-"): one for one in all_of()}

if __name__ == "__main__":
    for word in sys.argv[1:]:
        SABOTAGES[word]()
    sys.argv[1:] = []
    process.main()
