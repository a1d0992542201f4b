"""One web or worker process, as `analytics up` starts it: `faust -A analytics_app worker -l info` without the banner.

Its role, name and ports come from the settings (`ANALYTICS_ROLE`, `ANALYTICS_WORKER_NAME`, …).
"""

import asyncio
from typing import Any

import uvloop

from analytics_app import logs
from analytics_app.app import app
from analytics_app.settings import settings


def main() -> None:
    """Run until a signal or a crash ends it; the exit code tells which."""
    logs.configure(settings())
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # the consumer's thread makes a loop of its own
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app.finalize()
    worker: Any = app.Worker(loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None  # it writes to the terminal by itself
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
