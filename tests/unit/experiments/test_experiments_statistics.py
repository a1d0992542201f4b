"""The statistics against others' computations of the same, and against what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from analytics_app.experiments.statistics import (
    ALPHA,
    RHO_2,
    Arm,
    always_valid_p,
    chance_to_beat,
    confidence_sequence,
    fixed_p,
    holm,
    sample_ratio_p,
)

CONTROL, BLUE = Arm(2500, 100), Arm(2500, 150)

arms = st.tuples(st.integers(1, 20_000), st.floats(0, 1)).map(lambda drawn: Arm(drawn[0], round(drawn[0] * drawn[1])))


def tables(count, seed=11):
    """Pairs of arms of all sizes and rates."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        sizes = np.exp(rng.uniform(math.log(5), math.log(200_000), 2)).astype(int)
        rates = np.exp(rng.uniform(math.log(0.001), 0, 2))
        yield tuple(Arm(int(n), int(rng.binomial(n, rate))) for n, rate in zip(sizes, rates, strict=True))


# The reference's sample.


def test_the_samples_p_values_are_those_that_the_definitions_give():
    assert round(always_valid_p(CONTROL, BLUE), 4) == 0.0276
    assert round(fixed_p(CONTROL, BLUE), 4) == 0.0012


def test_the_always_valid_p_value_is_computed_step_by_step_as_it_is_defined():
    rho_2 = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 5000
    n, d, variance = 5000, 0.02, 0.04 * 0.96 / 2500 + 0.06 * 0.94 / 2500
    t, s = n * rho_2 + 1, d**2 * n / variance
    assert rho_2 == RHO_2
    assert always_valid_p(CONTROL, BLUE) == pytest.approx(math.sqrt(t) * math.exp(-rho_2 * s / (2 * t)), rel=1e-12)


# The fixed p-value.


def test_the_fixed_p_value_is_that_of_chi_squared_on_the_table():
    compared = 0
    for control, arm in tables(2_000):
        table = [[one.conversions, one.visitors - one.conversions] for one in (control, arm)]
        if min(map(sum, zip(*table, strict=True))) > 0:
            wanted = stats.chi2_contingency(table, correction=False).pvalue
            assert fixed_p(control, arm) == pytest.approx(wanted, abs=1e-9)
            compared += 1
    assert compared > 1_900


def test_the_fixed_p_value_is_that_of_the_z_test_of_two_proportions():
    for control, arm in tables(2_000, seed=12):
        counts, sizes = np.array([arm.conversions, control.conversions]), np.array([arm.visitors, control.visitors])
        # As statsmodels' proportions_ztest has it, computed another way: by its null hypothesis' standard deviation.
        pooled = counts.sum() / sizes.sum()
        deviation = np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
        if deviation > 0:
            z = np.diff(counts[::-1] / sizes[::-1])[0] / deviation
            assert fixed_p(control, arm) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)


@pytest.mark.parametrize("p", [fixed_p, always_valid_p])
@pytest.mark.parametrize(
    ("control", "arm"),
    [
        (Arm(0, 0), Arm(0, 0)),
        (Arm(10, 5), Arm(0, 0)),
        (Arm(10, 0), Arm(10, 0)),
        (Arm(10, 10), Arm(10, 10)),
        (Arm(1, 1), Arm(1, 1)),
        (Arm(10, 5), Arm(20, 10)),
    ],
)
def test_where_there_is_no_difference_to_see_the_p_value_is_one(p, control, arm):
    assert p(control, arm) == 1


def test_a_spread_that_was_never_seen_is_no_evidence():
    assert always_valid_p(Arm(50, 0), Arm(50, 50)) == 1
    assert confidence_sequence(Arm(50, 0), Arm(50, 50)) == (-1, 1)


@given(arms, arms)
def test_p_values_are_probabilities_and_know_no_order(control, arm):
    for p in (fixed_p, always_valid_p):
        assert 0 <= p(control, arm) <= 1
        assert p(arm, control) == pytest.approx(p(control, arm), rel=1e-9)


# The interval.


@given(arms, arms)
def test_the_interval_leaves_out_zero_exactly_where_the_p_value_is_below_its_level(control, arm):
    lower, upper = confidence_sequence(control, arm)
    p = always_valid_p(control, arm)
    if abs(p - ALPHA) > 1e-9:
        assert (lower > 0 or upper < 0) is (p < ALPHA)
    assert -1 <= lower <= arm.rate - control.rate <= upper <= 1


def test_the_interval_holds_the_truth_at_all_times_together():
    rng = np.random.default_rng(3)
    looks, runs, truth = 40, 500, 0.03
    control = rng.binomial(100, 0.10, (runs, looks)).cumsum(axis=1)
    arm = rng.binomial(100, 0.10 + truth, (runs, looks)).cumsum(axis=1)
    missed = 0
    for one, other in zip(control, arm, strict=True):
        for look in range(looks):
            n = 100 * (look + 1)
            lower, upper = confidence_sequence(Arm(n, int(one[look])), Arm(n, int(other[look])))
            if not lower <= truth <= upper:
                missed += 1
                break
    assert missed <= 0.05 * runs


# Several arms.


@pytest.mark.parametrize(
    ("given_p", "wanted"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([], []),
    ],
)
def test_holms_correction_is_that_of_the_textbook(given_p, wanted):
    assert holm(given_p) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_what_his_procedure_rejects(p_values, level):
    rejected = set()
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if (len(p_values) - rank) * p_values[place] > level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(p_values)) if p <= level} == rejected


# The chance to beat the control.


def by_sum(control, arm):
    """P(arm > control) as the finite sum that it is for whole numbers (Miller 2015), to 17 digits."""
    a, b = 1 + control.conversions, 1 + control.visitors - control.conversions
    c, d = 1 + arm.conversions, 1 + arm.visitors - arm.conversions
    i = np.arange(c)
    terms = betaln(a + i, b + d) - np.log(d + i) - betaln(1 + i, d) - betaln(a, b)
    return float(np.exp(terms).sum())


def test_the_chance_to_beat_the_control_is_exact():
    for control, arm in tables(400, seed=13):
        assert chance_to_beat(control, arm) == pytest.approx(by_sum(control, arm), abs=1e-9)
    assert chance_to_beat(CONTROL, BLUE) == pytest.approx(by_sum(CONTROL, BLUE), abs=1e-12)


@pytest.mark.parametrize(
    ("control", "arm", "wanted"),
    [
        (Arm(0, 0), Arm(0, 0), 0.5),
        (Arm(100, 10), Arm(100, 10), 0.5),
        (Arm(0, 0), Arm(1, 1), 2 / 3),
        (Arm(1, 1), Arm(0, 0), 1 / 3),
        (Arm(10**7, 10**5), Arm(10**7, 2 * 10**5), 1.0),
        (Arm(10**7, 2 * 10**5), Arm(10**7, 10**5), 0.0),
    ],
)
def test_chances_that_are_known(control, arm, wanted):
    assert chance_to_beat(control, arm) == pytest.approx(wanted, abs=1e-12)


# The split of the visitors.


def test_the_p_value_of_the_split_is_that_of_chi_squared():
    rng = np.random.default_rng(17)
    for _ in range(500):
        weights = rng.integers(1, 100, rng.integers(2, 6))
        seen = rng.multinomial(rng.integers(1, 50_000), weights / weights.sum())
        wanted = stats.chisquare(seen, seen.sum() * weights / weights.sum()).pvalue
        assert sample_ratio_p(seen.tolist(), weights.tolist()) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("seen", "weights"), [([], []), ([0, 0], [1, 1]), ([5], [1])])
def test_where_nothing_is_split_the_split_is_right(seen, weights):
    assert sample_ratio_p(seen, weights) == 1
