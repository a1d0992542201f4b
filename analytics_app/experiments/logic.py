"""Who sees which variant, what may be done to an experiment when, and what its goal matches: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Any

from analytics_app.errors import Conflict
from analytics_app.intake.paths import clean_path
from analytics_app.intake.text import clean_text

MOST_VARIANTS = 20
GOAL_LENGTH = 200
WHOLE_TRAFFIC = 100
"""Traffic is told in percent."""


class Status(StrEnum):
    """How far an experiment is: draft → running ⇄ paused → stopped."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


MOVES: Mapping[str, tuple[frozenset[Status], Status]] = {
    "start": (frozenset({Status.DRAFT, Status.PAUSED}), Status.RUNNING),
    "pause": (frozenset({Status.RUNNING}), Status.PAUSED),
    "stop": (frozenset({Status.RUNNING, Status.PAUSED}), Status.STOPPED),
}
"""Each move: from where it leads, and where to."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant: what it is called, its share of the traffic in relation to the others', what the page is to do."""

    id: int
    name: str
    is_control: bool = False
    weight: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """An experiment as every process knows it; its variants are in the order of their ids."""

    id: int
    website_id: int
    status: Status = Status.DRAFT
    traffic: int = WHOLE_TRAFFIC
    """Percent of the visitors that take part."""
    variants: tuple[Variant, ...] = ()

    @cached_property
    def control(self) -> Variant | None:
        """What everybody sees who does not take part; the first variant where none is marked, None without variants."""
        marked = (variant for variant in self.variants if variant.is_control)
        return next(marked, self.variants[0] if self.variants else None)

    @cached_property
    def weight(self) -> int:
        """All variants' weights together."""
        return sum(variant.weight for variant in self.variants)

    def variant(self, variant_id: int | None) -> Variant | None:
        """The variant of that id; None where it has none."""
        return next((variant for variant in self.variants if variant.id == variant_id), None)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a visitor is shown. Only who is `in_experiment` is counted."""

    variant: Variant | None
    in_experiment: bool


def assign(experiment: Experiment, visitor: str) -> Assignment:
    """The variant that `visitor` (its hash) is shown: the same everywhere and always while the experiment runs.

    Whether somebody takes part, and in which variant, are told by two hashes that know nothing of each other, so more
    traffic lets more visitors in and moves nobody. Both are salted with the experiment: what a visitor is shown in one
    says nothing about another. A share is the weight's part of all weights, to 2^-64.
    """
    control = experiment.control
    if control is None or experiment.status is not Status.RUNNING:
        return Assignment(control, in_experiment=False)
    everybody = experiment.traffic >= WHOLE_TRAFFIC
    if not everybody and share_of(experiment.id, visitor, b"traffic", WHOLE_TRAFFIC) >= experiment.traffic:
        return Assignment(control, in_experiment=False)
    place = share_of(experiment.id, visitor, b"variant", experiment.weight)
    for variant in experiment.variants:
        place -= variant.weight
        if place < 0:
            return Assignment(variant, in_experiment=True)
    return Assignment(control, in_experiment=False)  # no variant has any weight


@dataclass(frozen=True, slots=True)
class First:
    """What a visitor was shown first of an experiment, when (milliseconds), and whether it was shown something else."""

    website_id: int
    variant_id: int
    at_ms: int
    multiple: bool = False

    def joined(self, other: "First") -> "First":
        """Both together, whichever came first: the earlier, of two at once the one with the lower id."""
        earlier = min(self, other, key=lambda one: (one.at_ms, one.variant_id))
        multiple = self.multiple or other.multiple or self.variant_id != other.variant_id
        return replace(earlier, multiple=multiple)


def share_of(experiment_id: int, visitor: str, purpose: bytes, parts: int) -> int:
    """Which of `parts` equal parts of all visitors the visitor falls into, from 0."""
    salt = experiment_id.to_bytes(8, "big")
    digest = blake2b(visitor.encode(), digest_size=8, salt=salt, person=purpose).digest()
    return int.from_bytes(digest, "big") * parts >> 64


def moved(status: Status, move: str) -> Status:
    """The status after `start`, `pause` or `stop`. Raises `Conflict` where that is not to be done now."""
    sources, target = MOVES[move]
    if status not in sources:
        told = " or ".join(sorted(sources))
        raise Conflict(f"An experiment that is {status} cannot be {_DONE[move]}: it must be {told}")
    return target


_DONE = {"start": "started", "pause": "paused", "stop": "stopped"}


def check_startable(variants: Sequence[Variant]) -> None:
    """Raises `Conflict` where there is nothing to compare."""
    controls = sum(variant.is_control for variant in variants)
    if len(variants) < 2 or controls != 1:
        raise Conflict(
            "To be started, an experiment needs two variants or more, one of them the control: "
            f"it has {len(variants)}, and {controls} marked as control"
        )


def check_frozen(status: Status, what: str) -> None:
    """Raises `Conflict` where the experiment has been started: `what` would make two experiments of it."""
    if status is not Status.DRAFT:
        raise Conflict(f"The experiment was started: {what} cannot change any more. Make a new experiment")


def check_change(status: Status, before: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raises `Conflict` where a change of the experiment's own fields is not to be made any more."""
    if status is Status.DRAFT:
        return
    for name in ("goal_type", "goal_value"):
        if name in values and values[name] != before[name]:
            check_frozen(status, "its goal")
    if values.get("traffic_percentage", before["traffic_percentage"]) < before["traffic_percentage"]:
        raise Conflict("The experiment was started: its traffic can only grow, or visitors would fall out of it")


def goal_text(goal_type: str, value: str) -> str:
    """A goal's value as pages and events are stored, so that it can meet them; `*` stays."""
    if goal_type != "pageview":
        return clean_text(value, GOAL_LENGTH)
    return clean_path(f"/{value}")[1:] if value.startswith("*") else clean_path(value)


def like_pattern(value: str) -> str:
    r"""`value` for SQL's LIKE: `*` stands for any text, even none; all else for itself (`\` escapes)."""
    escaped = value.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%")
