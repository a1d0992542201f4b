"""The numbers of a goal: what follows from its conversions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analytics_app.stats.logic import percent
from analytics_app.stats.periods import Period


@dataclass(frozen=True, slots=True)
class Share:
    """The conversions of one currency (None: of events that name none, or are worth nothing)."""

    currency: str | None
    conversions: int
    valued: int
    """Those of them that are worth something at all."""
    total: Decimal


@dataclass(frozen=True, slots=True)
class Tally:
    """What a goal came to in a period."""

    shares: Sequence[Share]
    converted_visitors: int
    visitors: int


def worth(tally: Tally, value: Decimal | None, currency: str | None) -> list[Share]:
    """The conversions by currency, as a goal with that fixed value counts them, the most first."""
    if value is not None:
        number = sum(share.conversions for share in tally.shares)
        return [Share(currency, number, number, number * value)] if number else []
    return sorted(
        (share for share in tally.shares if share.valued),
        key=lambda share: (-share.valued, -share.total, share.currency or ""),
    )


def figures(tally: Tally, value: Decimal | None, currency: str | None, period: Period) -> dict[str, Any]:
    """The fields of `GoalFiguresOut`.

    `total_value` is in the goal's currency, or else in that of most conversions; the average is over all conversions
    but those worth something in another currency.
    """
    shares = worth(tally, value, currency)
    told = currency or (shares[0].currency if shares else None)
    of_told = [share for share in shares if share.currency == told]
    total = sum((share.total for share in of_told), Decimal(0))
    conversions = sum(share.conversions for share in tally.shares)
    others = sum(share.valued for share in shares if share.currency != told)
    return {
        "total_conversions": conversions,
        "conversion_rate": percent(tally.converted_visitors, tally.visitors),
        "total_value": money(total),
        "average_value": average(total, conversions - others),
        "currency": told,
        "converted_visitors": tally.converted_visitors,
        "unique_visitors": tally.visitors,
        "values": [
            {
                "currency": share.currency,
                "conversions": share.valued,
                "total_value": money(share.total),
                "average_value": average(share.total, share.valued),
            }
            for share in shares
        ],
        "period": {"start": period.start, "end": period.end},
    }


def money(amount: Decimal) -> float:
    """An amount as the API tells it, to 4 decimals as it is stored."""
    return float(round(amount, 4))


def average(total: Decimal, count: int) -> float:
    """The mean amount, to 2 decimals (half to even); 0 where there is nothing."""
    return float(round(total / count, 2)) if count else 0.0
