"""The way from a browser to the service: requests that break off, answers that never arrive, half-open connections."""

import asyncio
import random
import time

import pytest

from tests.faults.proxy import Link
from tests.faults.rig import Rig
from tests.faults.story import under_load
from tests.faults.test_unknown import outcome
from tests.faults.wire import ANSWER_CUT, BREAKS_OFF, HALF_OPEN, RequestCuts

EACH_AT_LEAST = 8


@pytest.mark.long
async def test_a_hit_whose_connection_is_cut_or_half_open_is_sent_again_and_counts_once(rig: Rig, seed: int) -> None:
    before = await outcome(rig, "duplicate")
    cuts = RequestCuts(random.Random(seed), share=0.05, most=90)
    link = Link("web", lambda: rig.port)
    link.cuts = cuts
    try:
        address = f"http://127.0.0.1:{link.port}"
        async with under_load(rig, "browsers' connections cut", seed, address=address, prompt=False):
            until = time.monotonic() + 40
            while any(cuts.cut.count(how) < EACH_AT_LEAST for how in (BREAKS_OFF, ANSWER_CUT, HALF_OPEN)):
                assert time.monotonic() < until, cuts.cut
                await asyncio.sleep(1)
                link.reset()  # the connections that are kept alive, too, whatever they are at
            link.cuts = None
    finally:
        link.close()
    twice = await outcome(rig, "duplicate") - before
    counts = {how: cuts.cut.count(how) for how in (BREAKS_OFF, ANSWER_CUT, HALF_OPEN)}
    rig.figures.append(f"browsers' connections: {counts}; hits that came twice: {twice}")
    assert twice >= EACH_AT_LEAST // 2
