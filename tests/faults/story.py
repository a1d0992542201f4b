"""What every story of a fault has: visitors who go on meanwhile, and the comparison afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.compare import differences, realtime_becomes_right, told
from tests.faults.load import ATTEMPT_S, Crowd, Journal
from tests.faults.rig import Rig

RIGHT_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 2.5
OWN_LAG_S = 0.4
"""Up to so much these visitors' own lag counts against the service."""


@asynccontextmanager
async def under_load(
    rig: Rig,
    name: str,
    seed: int,
    *,
    rate: float = 120,
    visitors: int = 200,
    websites: int = 1,
    warm_s: float = 3.0,
    after_s: float = 3.0,
    address: str | None = None,
    prompt: bool = True,
    pages: bool = True,
) -> AsyncIterator[Crowd]:
    """Visitors send while the body hurts the service, and for `after_s` more; then everything is compared.

    `prompt`: every answer must have come within 2.5 s (not so where the process that answers is itself paused).
    `pages`: every visitor must be shown on its last page (which it is by the clock of who took the hit).
    """
    made = [await rig.website(name) for _ in range(websites)]
    crowd = Crowd(address or rig.address, made, rate, seed, visitors=visitors, trials=rig.trials)
    loading = asyncio.create_task(crowd.send(None))
    try:
        await asyncio.sleep(warm_s)
        began = time.monotonic()
        yield crowd
        await asyncio.sleep(after_s)
        lasted_s = time.monotonic() - began
    except BaseException:
        crowd.give_up()
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        raise
    crowd.enough()
    await settle(rig, crowd, await loading, f"{name}, seed {seed}, {lasted_s:.0f} s", prompt=prompt, pages=pages)


async def settle(
    rig: Rig, crowd: Crowd, journal: Journal, name: str, *, prompt: bool = True, pages: bool = True
) -> None:
    """Wait until all is stored and the live views are right, a minute at most; then compare everything."""
    assert not journal.odd, journal.odd[:5]
    drained_s = 0.0
    for topic in rig.topics:
        drained_s += await rig.drained(topic, within_s=RIGHT_WITHIN_S - drained_s)
    website_ids = [website_id for website_id, _ in crowd.websites]
    live_s = max(
        [
            await realtime_becomes_right(rig, journal, website_id, RIGHT_WITHIN_S - drained_s, pages=pages)
            for website_id in website_ids
        ]
    )
    found = await differences(rig, journal, website_ids, times=pages)
    assert not found, told(found, journal, rig)
    never = sum(hit.event_id is None for hit in journal.hits.values())
    retried = sum(hit.attempts > 1 for hit in journal.hits.values())
    rig.figures.append(
        f"{name}: {journal.hits_ok} hits, {journal.heartbeats_ok} heartbeats, {journal.leaves_ok} leaves ok,"
        f" {sum(one.is_told for some in journal.shown.values() for one in some)} exposures; {retried}"
        f" sent again, {never} never ok, {crowd.skipped} not sent; stored after {drained_s:.1f} s, live views right"
        f" {live_s:.1f} s later; slowest answer {journal.slowest_s:.2f} s, 503 {journal.slowest_refusal_s:.2f} s,"
        f" our own lag up to {journal.own_lag_s:.2f} s; answers {dict(journal.answers.most_common(8))}"
    )
    assert journal.hits_ok > 100
    assert journal.shown, "nobody was shown a variant"
    if prompt:
        # A machine that stands still makes answers that came in time seem late: by what it held these visitors up.
        lag_s = journal.own_lag_s if journal.own_lag_s > OWN_LAG_S else 0.0
        assert journal.slowest_s <= ANSWERED_WITHIN_S + lag_s, f"an answer took {journal.slowest_s:.2f} s"
        assert not journal.answers["TimeoutError"], f"no answer at all within {ATTEMPT_S:.0f} s: {journal.answers}"
