import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from analytics_app.stats.breakdowns import After, Line, Sort, cursor_of, parse_cursor, parse_metrics, parse_sort
from analytics_app.stats.csv_cells import csv_text
from analytics_app.stats.logic import METRICS, NEEDS, Totals, mean, percent, ratio


def test_where_there_is_nothing_every_number_is_zero():
    assert {figure(Totals()) for figure in METRICS.values()} == {0}


def test_rates_are_percent_to_two_decimals_and_durations_whole_seconds():
    assert (percent(1, 3), percent(2, 3), percent(17, 40)) == (33.33, 66.67, 42.5)
    assert (mean(370, 2), mean(10, 3)) == (185, 3)
    assert ratio(7, 3) == 2.33


def test_totals_are_read_from_sums_that_may_be_decimals_or_missing():
    assert Totals.of({"pageviews": Decimal(3), "events": None}) == Totals(pageviews=3)


def test_every_metric_says_what_it_needs():
    assert NEEDS.keys() == METRICS.keys()


def test_engagement_of_a_line_is_the_mean_over_its_pageviews():
    line = Line("/pricing", Totals(visitors=2, pageviews=4), time_on_page_s=90, scroll_depth=301)
    assert line.figures(("visitors", "avg_time_on_page", "avg_scroll_depth")) == {
        "value": "/pricing",
        "visitors": 2,
        "avg_time_on_page": 22,
        "avg_scroll_depth": 75.25,
    }


def test_an_order_is_descending_unless_it_says_otherwise():
    assert parse_sort("pageviews") == parse_sort("pageviews:desc") == Sort("pageviews")
    assert parse_sort("bounce_rate:asc") == Sort("bounce_rate", descending=False)


@pytest.mark.parametrize("text", ["", "visits", "visitors:up", "visitors:desc:x", "value:asc"])
def test_an_unknown_order_is_refused(text):
    with pytest.raises(ValueError):
        parse_sort(text)


def test_metrics_are_all_or_those_named():
    assert parse_metrics("pageviews, visitors") == ("visitors", "pageviews")
    assert len(parse_metrics("")) == 9
    with pytest.raises(ValueError, match="unknown metric"):
        parse_metrics("visitors,likes")


def test_a_cursor_leads_on_in_the_order_it_was_made_in_only():
    sort = Sort("pageviews")
    assert parse_cursor(cursor_of(sort, After(3.0, "/a")), sort) == After(3.0, "/a")
    for said in ([*cursor_of(Sort("events"), After(3, "/a"))], ["pageviews:desc", "3", "/a"], 7, None, [], {}):
        with pytest.raises(ValueError):
            parse_cursor(said, sort)
    with pytest.raises(ValueError):
        parse_cursor(["pageviews:desc", 3, "\0"], sort)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "=cmd|' /C calc'!A0"]
)
def test_a_text_that_a_spreadsheet_would_run_is_neutralised(text):
    assert csv_text([[text]]).startswith(("'", "\"'"))


def test_csv_keeps_numbers_numbers_and_reads_back_as_it_was():
    at = datetime(2026, 1, 22, 13, 0, 0, 5, tzinfo=UTC)
    text = csv_text([["a", "b"], ['say "hi", ok', -3], [None, -1.5], [at, {"a": "é"}]])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["a", "b"],
        ['say "hi", ok', "-3"],
        ["", "-1.5"],
        ["2026-01-22T13:00:00Z", '{"a":"é"}'],
    ]
