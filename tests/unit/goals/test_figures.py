"""What a goal's numbers come to."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from analytics_app.goals.figures import Share, Tally, figures
from analytics_app.stats.periods import Period

PERIOD = Period(datetime(2026, 1, 22, tzinfo=UTC), datetime(2026, 1, 29, tzinfo=UTC), ZoneInfo("UTC"))


def numbers(shares, *, value=None, currency=None, converted=0, visitors=0):
    shares = [Share(name, conversions, valued, Decimal(total)) for name, conversions, valued, total in shares]
    return figures(Tally(shares, converted, visitors), value, currency, PERIOD)


def test_nothing_comes_to_zero_and_never_to_null():
    found = numbers([])
    assert (found["total_conversions"], found["conversion_rate"]) == (0, 0.0)
    assert (found["total_value"], found["average_value"], found["values"]) == (0.0, 0.0, [])


def test_the_rate_is_that_of_visitors():
    assert numbers([(None, 500, 0, 0)], converted=42, visitors=1000)["conversion_rate"] == 4.2
    assert numbers([(None, 1, 0, 0)], converted=1, visitors=3)["conversion_rate"] == 33.33


def test_a_fixed_value_counts_for_each_conversion_whatever_its_event_says():
    found = numbers([("USD", 3, 3, "100"), (None, 1, 0, 0)], value=Decimal("2.5"), currency="EUR")
    assert (found["total_value"], found["average_value"], found["currency"]) == (10.0, 2.5, "EUR")
    assert found["values"] == [{"currency": "EUR", "conversions": 4, "total_value": 10.0, "average_value": 2.5}]


def test_the_samples_of_the_reference_agree_with_each_other():
    found = numbers([("GBP", 342, 342, "15230.50")])
    assert (found["total_value"], found["average_value"]) == (15230.50, 44.53)


def test_currencies_are_not_added_up():
    found = numbers([("EUR", 2, 2, "30"), ("USD", 1, 1, "1000"), (None, 2, 0, 0)])
    assert (found["total_conversions"], found["total_value"], found["currency"]) == (5, 30.0, "EUR")
    assert found["average_value"] == 7.5, "over the four that are not worth dollars"
    assert [(one["currency"], one["total_value"], one["average_value"]) for one in found["values"]] == [
        ("EUR", 30.0, 15.0),
        ("USD", 1000.0, 1000.0),
    ]


@pytest.mark.parametrize(("currency", "total"), [("USD", 1000.0), ("GBP", 0.0)])
def test_the_goals_currency_decides_which_sum_is_the_total(currency, total):
    found = numbers([("EUR", 2, 2, "30"), ("USD", 1, 1, "1000")], currency=currency)
    assert (found["total_value"], found["currency"]) == (total, currency)


def test_sums_are_exact_to_the_hundredth_of_a_cent():
    assert numbers([("EUR", 3, 3, "0.3003")])["total_value"] == 0.3003
