"""Who wins, when nobody does, and how often somebody does who should not."""

import numpy as np
import pytest
from scipy import stats

from analytics_app.experiments.logic import Status, Variant
from analytics_app.experiments.results import Tally, results, verdict
from analytics_app.experiments.schemas import ExperimentSaid
from analytics_app.experiments.statistics import Arm

CONTROL, BLUE, RED = Variant(1, "Control", is_control=True), Variant(2, "Blue Button"), Variant(3, "Red Button")
TWO, THREE = (CONTROL, BLUE), (CONTROL, BLUE, RED)
SAMPLE = {1: Arm(2500, 100), 2: Arm(2500, 150)}


def told(arms, variants=TWO, status=Status.RUNNING, multiple=0, ran_s=0.0):
    said = ExperimentSaid(id=1, name="Button Colour Test", status=status)
    return results(said, variants, Tally(arms, multiple), ran_s).model_dump(mode="json")


def test_the_references_sample_in_the_references_shape():
    found = told(SAMPLE, multiple=3, ran_s=129_600)
    interval = found["analysis"]["results"]["2"].pop("interval")
    assert (interval["lower"], interval["upper"]) == pytest.approx((0.13, 3.87), abs=0.005)
    assert found["analysis"]["results"]["2"].pop("p_value") == pytest.approx(0.027626, abs=1e-6)
    assert found["analysis"]["results"]["2"].pop("fixed_p_value") == pytest.approx(0.001177, abs=1e-6)
    assert found["analysis"].pop("p_value") == pytest.approx(0.027626, abs=1e-6)
    assert found == {
        "experiment": {"id": 1, "name": "Button Colour Test", "status": "running"},
        "metrics": {"total_visitors": 5000, "total_conversions": 250, "overall_conversion_rate": 5.0},
        "analysis": {
            "is_significant": True,
            "confidence": 97.24,
            "winner": 2,
            "recommendation": '"Blue Button" is the winner with 97% confidence (+50% lift)',
            "results": {
                "1": {
                    "name": "Control",
                    "visitors": 2500,
                    "conversions": 100,
                    "conversion_rate": 4.0,
                    "is_control": True,
                },
                "2": {
                    "name": "Blue Button",
                    "visitors": 2500,
                    "conversions": 150,
                    "conversion_rate": 6.0,
                    "is_control": False,
                    "lift": 50.0,
                    "is_significant": True,
                    "chance_to_beat_control": 99.94,
                },
            },
        },
        "health": {
            "srm_p_value": 1.0,
            "sample_ratio_mismatch": False,
            "multiple_exposures": 3,
            "enough_data": True,
            "runtime_days": 1.5,
        },
    }


def test_the_control_can_win():
    found = told({1: Arm(2500, 150), 2: Arm(2500, 100)})["analysis"]
    assert (found["winner"], found["recommendation"]) == (1, '"Control" is the winner with 97% confidence: keep it')
    assert found["results"]["2"]["lift"] == -33.33


def test_the_control_wins_over_all_or_not_at_all():
    assert verdict(THREE, {1: Arm(3000, 300), 2: Arm(3000, 150), 3: Arm(3000, 290)}).winner is None
    assert verdict(THREE, {1: Arm(3000, 300), 2: Arm(3000, 150), 3: Arm(3000, 160)}).winner == 1


def test_of_two_that_are_better_the_best_wins_with_its_own_p_value():
    found = verdict(THREE, {1: Arm(3000, 150), 2: Arm(3000, 260), 3: Arm(3000, 300)})
    assert found.winner == 3
    assert found.p_value == found.p_values[3]


def test_p_values_are_corrected_for_the_number_of_arms():
    alone = verdict(TWO, SAMPLE).p_values[2]
    among = verdict(THREE, {**SAMPLE, 3: Arm(2500, 100)})
    assert among.p_values[2] == pytest.approx(2 * alone)
    assert among.winner is None, "0.055 is not below 0.05"


@pytest.mark.parametrize(
    ("control", "arm"),
    [
        (Arm(49, 5), Arm(5000, 2500)),
        (Arm(5000, 4), Arm(5000, 400)),
        (Arm(5000, 2500), Arm(5000, 4996)),
    ],
    ids=["too few visitors", "too few conversions", "too few others"],
)
def test_nobody_wins_with_too_few_of_a_kind_in_an_arm(control, arm):
    variants = (Variant(1, "Control", is_control=True, weight=control.visitors), Variant(2, "B", weight=arm.visitors))
    found = told({1: control, 2: arm}, variants)
    assert found["analysis"]["winner"] is None
    assert not found["analysis"]["is_significant"]
    assert not found["health"]["enough_data"]
    assert found["analysis"]["recommendation"].startswith("Not enough data")


def test_nobody_wins_while_visitors_are_not_split_as_the_weights_say():
    found = told({1: Arm(3000, 100), 2: Arm(2500, 150)})
    assert found["analysis"]["winner"] is None
    assert found["health"]["sample_ratio_mismatch"]
    assert "sample ratio mismatch" in found["analysis"]["recommendation"]


@pytest.mark.parametrize(
    ("status", "arms", "begins"),
    [
        (Status.DRAFT, {}, "The experiment has not been started"),
        (Status.RUNNING, {}, "Not enough data"),
        (Status.RUNNING, {1: Arm(500, 50), 2: Arm(500, 55)}, "No winner yet"),
        (Status.STOPPED, {1: Arm(500, 50), 2: Arm(500, 55)}, "No winner: "),
    ],
)
def test_what_is_recommended_without_a_winner(status, arms, begins):
    assert told(arms, status=status)["analysis"]["recommendation"].startswith(begins)


@pytest.mark.parametrize("variants", [(), (CONTROL,), (BLUE, RED)], ids=["none", "one", "no control"])
def test_a_draft_of_any_kind_has_results(variants):
    found = told({}, variants, Status.DRAFT)
    assert found["metrics"] == {"total_visitors": 0, "total_conversions": 0, "overall_conversion_rate": 0.0}
    assert set(found["analysis"]["results"]) == {str(one.id) for one in variants}
    assert (found["analysis"]["winner"], found["analysis"]["confidence"]) == (None, 0.0)


# A thousand experiments, looked at again and again.

RUNS, LOOKS, EACH = 1_000, 150, 50
"""Looked at after every 100 visitors, 50 of each arm, up to 15,000."""


def counted(rates, seed):
    """Conversions of each arm so far: by arm, experiment and look."""
    rng = np.random.default_rng(seed)
    return [rng.binomial(EACH, rate, (RUNS, LOOKS)).cumsum(axis=1) for rate in rates]


def ever_won(conversions, variants):
    """In how many experiments somebody won at one of the looks."""
    won = 0
    for run in range(len(conversions[0])):
        for look in range(LOOKS):
            n = EACH * (look + 1)
            arms = {
                variant.id: Arm(n, int(of_arm[run, look]))
                for variant, of_arm in zip(variants, conversions, strict=True)
            }
            if verdict(variants, arms).winner is not None:
                won += 1
                break
    return won


def test_of_a_thousand_experiments_without_a_difference_at_most_one_in_twenty_ever_has_a_winner():
    conversions = counted((0.10, 0.10), seed=1)
    won = ever_won(conversions, TWO)
    assert won <= 0.05 * RUNS

    # The control: a z-test looked at as often finds a winner in more than a third of them.
    n = EACH * np.arange(1, LOOKS + 1)
    first, second = conversions
    pooled = (first + second) / (2 * n)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (second - first) / n / np.sqrt(pooled * (1 - pooled) * 2 / n)
    significant = (2 * stats.norm.sf(np.abs(np.nan_to_num(z))) < 0.05).any(axis=1)
    assert 0.37 <= significant.mean() <= 0.42


def test_nor_with_three_arms():
    assert ever_won([one[:300] for one in counted((0.10, 0.10, 0.10), seed=2)], THREE) <= 0.05 * 300


def test_a_difference_that_is_there_is_found():
    assert ever_won(counted((0.10, 0.13), seed=4), TWO) >= 0.9 * RUNS


def test_a_leak_of_one_variants_visitors_is_alarmed_within_a_thousand():
    rng = np.random.default_rng(5)
    for seen in rng.binomial(1000, 0.6, RUNS):
        assert told_mismatch(int(1000 - seen), int(seen))


def test_a_fair_split_is_not_alarmed_beyond_the_level():
    rng = np.random.default_rng(6)
    alarms = sum(told_mismatch(int(1000 - seen), int(seen)) for seen in rng.binomial(1000, 0.5, RUNS))
    assert alarms <= 4, "at a level of 0.001, five or more of a thousand are less likely than one in 270"


def told_mismatch(first, second):
    return verdict(TWO, {1: Arm(first, 0), 2: Arm(second, 0)}).srm_p < 0.001
