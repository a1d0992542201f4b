"""From counts to results: who wins, and whether that can be believed. Pure; loads scipy (see `statistics`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analytics_app.experiments.logic import Status, Variant
from analytics_app.experiments.schemas import (
    AnalysisOut,
    ArmResultOut,
    ExperimentSaid,
    HealthOut,
    IntervalOut,
    MetricsOut,
    ResultsOut,
    VariantResultOut,
)
from analytics_app.experiments.statistics import (
    ALPHA,
    Arm,
    always_valid_p,
    chance_to_beat,
    confidence_sequence,
    fixed_p,
    holm,
    sample_ratio_p,
)

SRM_LEVEL = 0.001
"""A split that is less likely than that is no chance (Fabijan et al. 2019, Diagnosing Sample Ratio Mismatch)."""
LEAST_VISITORS = 50
LEAST_CONVERSIONS = 5
LEAST_OTHERS = 5
"""Of each variant: below, nothing that rests on a normal distribution is to be believed."""
DAY_S = 86_400

MISMATCH = (
    "Do not trust these results: the visitors are not split as the weights say (sample ratio mismatch). "
    "Something loses visitors of one variant"
)
TOO_FEW = (
    f"Not enough data: each variant needs {LEAST_VISITORS} visitors, {LEAST_CONVERSIONS} conversions and "
    f"{LEAST_OTHERS} non-conversions"
)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted of an experiment: by variant, and those who saw two."""

    arms: Mapping[int, Arm]
    multiple: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The arms compared with the control: p-values corrected for their number, and who wins."""

    p_values: Mapping[int, float]
    significant: frozenset[int]
    winner: int | None
    p_value: float
    enough: bool
    srm_p: float


def verdict(variants: Sequence[Variant], arms: Mapping[int, Arm]) -> Verdict:
    """What can be said of those counts, at any time.

    An arm wins that is significantly better than the control: of several, the one with the highest rate. The control
    wins that is significantly better than all. Nobody wins while visitors are not split as the weights say, or an arm
    has too few of them.
    """
    control = control_of(variants)
    others = [variant for variant in variants if variant is not control]
    of = {variant.id: arms.get(variant.id, Arm(0, 0)) for variant in variants}
    srm_p = sample_ratio_p([of[variant.id].visitors for variant in variants], [variant.weight for variant in variants])
    enough = len(variants) > 1 and all(map(has_enough, of.values()))
    if control is None or not others:
        return Verdict({}, frozenset(), None, 1.0, enough, srm_p)
    base = of[control.id]
    corrected = holm([always_valid_p(base, of[variant.id]) for variant in others])
    p_values = {variant.id: p for variant, p in zip(others, corrected, strict=True)}
    significant = frozenset(
        id_ for id_, p in p_values.items() if p < ALPHA and has_enough(of[id_]) and has_enough(base)
    )
    better = [id_ for id_ in significant if of[id_].rate > base.rate]
    winner, p_value = None, min(p_values.values())
    if enough and srm_p >= SRM_LEVEL:
        if better:
            winner = max(better, key=lambda id_: (of[id_].rate, -id_))
            p_value = p_values[winner]
        elif len(significant) == len(others):
            winner, p_value = control.id, max(p_values.values())
    return Verdict(p_values, significant, winner, p_value, enough, srm_p)


def control_of(variants: Sequence[Variant]) -> Variant | None:
    """The variant that the others are compared with."""
    return next((variant for variant in variants if variant.is_control), None)


def has_enough(arm: Arm) -> bool:
    """Whether an arm has so many visitors and conversions that its rate is about normal."""
    return (
        arm.visitors >= LEAST_VISITORS
        and arm.conversions >= LEAST_CONVERSIONS
        and arm.visitors - arm.conversions >= LEAST_OTHERS
    )


def results(experiment: ExperimentSaid, variants: Sequence[Variant], tally: Tally, ran_s: float) -> ResultsOut:
    """The results of an experiment with those variants, in the order of their ids, that has run for `ran_s`."""
    found = verdict(variants, tally.arms)
    visitors = sum(arm.visitors for arm in tally.arms.values())
    conversions = sum(arm.conversions for arm in tally.arms.values())
    lines = {str(variant.id): _line(variant, variants, tally, found) for variant in variants}
    return ResultsOut(
        experiment=experiment,
        metrics=MetricsOut(
            total_visitors=visitors,
            total_conversions=conversions,
            overall_conversion_rate=percent(Arm(visitors, conversions).rate),
        ),
        analysis=AnalysisOut(
            is_significant=bool(found.significant),
            confidence=percent(1 - found.p_value),
            p_value=found.p_value,
            winner=found.winner,
            recommendation=_recommendation(experiment.status, lines, found),
            results=lines,
        ),
        health=HealthOut(
            srm_p_value=found.srm_p,
            sample_ratio_mismatch=found.srm_p < SRM_LEVEL,
            multiple_exposures=tally.multiple,
            enough_data=found.enough,
            runtime_days=round(ran_s / DAY_S, 2),
        ),
    )


def _line(
    variant: Variant, variants: Sequence[Variant], tally: Tally, found: Verdict
) -> ArmResultOut | VariantResultOut:
    arm, control = tally.arms.get(variant.id, Arm(0, 0)), control_of(variants)
    counted = {
        "name": variant.name,
        "visitors": arm.visitors,
        "conversions": arm.conversions,
        "conversion_rate": percent(arm.rate),
        "is_control": variant.is_control,
    }
    if control is None or variant is control:
        return VariantResultOut.model_validate(counted)
    base = tally.arms.get(control.id, Arm(0, 0))
    # All intervals hold together: each leaves out its part of the 5 %.
    lower, upper = confidence_sequence(base, arm, ALPHA / max(1, len(variants) - 1))
    return ArmResultOut.model_validate(
        counted
        | {
            "lift": lift(base, arm),
            "is_significant": variant.id in found.significant,
            "p_value": found.p_values[variant.id],
            "fixed_p_value": fixed_p(base, arm),
            "interval": IntervalOut(lower=percent(lower), upper=percent(upper)),
            "chance_to_beat_control": percent(chance_to_beat(base, arm)),
        }
    )


def lift(control: Arm, arm: Arm) -> float:
    """By how many percent the arm's rate is above the control's; 0 where the control has none."""
    return percent(arm.rate / control.rate - 1) if control.rate else 0.0


def percent(share: float) -> float:
    """A share in percent, to two decimals."""
    return round(100 * share, 2)


def _recommendation(status: Status, lines: Mapping[str, ArmResultOut | VariantResultOut], found: Verdict) -> str:
    if found.winner is not None:
        line = lines[str(found.winner)]
        said = f'"{line.name}" is the winner with {math.floor(100 * (1 - found.p_value))}% confidence'
        return f"{said} ({line.lift:+g}% lift)" if isinstance(line, ArmResultOut) else f"{said}: keep it"
    reasons = (
        (status is Status.DRAFT, "The experiment has not been started"),
        (found.srm_p < SRM_LEVEL, MISMATCH),
        (not found.enough, TOO_FEW),
        (status is Status.STOPPED, "No winner: the differences may be chance"),
        (bool(found.significant), "Some variants are worse than the control; no winner among the others yet"),
    )
    return next((said for holds, said in reasons if holds), "No winner yet: keep the experiment running")
