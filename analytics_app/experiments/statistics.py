"""What the counts of two arms say: pure, exact or to the precision of a double, and the same at every asking.

`scipy` takes its time to load: whoever asks does so beside the event loop.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, chdtrc, ndtr

ALPHA = 0.05
"""How often a difference may be found where there is none, over all looks together."""
TUNED_FOR = 5_000
"""The number of visitors, both arms together, at which the always-valid test is sharpest."""
RHO_2 = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / TUNED_FOR
"""rho^2, which makes it so: Waudby-Smith et al. 2021 (arXiv:2103.06476), appendix B.2."""


@dataclass(frozen=True, slots=True)
class Arm:
    """How many visitors an arm has, and how many of them converted."""

    visitors: int
    conversions: int

    @property
    def rate(self) -> float:
        """The share of the visitors that converted; 0 without visitors."""
        return self.conversions / self.visitors if self.visitors else 0.0


def difference(control: Arm, arm: Arm) -> float:
    """How much more of the arm's visitors converted than of the control's, as a share."""
    return arm.rate - control.rate


def squared_error(control: Arm, arm: Arm) -> float:
    """The variance of the difference, each arm with its own (unpooled); 0 where nothing can be said about it."""
    if not (control.visitors and arm.visitors):
        return 0.0
    return sum(one.rate * (1 - one.rate) / one.visitors for one in (control, arm))


def always_valid_p(control: Arm, arm: Arm) -> float:
    """The p-value that may be looked at after every visitor (asymptotic confidence sequence, inverted).

    With N visitors in both arms, d the difference, se^2 its unpooled variance, t = N · rho^2 + 1, S = d^2 · N / se^2:
    p = min(1, sqrt(t) · exp(-rho^2 · S / 2t)). 1 where se^2 is 0: a spread that was never seen cannot be judged by.
    """
    se_2, n = squared_error(control, arm), control.visitors + arm.visitors
    if se_2 <= 0:
        return 1.0
    t = n * RHO_2 + 1
    return min(1.0, math.exp(0.5 * math.log(t) - RHO_2 * difference(control, arm) ** 2 * n / se_2 / (2 * t)))


def confidence_sequence(control: Arm, arm: Arm, alpha: float = ALPHA) -> tuple[float, float]:
    """Bounds of the difference that hold at all times together with 1 - alpha: what `always_valid_p` inverts.

    d ± se · sqrt(2t / (N · rho^2) · ln(sqrt(t) / alpha)); everything from -1 to 1 where nothing can be said.
    """
    se_2, n = squared_error(control, arm), control.visitors + arm.visitors
    if se_2 <= 0:
        return -1.0, 1.0
    t = n * RHO_2 + 1
    half = math.sqrt(se_2 * 2 * t / (n * RHO_2) * math.log(math.sqrt(t) / alpha))
    middle = difference(control, arm)
    return max(-1.0, middle - half), min(1.0, middle + half)


def fixed_p(control: Arm, arm: Arm) -> float:
    """The p-value of the two-sided z-test with pooled variance: right for one look, planned in advance.

    The same as chi^2 of the two-by-two table without continuity correction. 1 where all or none converted.
    """
    n = control.visitors * arm.visitors
    pooled = (control.conversions + arm.conversions) / max(1, control.visitors + arm.visitors)
    if not n or not 0 < pooled < 1:
        return 1.0
    error = math.sqrt(pooled * (1 - pooled) * (control.visitors + arm.visitors) / n)
    return float(2 * ndtr(-abs(difference(control, arm)) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order (Holm 1979): step down, and never below a smaller one."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def chance_to_beat(control: Arm, arm: Arm) -> float:
    """The probability that the arm's rate is above the control's, each Beta(1 + conversions, 1 + others).

    ∫ f(x) F(x) dx over the narrower of the two, by Gauss and Legendre: to about 10⁻⁹, without chance.
    """
    of_control, of_arm = _posterior(control), _posterior(arm)
    if _deviation(of_control) < _deviation(of_arm):
        x, weights = _density(of_control)
        return float(np.clip(weights @ (1 - betainc(*of_arm, x)), 0, 1))
    x, weights = _density(of_arm)
    return float(np.clip(weights @ betainc(*of_control, x), 0, 1))


def sample_ratio_p(visitors: Sequence[int], weights: Sequence[int]) -> float:
    """The p-value of chi^2 for visitors having been split as the weights say; 1 without visitors, or with one arm."""
    total, parts = sum(visitors), sum(weights)
    if not total or not parts or len(visitors) < 2:
        return 1.0
    wanted = [total * weight / parts for weight in weights]
    chi_2 = sum((seen - one) ** 2 / one for seen, one in zip(visitors, wanted, strict=True))
    return float(chdtrc(len(visitors) - 1, chi_2))


Beta = tuple[float, float]
_REACH = 40
"""Standard deviations to either side beyond which a density, skewed as it may be, weighs nothing a double holds."""


def _posterior(arm: Arm) -> Beta:
    return 1.0 + arm.conversions, 1.0 + arm.visitors - arm.conversions


def _deviation(beta: Beta) -> float:
    a, b = beta
    return math.sqrt(a * b / (a + b + 1)) / (a + b)


def _density(beta: Beta) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points, and how much of the distribution each stands for."""
    a, b = beta
    middle, reach = a / (a + b), _REACH * _deviation(beta)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    nodes, shares = _nodes()
    x = low + (high - low) * nodes
    weights = shares * (high - low) * np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b))
    return x, weights / weights.sum()


@lru_cache(maxsize=1)
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points between 0 and 1 and their weights, for polynomials up to degree 399."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return (nodes + 1) / 2, weights / 2
