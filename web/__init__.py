"""The API: one line a resource, then what every request passes through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp.web import Application

from analytics_app.app import app
from analytics_app.bootstrap import accept_given_token_in_time
from analytics_app.settings import settings
from web import fast_path, health, metrics, stream_figures
from web.auth import LAST_USED
from web.errors import answer_errors
from web.headers import put_headers
from web.presence import PRESENCE
from web.server import Runner


def mount() -> None:
    """Hang every resource under its path."""
    add = app.web.blueprints.add
    add("/health", health.blueprint)
    add("", metrics.blueprint)
    if settings().role == "worker":  # it serves nobody but its operator
        return
    # A worker loads none of it.
    from web import (  # noqa: PLC0415
        alerts,
        assignment,
        batch,
        bots,
        consent,
        event_streams,
        experiment_results,
        experiments,
        funnel_numbers,
        funnels,
        gdpr,
        goals,
        heatmap_samples,
        heatmaps,
        openapi,
        pages,
        realtime,
        recording,
        replay_pages,
        replays,
        reports,
        stats,
        tokens,
        track,
        websites,
    )

    add("/analytics", track.blueprint)
    add("/analytics", batch.blueprint)
    add("/analytics", websites.blueprint)
    add("/analytics", stats.blueprint)
    add("/analytics", goals.blueprint)
    add("/analytics", heatmaps.blueprint)
    add("/analytics", heatmap_samples.blueprint)
    add("/analytics", pages.heatmaps)
    add("/analytics", realtime.blueprint)
    add("/analytics", bots.blueprint)
    add("/analytics", reports.blueprint)
    add("/analytics", alerts.blueprint)
    add("/analytics", gdpr.blueprint)
    add("/analytics", consent.blueprint)
    add("/analytics", experiments.blueprint)
    add("/analytics", experiment_results.blueprint)
    add("/analytics", assignment.blueprint)
    add("/analytics", funnels.blueprint)
    add("/analytics", funnel_numbers.blueprint)
    add("/analytics", recording.blueprint)
    add("/analytics", replays.blueprint)
    add("/analytics", tokens.blueprint)
    add("/analytics", openapi.blueprint)
    add("/analytics", pages.docs)
    add("", pages.scripts)
    add("", pages.demo)
    add("", replay_pages.blueprint)
    fast_path.ROUTES.update(track.AT_ONCE)
    app.web.web_app.on_shutdown.append(event_streams.end_all)


async def background(_: Application) -> AsyncIterator[None]:
    """What runs beside the requests for as long as they are served."""
    works = [PRESENCE.keep_looking, LAST_USED.keep_writing, accept_given_token_in_time]
    if settings().role != "worker":
        from web import exposures  # noqa: PLC0415
        from web.first_answers import ask_beforehand  # noqa: PLC0415
        from web.heatmap_samples import SAMPLES  # noqa: PLC0415
        from web.intake import EDGE, warm_up  # noqa: PLC0415
        from web.judging import DETECTED, SIGHTINGS  # noqa: PLC0415
        from web.limits import LIMITS  # noqa: PLC0415
        from web.recording import EDGE as RECORDINGS  # noqa: PLC0415
        from web.recording import STOPPED  # noqa: PLC0415
        from web.running import RUNNING  # noqa: PLC0415

        works += [LIMITS.keep_settled, RUNNING.keep_reading, SIGHTINGS.keep_writing, STOPPED.keep_reading]
        works += [stream_figures.keep_writing, ask_beforehand]
        warm_up()
        edges = (EDGE, DETECTED, exposures.EDGE, RECORDINGS, SAMPLES)
        for edge in edges:
            await edge.on_start()
    tasks = [asyncio.create_task(work()) for work in works]
    yield
    if settings().role != "worker":
        for edge in edges:
            await edge.on_stop()
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


mount()
app.web._runner = Runner(app.web.web_app)  # noqa: SLF001 - Faust leaves no other place for it
app.web.web_app.middlewares.append(answer_errors)
app.web.web_app.on_response_prepare.append(put_headers)
app.web.web_app.cleanup_ctx.append(background)
