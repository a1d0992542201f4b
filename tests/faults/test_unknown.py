"""What was done and not heard of: a COMMIT whose answer is cut, an acknowledgement that never arrives."""

import asyncio
import random
import time

from tests.faults.rig import Rig
from tests.faults.story import under_load
from tests.faults.wire import AcknowledgementCuts, CommitCuts


async def outcome(rig: Rig, name: str) -> int:
    query = "SELECT coalesce(sum(hits), 0)::int FROM stream_outcomes WHERE outcome = %s AND topic = %s"
    return int((await rig.query(query, name, rig.hits_topic))[0][0])


async def test_a_commit_whose_answer_is_cut_is_stored_once(rig: Rig, seed: int) -> None:
    cuts = CommitCuts(random.Random(seed), share=0.3, most=40)
    async with under_load(rig, "commits cut", seed):
        link = rig.links["postgres"]
        link.cuts = cuts
        link.reset()  # connections are watched from their beginning
        until = time.monotonic() + 60
        while min(cuts.cut.count("after it took place"), cuts.cut.count("before it was heard")) < 5:
            assert time.monotonic() < until, cuts
            await asyncio.sleep(0.5)
        link.cuts = None
        link.reset()
    assert cuts.cut.count("after it took place") >= 3, cuts
    assert cuts.cut.count("before it was heard") >= 3, cuts
    rig.figures.append(f"commits cut: {cuts.cut.count('after it took place')} of {len(cuts.cut)} had taken place")


async def test_a_record_that_is_written_twice_because_its_acknowledgement_was_cut_counts_once(
    rig: Rig, seed: int
) -> None:
    before = await outcome(rig, "written_twice")
    cuts = AcknowledgementCuts(random.Random(seed), share=0.02, most=30)
    cuts.topic = rig.hits_topic.encode()
    async with under_load(rig, "acknowledgements cut", seed):
        link = rig.links["kafka"]
        link.cuts = cuts
        link.reset()
        await asyncio.sleep(12)
        link.cuts = None
    written_twice = await outcome(rig, "written_twice") - before
    rig.figures.append(f"acknowledgements cut: {len(cuts.cut)}, hits written twice: {written_twice}")
    assert len(cuts.cut) >= 3, cuts
    assert written_twice > 0
