"""The API: one line a resource, then what every request passes through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp.web import Application

from analytics_app.app import app
from analytics_app.bootstrap import accept_given_token_in_time
from analytics_app.settings import settings
from web import health, metrics, stream_figures
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
    from web import batch, openapi, pages, realtime, stats, tokens, track, websites  # noqa: PLC0415

    add("/analytics", track.blueprint)
    add("/analytics", batch.blueprint)
    add("/analytics", websites.blueprint)
    add("/analytics", stats.blueprint)
    add("/analytics", realtime.blueprint)
    app.web.web_app.on_shutdown.append(realtime.PUSHED.end)
    add("/analytics", tokens.blueprint)
    add("/analytics", openapi.blueprint)
    add("/analytics", pages.docs)
    add("", pages.scripts)
    add("", pages.demo)


async def background(_: Application) -> AsyncIterator[None]:
    """What runs beside the requests for as long as they are served."""
    works = [PRESENCE.keep_looking, LAST_USED.keep_writing, accept_given_token_in_time]
    if settings().role != "worker":
        from web.intake import EDGE, RUNNING, warm_up  # noqa: PLC0415
        from web.limits import LIMITS  # noqa: PLC0415

        works += [LIMITS.keep_settled, RUNNING.keep_reading, stream_figures.keep_writing]
        warm_up()
        await EDGE.on_start()
    tasks = [asyncio.create_task(work()) for work in works]
    yield
    if settings().role != "worker":
        await EDGE.on_stop()
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
