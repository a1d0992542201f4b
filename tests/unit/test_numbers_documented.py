"""What the numbers mean is told of each of them: `docs/numbers.md` names every number that the API answers with.

And `docs/operations.md` names no figure of `/metrics` that there is not.
"""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from analytics_app import figures
from analytics_app.experiments import schemas as experiments
from analytics_app.funnels import schemas as funnels
from analytics_app.goals import schemas as goals

DOCS = Path(__file__).parents[2] / "docs"
TOLD = (DOCS / "numbers.md").read_text("utf-8")
ANSWERS = [
    goals.GoalStatsOut,
    funnels.SummaryOut,
    funnels.StepNumbersOut,
    experiments.MetricsOut,
    experiments.VariantResultOut,
    experiments.ArmResultOut,
    experiments.AnalysisOut,
    experiments.HealthOut,
    experiments.PointOut,
]


def numbers(model):
    """The fields that hold a number or a verdict."""
    return [name for name, held in model.model_fields.items() if held.annotation in (int, float, bool)]


@pytest.mark.parametrize("model", ANSWERS, ids=lambda model: f"{model.__module__.split('.')[1]} {model.__name__}")
def test_every_number_is_named_where_its_meaning_is_told(model):
    known = {"position", "step_id", "is_optional", "is_control"}  # what was defined, not counted
    assert [name for name in numbers(model) if f"`{name}`" not in TOLD and name not in known] == []


def test_every_figure_that_operators_are_told_to_watch_is_one_of_metrics():
    shown = {
        f"{name}_total" if isinstance(one, Counter) else name
        for one in vars(figures).values()
        if isinstance(one, MetricWrapperBase)
        for name in (one.describe()[0].name,)
    }
    told = set(re.findall(r"`(analytics_(?!app)\w+)`", (DOCS / "operations.md").read_text("utf-8")))
    assert told
    assert told - shown == set()
