"""`analytics config`: the effective settings."""

import os
from typing import Any

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics_app.settings import Settings

MASK = "********"


def show(settings: Settings) -> None:
    """Print every setting: its variable, value (secrets masked), source and meaning."""
    console = Console(highlight=False)
    if not console.is_terminal:
        for variable, value, source, _ in rows(settings, os.environ):
            console.print(f"{variable}={value}  # {source}", soft_wrap=True, markup=False)
        return
    table = Table("variable", "value", "from", "meaning", box=None, pad_edge=False, header_style="dim")
    for variable, value, source, meaning in rows(settings, os.environ):
        is_set = source != "default"
        table.add_row(
            Text(variable, "bold" if is_set else ""),
            Text(value, overflow="fold"),
            Text(source, "green" if is_set else "dim"),
            meaning,
        )
    console.print(table)


def rows(settings: Settings, environment: "os._Environ[str] | dict[str, str]") -> list[tuple[str, str, str, str]]:
    """(variable, value, source, meaning) of every setting; the source is `default` or the variable it was read from."""
    known = {name.upper(): name for name in environment}
    found = []
    for name, field in Settings.model_fields.items():
        variables = _variables(name, field)
        source = next((known[variable] for variable in variables if variable in known), "default")
        found.append((variables[0], _shown(getattr(settings, name)), source, field.description or ""))
    return found


def _variables(name: str, field: FieldInfo) -> list[str]:
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [f"ANALYTICS_{name.upper()}"]


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
