"""Log lines of every process, in one form: for people (`console`) or one JSON object a line (`json`).

`logs.configure(settings)` sets a process up; Faust, which sets logging up by itself, is given `logs.config(settings)`.
"""

import logging
import logging.config
import os
import sys
from io import TextIOBase
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from analytics_app.settings import Settings

# Libraries that tell much: a busy worker would spend an eighth of its time on debug records that nobody reads.
# The last three: Faust's services name their loggers after the module of their class, also where the class is ours.
TALKATIVE = (
    "aiokafka", "faust", "mode", "asyncio", "alembic", "aiohttp.access", "urllib3",
    "analytics_app.app", "analytics_app.transport", "tables.store",
)  # fmt: skip


def configure(settings: Settings, stream: TextIO | TextIOBase | None = None) -> None:
    """Send structlog's and the standard library's records to `stream` (stdout), in the settings' form and level."""
    structlog.configure(
        processors=[*_shared(settings), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(config(settings, stream))


def config(settings: Settings, stream: TextIO | TextIOBase | None = None) -> dict[str, Any]:
    """The same as a dictionary for `logging.config.dictConfig`."""
    level = settings.log_level.upper()
    # At info the libraries speak of warnings only; asking for debug shows their steps, never their debug records.
    library_level = {"DEBUG": "INFO", "INFO": "WARNING"}.get(level, level)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(settings),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(settings, stream)],
            }
        },
        "filters": {"unread": {"()": Unread}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "stream": stream or sys.stdout,
                "formatter": "line",
                "filters": ["unread"],
            },
        },
        "root": {"level": level, "handlers": ["out"]},
        "loggers": {
            **{name: {"level": library_level} for name in TALKATIVE},
            "mode.timers": {"level": "ERROR"},  # it warns of every turn that took longer than the time between two
            "sqlalchemy": {"level": "WARNING"},  # its info is every statement with its values
        },
    }


class Unread(logging.Filter):
    """Keeps out what asyncio says of records for a table's changelog that Kafka did not take, ten lines for each.

    Faust does not look at how they ended; the producer has told of Kafka's absence by then. A copy that the changelog
    lacks is noticed by its version.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return not (record.name == "asyncio" and record.getMessage().startswith("FutureMessage exception was never"))


def _shared(settings: Settings) -> list[Processor]:
    def put_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", settings.worker_name)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        *([put_process] if settings.worker_name != "main" else []),
    ]


def _ending(settings: Settings, stream: TextIO | TextIOBase | None) -> list[Processor]:
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]
    # A process whose lines go to a terminal by way of the supervisor is told so by FORCE_COLOR.
    colours = bool(os.environ.get("FORCE_COLOR")) or (stream or sys.stdout).isatty()
    # Plain: the rich form would print the values of local variables, and with them what visitors sent.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colours and not os.environ.get("NO_COLOR"), exception_formatter=plain)]
