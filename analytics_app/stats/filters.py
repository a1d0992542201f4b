"""Filters: what they may ask, how they are read, and what they match."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import re2

from analytics_app.sessions.kinds import SESSION_TERMS, TermKind

Op = Literal["is", "is_not", "contains", "not_contains", "starts_with", "ends_with", "matches"]
NEGATIVE: frozenset[Op] = frozenset({"is_not", "not_contains"})
NONE = "(none)"
"""What a missing value of a dimension is called, in breakdowns and in filters."""

MOST_FILTERS = 20
LONGEST_VALUE = 2_000
LONGEST_PATTERN = 1_000
LONGEST_PROPERTY = 200
PROPERTY = "property:"


@dataclass(frozen=True, slots=True)
class Dimension:
    """What numbers can be broken down and filtered by: a column of the session's row or of the event's.

    `kind` is that of the terms the column holds numbers of; None for a property, whose texts lie in the events.
    """

    name: str
    of_event: bool
    column: str
    kind: TermKind | None


DIMENSIONS: dict[str, Dimension] = {
    "page": Dimension("page", True, "path", TermKind.PATH),
    "title": Dimension("title", True, "title", TermKind.TITLE),
    "event": Dimension("event", True, "name", TermKind.EVENT_NAME),
    "entry_page": Dimension("entry_page", False, "entry_path", TermKind.PATH),
    "exit_page": Dimension("exit_page", False, "exit_path", TermKind.PATH),
} | {name: Dimension(name, False, name, kind) for name, kind in SESSION_TERMS.items()}
"""Every dimension but the properties, which are named `property:<name>`."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One comparison of a text with what is wanted: in Python, and on a column of texts in SQL.

    `sql` None: Postgres cannot do it as Python does, so its texts are fetched and compared here.
    """

    python: Callable[[str, str], bool]
    sql: Callable[[Any, str], Any] | None


MATCHERS: dict[Op, Matcher] = {
    "is": Matcher(lambda text, want: text == want, lambda column, want: column == want),
    "contains": Matcher(lambda text, want: want in text, lambda column, want: column.contains(want, autoescape=True)),
    "starts_with": Matcher(
        lambda text, want: text.startswith(want), lambda column, want: column.startswith(want, autoescape=True)
    ),
    "ends_with": Matcher(
        lambda text, want: text.endswith(want), lambda column, want: column.endswith(want, autoescape=True)
    ),
    # Linear-time: a pattern of a user's never meets `re`.
    "matches": Matcher(lambda text, want: _compiled(want).search(text) is not None, None),
}
MATCHERS["is_not"], MATCHERS["not_contains"] = MATCHERS["is"], MATCHERS["contains"]
"""The comparison behind each operator; a negative one is the opposite of its positive."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: `dimension` `op` `value`."""

    dimension: Dimension
    op: Op
    value: str

    @property
    def negative(self) -> bool:
        """Whether the filter keeps what its comparison does not find."""
        return self.op in NEGATIVE

    @property
    def finds_missing(self) -> bool:
        """Whether the comparison (before it is negated) finds a missing value: only where it is called by its name."""
        return self.value == NONE and self.op in ("is", "is_not")

    def finds(self, texts: Iterable[str]) -> list[bool]:
        """For each text whether the comparison finds it, before it is negated."""
        compare, want = MATCHERS[self.op].python, self.value
        return [compare(text, want) for text in texts]

    def keeps(self, text: str | None) -> bool:
        """Whether something with that value of the dimension (None: missing) passes."""
        found = self.finds_missing if text is None else MATCHERS[self.op].python(text, self.value)
        return found is not self.negative


def dimension_named(name: str) -> Dimension:
    """The dimension of that name. Raises ValueError where there is none."""
    if name.startswith(PROPERTY):
        key = name.removeprefix(PROPERTY)
        if not 0 < len(key) <= LONGEST_PROPERTY:
            raise ValueError(f"a property's name has 1 to {LONGEST_PROPERTY} characters")
        if not storable(key):
            raise ValueError("a property's name holds a character that cannot be stored")
        return Dimension(name, True, key, None)
    if name not in DIMENSIONS:
        raise ValueError(f"unknown dimension {name[:64]!r}; there are {', '.join(DIMENSIONS)} and property:<name>")
    return DIMENSIONS[name]


def parse_filter(text: str) -> Filter:
    """The filter that `<dimension>:<op>:<value>` says; values may hold colons. Raises ValueError with what is wrong."""
    name, op, value = _split(text)
    dimension = dimension_named(name)
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"a value has {LONGEST_VALUE} characters at most")
    if not storable(value):
        raise ValueError("the value holds a character that cannot be stored")
    if op == "matches":
        check_pattern(value)
    return Filter(dimension, op, value)


def _split(text: str) -> tuple[str, Op, str]:
    """Dimension, operator, value. A property's name may hold colons: it ends before the first `:<op>:`."""
    start = len(PROPERTY) if text.startswith(PROPERTY) else 0
    ends = [(at, op) for op in get_args(Op) if (at := text.find(f":{op}:", start)) > 0]
    if not ends or (not start and min(ends)[0] != text.find(":")):
        raise ValueError(f"must read <dimension>:<op>:<value>, with op one of {', '.join(get_args(Op))}")
    at, op = min(ends)
    return text[:at], op, text[at + len(op) + 2 :]


def check_pattern(pattern: str) -> None:
    """Raise ValueError where `pattern` is no regular expression of RE2's, with what is wrong, and where in it."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a regular expression has {LONGEST_PATTERN} characters at most")
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not a valid regular expression: {told}{_place_of(told, pattern)}") from None


def _place_of(told: str, pattern: str) -> str:
    """Where in `pattern` the part lies that RE2 names after its reason; nothing where it names the whole or none."""
    for start in range(1, len(told)):
        part = told[start:]
        if told[:start].endswith(": ") and part in pattern:
            return f" (at character {pattern.index(part) + 1})" if part != pattern else ""
    return ""


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)  # keeps the latest 128 itself


def storable(text: str) -> bool:
    """Whether Postgres takes the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
