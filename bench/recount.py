"""What questions come to by a recount of the raw rows, in plain SQL that shares nothing with the service's own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

KINDS = {
    "page": ("e.path", 1),
    "source": ("s.source", 6),
    "country": ("s.country", 13),
    "browser": ("s.browser", 15),
}
"""The column of a dimension, and the kind of its texts."""

COMPARED = {
    "is": sql.SQL("{} = %s"),
    "is_not": sql.SQL("{} IS DISTINCT FROM %s"),
    "contains": sql.SQL("strpos({}, %s) > 0"),
    "matches": sql.SQL("{} ~ %s"),
}


def recounted(
    url: str,
    website: int,
    since: datetime,
    asked: Sequence[tuple[str, str]],
) -> dict[str, Mapping[str, int]]:
    """Visitors and pageviews since `since` by value of the dimension asked for, or under an empty text."""
    filters = [value.split(":", 2) for name, value in asked if name == "filter"]
    by = dict(asked).get("dimension")
    named = {dimension for dimension, *_ in filters} | ({by} if by else set())
    joins = [
        sql.SQL("LEFT JOIN terms {} ON {}.id = {}").format(
            sql.Identifier(name),
            sql.Identifier(name),
            sql.SQL(KINDS[name][0]),  # type: ignore[arg-type]
        )
        for name in sorted(named)
    ]
    held = [COMPARED[op].format(sql.Identifier(name, "text")) for name, op, _ in filters]
    value = sql.SQL("coalesce({}, '(none)')").format(sql.Identifier(by, "text")) if by else sql.SQL("''")
    if by == "page":
        held.append(sql.SQL("e.kind = 1 AND e.path IS NOT NULL"))
    query = sql.SQL(
        "SELECT {}, count(DISTINCT e.visitor), count(*) FILTER (WHERE e.kind = 1) FROM events e "
        "JOIN sessions s ON s.id = e.session_id {} WHERE e.website_id = %s AND e.at >= %s AND {} GROUP BY 1"
    ).format(value, sql.SQL(" ").join(joins), sql.SQL(" AND ").join([sql.SQL("true"), *held]))
    given = [website, since, *(value for _, _, value in filters)]
    with psycopg.connect(url) as db:
        return {text: {"visitors": who, "pageviews": views} for text, who, views in db.execute(query, given)}


def compared(name: str, told: Mapping[str, Any], counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What an answer tells otherwise than the recount: of `stats` the totals, of a breakdown each of its lines."""
    if "data" in told:
        lines = {line["value"]: line for line in told["data"]}
    else:
        lines = {"": {"visitors": told["unique_visitors"], "pageviews": told["total_pageviews"]}}
    wrong = []
    for value, line in lines.items():
        for field in ("visitors", "pageviews"):
            should = counted.get(value, {}).get(field, 0)
            if line[field] != should:
                wrong.append(f"{name} {value}: {field} {line[field]}, by a recount {should}")
    return wrong
