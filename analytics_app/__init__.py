"""Self-hosted web analytics, as a Faust application."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`analytics_app.app`, which `faust -A analytics_app` asks for: loaded only then, commands are quicker without."""
    if name != "app":
        raise AttributeError(name)
    from analytics_app.app import app  # noqa: PLC0415 - see above

    globals()["app"] = app  # importing it put the module of the same name in this place
    return app
