"""Failures of commands in one sentence, for the one at the terminal."""

from pydantic import ValidationError

from analytics_app.errors import AnalyticsError


def sentence(error: Exception) -> str:
    """What went wrong and what to do. Kinds are told by name: their libraries are not loaded for this."""
    if isinstance(error, ValidationError):
        return _settings_fault(error)
    if isinstance(error, AnalyticsError) or type(error).__name__ == "TopicMismatch":
        return str(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    libraries = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0] or type(error).__name__
    if "OperationalError" in kinds:
        return f"Postgres does not answer ({reason}). Is `analytics up` running? `analytics doctor` looks closer"
    if "KafkaError" in kinds:
        return f"Kafka does not answer ({reason}). Is `analytics up` running? `analytics doctor` looks closer"
    if libraries & {"psycopg", "sqlalchemy"} and "does not exist" in reason:
        return f"The database is not prepared ({reason}): run `analytics migrate`"
    return f"{reason} ({type(error).__name__}). ANALYTICS_LOG_LEVEL=debug shows where it happened"


def _settings_fault(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]) if fault["loc"] else "?"
        variable = name if name.isupper() else f"ANALYTICS_{name.upper()}"
        faults.append(f"{variable}: {fault['msg'].removeprefix('Value error, ')}")
    return "A setting is wrong. " + "; ".join(faults)
