"""Negative controls: with a safeguard taken out, the same comparison finds what is lost or wrong.

What is taken out is taken out by `tests.faults.sabotage`, in processes of their own on topics of their own. Beside each
stands the same story with the safeguard in.
"""

import asyncio
import contextlib
import random
import secrets
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import needs
from tests.faults.control import Control, outcomes, until
from tests.faults.hits import hit, record, session_of
from tests.faults.load import Crowd
from tests.faults.rig import PARTITIONS, Rig
from tests.faults.test_topics import commit, recreate
from tests.faults.wire import CommitCuts

RECORDS = 12


def lost(found: list[str]) -> bool:
    return any("is lost" in difference for difference in found)


def ahead(seed: int) -> Callable[[Control], Awaitable[None]]:
    """Kafka believes that something was done; Postgres says that nothing was."""

    async def before(control: Control) -> None:
        chance = random.Random(seed)
        offsets = {partition: chance.randint(1, RECORDS) for partition in range(PARTITIONS)}
        await commit(control.rig, control.topic, control.app_id, offsets)
        for partition in offsets:
            await control.rig.query(
                "INSERT INTO stream_positions (topic, partition, next_offset) VALUES (%s, %s, 0)",
                control.topic, partition,
            )  # fmt: skip

    return before


async def test_without_the_seek_hits_that_kafka_believes_done_are_lost(rig: Rig, tmp_path: Path) -> None:
    (sound, said), *behind = await asyncio.gather(
        outcomes(rig, tmp_path, before=ahead(1)),
        outcomes(rig, tmp_path, "no-seek", before=ahead(1)),
        outcomes(rig, tmp_path, "no-seek", before=ahead(2)),
    )
    assert not sound, (sound, said)
    for found, _ in behind:
        assert lost(found), found


@pytest.mark.long
async def test_take_loses_the_batch_in_hand_of_a_worker_that_is_stopped_unless_postgres_owns_the_position(
    rig: Rig, tmp_path: Path
) -> None:
    (gone, taking), (kept, said), (covered, covering) = await asyncio.gather(
        outcomes(rig, tmp_path, "take", "no-seek", "wait-once"),
        outcomes(rig, tmp_path, "no-seek", "wait-once"),
        outcomes(rig, tmp_path, "take", "wait-once"),
    )
    assert lost(gone), (gone, taking)
    assert not kept, (kept, said)  # so it was `take`
    assert not covered, (covered, covering)  # the seek mends even that


def commits_cut(share_before: float) -> Callable[[Control], Awaitable[None]]:
    """Nothing is heard of many a COMMIT; this part of them is cut before it takes place."""

    async def before(control: Control) -> None:
        control.link.cuts = CommitCuts(random.Random(1), share=0.8, most=8, share_before=share_before)

    return before


async def test_a_commit_of_which_nothing_was_heard_must_be_looked_after(rig: Rig, tmp_path: Path) -> None:
    """Taken for done, it loses hits; tried again without a look at the position, it stores them again."""
    (sound, said), (once, _), (believed, _), (again, _) = await asyncio.gather(
        outcomes(rig, tmp_path, before=commits_cut(0.5), ANALYTICS_BATCH_RECORDS="4"),
        outcomes(rig, tmp_path, before=commits_cut(0.0), ANALYTICS_BATCH_RECORDS="4"),
        outcomes(rig, tmp_path, "believe-commits", before=commits_cut(1.0), ANALYTICS_BATCH_RECORDS="4"),
        outcomes(rig, tmp_path, "forget-position", "forget-writers", before=commits_cut(0.0),
                 ANALYTICS_BATCH_RECORDS="4"),
    )  # fmt: skip
    assert not sound, (sound, said)
    assert not once, once
    assert lost(believed), believed
    assert any("set aside" in difference for difference in again), again  # the events' key refused them


@pytest.mark.long
async def test_a_batch_that_finds_the_disk_full_must_be_waited_with(rig: Rig, tmp_path: Path) -> None:
    """Given up, it is lost, but for Postgres' position: either guard covers for the other."""
    needs("a disk to fill", lacking=rig.no_disks)
    words = (), ("no-seek",), ("give-up",), ("give-up", "no-seek")
    together = {"ANALYTICS_BATCH_WITHIN_S": "2"}  # what is put at once comes as one batch
    controls = [Control(rig, tmp_path, *some, **together) for some in words]
    try:
        for control in controls:
            await control.prepare()
        with contextlib.ExitStack() as processes:
            for control in controls:
                process = processes.enter_context(control.process())
                await until(control.is_drained, process, control)
            rig.disks["postgres"].fill()
            for control in controls:
                await control.put_hits()
            for control in controls:
                await until(lambda c=control: "No space left" in c.last_words(), process, control)
            await asyncio.sleep(8)  # Faust commits what is done with
        rig.disks["postgres"].free()
        for control in controls:
            await control.put_hits()
        sound, waiting, covered, gone = await asyncio.gather(*(control.run() for control in controls))
    finally:
        rig.heal()
        for control in controls:
            control.link.close()
    assert not sound, (sound, controls[0].last_words())
    assert not waiting, (waiting, controls[1].last_words())
    assert not covered, (covered, controls[2].last_words())
    assert lost(gone), (gone, controls[3].last_words())


@pytest.mark.long
async def test_a_record_that_cannot_be_read_must_be_set_aside(rig: Rig, tmp_path: Path) -> None:
    async def bad(control: Control) -> None:
        await rig.put([b"no record"] * 1, 0, control.topic)
        await control.put_hits()

    (sound, _), (stuck, _) = await asyncio.gather(
        outcomes(rig, tmp_path, before=bad), outcomes(rig, tmp_path, "trust-records", before=bad)
    )
    assert sound
    assert all("set aside" in difference for difference in sound), sound  # the bad one
    assert lost(stuck), stuck


@pytest.mark.long
async def test_what_funnels_want_must_be_told_before_the_commit(rig: Rig, tmp_path: Path) -> None:
    async def run(*words: str) -> tuple[list[str], str]:
        control = Control(rig, tmp_path, "end-once-committed", *words, ANALYTICS_BATCH_RECORDS="4")
        control.whole = True
        try:
            await control.prepare()
            return await control.run(), control.last_words()
        finally:
            await control.close()

    sound, said = await run()
    late, _ = await run("tell-late")
    assert not sound, (sound, said)
    assert any(difference.startswith("funnel ") for difference in late), late


@pytest.mark.long
@pytest.mark.parametrize("role", ["worker", "web"])
async def test_a_process_whose_connections_nobody_answers_must_end(rig: Rig, tmp_path: Path, role: str) -> None:
    async def ends(*words: str) -> bool:
        control = Control(rig, tmp_path, *words)
        try:
            await control.prepare()
            with contextlib.ExitStack() as processes:
                if role == "web":
                    process, _ = processes.enter_context(control.web())
                else:
                    process = processes.enter_context(control.process())
                    await until(control.is_drained, process, control)
                control.link.strand()
                await control.put_hits()
                gone, _ = await asyncio.to_thread(psutil.wait_procs, [psutil.Process(process.pid)], 45)
                return bool(gone)
        finally:
            control.link.close()

    blind = "no-doubt" if role == "web" else "no-watchdog"
    assert await asyncio.gather(ends(), ends(blind, *(["no-doubt"] if role == "worker" else []))) == [True, False]


async def test_without_writers_and_sequences_a_record_written_twice_is_stored_twice(rig: Rig, tmp_path: Path) -> None:
    async def again(control: Control) -> None:
        await control.put_hits(twice=True)

    (sound, said), (twice, _) = await asyncio.gather(
        outcomes(rig, tmp_path, before=again, ANALYTICS_BATCH_RECORDS="1"),
        outcomes(rig, tmp_path, "forget-writers", before=again, ANALYTICS_BATCH_RECORDS="1"),
    )
    assert not sound, (sound, said)
    assert any("set aside" in difference for difference in twice), twice  # the events' key refused them


@pytest.mark.long
async def test_without_clients_ids_a_hit_that_is_sent_again_counts_twice(rig: Rig, tmp_path: Path) -> None:
    async def again(control: Control) -> None:
        await control.put_hits(again=True)

    (sound, said), (twice, _) = await asyncio.gather(
        outcomes(rig, tmp_path, before=again), outcomes(rig, tmp_path, "forget-clients", before=again)
    )
    assert not sound, (sound, said)
    assert any("was never sent" in difference for difference in twice), twice  # nobody's second one


@pytest.mark.long
async def test_without_the_look_at_the_topic_a_new_one_is_read_from_its_middle(rig: Rig, tmp_path: Path) -> None:
    async def anew(control: Control) -> None:
        with control.process() as process:
            await until(control.is_drained, process, control)
        await recreate(rig, control.topic)
        await control.make_topics()
        control.put = 0
        await control.put_hits()
        await control.put_hits()

    (sound, said), (blind, _) = await asyncio.gather(
        outcomes(rig, tmp_path, before=anew), outcomes(rig, tmp_path, "believe-topic", before=anew)
    )
    assert not sound, (sound, said)
    assert lost(blind), blind


@pytest.mark.long
async def test_without_the_watchdog_a_worker_that_never_recovers_stays_so(rig: Rig, tmp_path: Path) -> None:
    async def run(*words: str, within_s: float = 240.0) -> tuple[list[str], str]:
        control = Control(rig, tmp_path, *words)
        try:
            await control.prepare()
            return await control.run(within_s), control.last_words()
        finally:
            control.link.close()

    (sound, said), (stuck, _) = await asyncio.gather(run("stuck-once"), run("stuck-once", "no-watchdog", within_s=60))
    assert not sound, (sound, said)
    assert "none is stored" in said
    assert lost(stuck), stuck


@pytest.mark.long
async def test_what_a_seek_overtook_must_be_put_back(rig: Rig, tmp_path: Path) -> None:
    async def had_tables(control: Control) -> None:
        """It stored before, and has to recover its tables, which is when Faust seeks while it fetches."""
        words, control.words = control.words, []
        assert not await control.run(), control.last_words()
        shutil.rmtree(control.folder / "tables")
        await control.put_hits()
        control.words = words

    (sound, said), (stuck, _) = await asyncio.gather(
        outcomes(rig, tmp_path, "slow-seek", "no-watchdog", before=had_tables),
        outcomes(rig, tmp_path, "slow-seek", "put-nothing-back", "no-watchdog", before=had_tables),
    )
    assert not sound, (sound, said)
    assert lost(stuck), stuck


@pytest.mark.long
async def test_without_the_watchdog_a_partition_that_stands_still_beside_others_stays_so(
    rig: Rig, tmp_path: Path
) -> None:
    async def run(*words: str, within_s: float = 240.0) -> tuple[list[str], bool, str]:
        control = Control(rig, tmp_path, "pass-over-once", *words)
        control.whole = True
        try:
            await control.prepare()
            return await control.run(within_s), await control.is_drained(), control.last_words()
        finally:
            await control.close()

    sound, is_mended, said = await run()
    assert not sound, (sound, said)
    assert is_mended, said
    assert "none is stored" in said
    _, is_mended, _ = await run("no-watchdog", within_s=60)
    assert not is_mended


@pytest.mark.long
async def test_without_the_reread_the_live_view_forgets_whoever_was_there(rig: Rig, tmp_path: Path) -> None:
    async def viewed(*words: str) -> int:
        control = Control(rig, tmp_path)
        try:
            await control.prepare()  # a visitor in each partition
            with control.process() as process:
                await until(control.is_drained, process, control)
            control.words = list(words)
            await rig.put([record([hit(control.website_id, session_of(0))])], 0, control.topic)
            with control.process() as process:
                await until(lambda: one_more(control), process, control)
                await asyncio.sleep(2)
            return await shown(control)
        finally:
            control.link.close()

    async def one_more(control: Control) -> bool:
        return (await rig.positions(control.topic))[0] > RECORDS

    async def shown(control: Control) -> int:
        view = await rig.call("GET", f"/analytics/websites/{control.website_id}/realtime")
        return int(view["active_visitors"])

    sound, forgetful = await asyncio.gather(viewed(), viewed("no-reread"))
    assert sound == PARTITIONS + 1
    assert forgetful < PARTITIONS + 1


@pytest.mark.long
async def test_without_the_deadline_a_stop_that_hangs_takes_for_ever(rig: Rig, tmp_path: Path) -> None:
    async def ends(*words: str) -> bool:
        control = Control(rig, tmp_path, *words)
        try:
            await control.prepare()
            with control.process() as process:
                await until(control.is_drained, process, control)
                process.send_signal(signal.SIGTERM)
                gone, _ = await asyncio.to_thread(psutil.wait_procs, [psutil.Process(process.pid)], 20)
                return bool(gone)
        finally:
            control.link.close()

    assert await asyncio.gather(ends("hang-in-stop"), ends("hang-in-stop", "no-deadline")) == [True, False]


async def while_kafka_takes_nothing(
    rig: Rig, folder: Path, *words: str, how: str = "silent", **settings: str
) -> tuple[Crowd, list[str]]:
    """What visitors of a web process are told meanwhile, and what of it is true when it was killed at the end."""
    control = Control(rig, folder, *words, **settings)
    hurt = rig.links["kafka"].silence if how == "silent" else rig.disks["kafka"].fill
    try:
        await control.prepare()
        with control.web() as (process, address):
            crowd = Crowd(address, [(control.website_id, control.key)], rate=20, seed=1)
            crowd.journal = control.journal
            hurt()
            loading = asyncio.create_task(crowd.send(4))
            await asyncio.sleep(7)
            process.kill()
            rig.heal()
            crowd.give_up()
            await asyncio.gather(loading, return_exceptions=True)
        control.words = []
        found = await control.run()
        return crowd, found
    finally:
        rig.heal()
        control.link.close()


@pytest.mark.long
@pytest.mark.parametrize("how", ["silent", "disk full"])
async def test_an_ok_before_kafka_has_the_hit_would_be_a_lie(rig: Rig, tmp_path: Path, how: str) -> None:
    if how == "disk full":
        needs("a disk to fill", lacking=rig.no_disks)
    crowd, found = await while_kafka_takes_nothing(rig, tmp_path, how=how)
    assert how != "silent" or not crowd.journal.oks  # what a full disk has allotted can still be written
    assert 0 < crowd.journal.slowest_refusal_s <= 2.5
    assert not found, found
    crowd, found = await while_kafka_takes_nothing(rig, tmp_path, "early-ok", how=how)
    assert crowd.journal.oks
    assert lost(found), found


@pytest.mark.long
async def test_a_refusal_that_takes_longer_than_it_may_is_noticed(rig: Rig, tmp_path: Path) -> None:
    crowd, _ = await while_kafka_takes_nothing(rig, tmp_path, ANALYTICS_ACKNOWLEDGE_WITHIN_S="3")
    assert crowd.journal.slowest_refusal_s > 2.5


@pytest.mark.parametrize("seed", range(1, 7))
async def test_without_the_version_a_table_that_is_behind_ruins_sessions(
    database: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert await Owners(monkeypatch, seed, trusts=False).differences() == []
    assert await Owners(monkeypatch, seed, trusts=True).differences() != []


class Owners:
    """Two workers that take turns on a partition, each with a table that only it writes, and some kills."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int, *, trusts: bool) -> None:
        from agents import sessions as agent
        from agents.sink import Sink
        from analytics_app.sessions.state import Rules, decode_state

        self.random = random.Random(seed)
        self.website_id = 3_000_000 + seed * 10 + trusts
        self.topic = f"owners-{secrets.token_hex(4)}"
        self.sink = Sink(self.topic, agent.write)
        self.tables: list[dict[str, object]] = [{}, {}]
        self.owner = 0
        states_of = agent.store.states_of

        async def trusting(db, held):
            states = await states_of(db, dict.fromkeys(held))
            return states | {key: decode_state(copy.state) for key, copy in held.items() if copy is not None}

        async def tell(_folded):
            pass

        monkeypatch.setattr(
            agent.sessions, "held", lambda keys: {key: self.tables[self.owner].get(key) for key in keys}
        )
        monkeypatch.setattr(agent, "_tell", tell)
        monkeypatch.setattr(agent.DEFINITIONS, "rules", lambda: lambda _website_id: Rules())
        if trusts:
            monkeypatch.setattr(agent.store, "states_of", trusting)
        else:
            monkeypatch.setattr(agent.store, "states_of", states_of)

    async def differences(self) -> list[object]:
        """What a recount finds after 60 batches."""
        from analytics_app.db import snapshot
        from analytics_app.stream.logic import Record
        from analytics_app.verify.store import recount

        sessions = [session_of(0) for _ in range(4)]
        now_ms = round(time.time() * 1000)
        for offset in range(60):
            if self.random.random() < 0.3:
                self.owner = 1 - self.owner
            hits = [
                hit(self.website_id, self.random.choice(sessions), at_ms=now_ms + 1000 * offset, path=f"/{offset}")
                for _ in range(self.random.randint(1, 3))
            ]
            written = await self.sink.store([Record(0, offset, record(hits))])
            if self.random.random() < 0.2:
                continue  # killed before the table was written
            for one in written:
                self.tables[self.owner].update(one.after.held[0])
        async with snapshot() as db:
            return list(await recount(db, bounce_engaged_s=10, website_ids=[self.website_id]))
