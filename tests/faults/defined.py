"""What every website of a story has: goals of every kind, funnels of both, and an experiment that runs."""

from typing import NamedTuple

from tests import funnel_oracle as oracle

GOALS = (
    {"name": "every event", "type": "event", "match_type": "regex", "match_value": ".", "count": "every"},
    {"name": "every view", "type": "pageview", "match_type": "starts_with", "match_value": "/", "count": "every"},
    {"name": "a page", "type": "pageview", "match_value": "/page/3"},
    {"name": "an event", "type": "event", "match_type": "contains", "match_value": "i"},
    {"name": "a while", "type": "duration", "match_value": 5},
    {"name": "pages", "type": "pages_per_session", "match_value": 3},
)


class Steps(NamedTuple):
    """A funnel: its steps, and whether nothing may come between them."""

    steps: tuple[oracle.Step, ...]
    is_strict: bool = False

    def body(self) -> dict[str, object]:
        """It as the API takes it."""
        steps = [{"name": f"Step {place}", **vars(step)} for place, step in enumerate(self.steps, 1)]
        return {"name": "A funnel", "window_hours": WINDOW_H, "is_strict": self.is_strict, "steps": steps}


WINDOW_H = 1
FUNNELS = (
    Steps(
        (
            oracle.Step("pageview", "/page/1*"),
            oracle.Step("pageview", "/page/2", is_optional=True),
            oracle.Step("event", "*"),
        )
    ),
    Steps((oracle.Step("pageview", "/page/*"), oracle.Step("pageview", "*"), oracle.Step("event", "*")), True),
)

EXPERIMENT = {"name": "An experiment", "goal_type": "event", "goal_value": "signup"}
REACHED = "signup"
VARIANTS = ({"name": "as it is", "is_control": True}, {"name": "blue"}, {"name": "green", "weight": 20})


class Trial(NamedTuple):
    """An experiment that runs, and the ids of its variants."""

    id: int
    variants: tuple[int, ...]
