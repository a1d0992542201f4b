import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.stats.filters import DIMENSIONS, NONE, dimension_named, parse_filter


def keeps(text, value):
    return parse_filter(text).keeps(value)


@pytest.mark.parametrize(
    ("text", "dimension", "op", "value"),
    [
        ("country:is:GB", "country", "is", "GB"),
        ("referrer:starts_with:https://a.example:8080/", "referrer", "starts_with", "https://a.example:8080/"),
        ("page:is:", "page", "is", ""),
        ("page:contains::is:", "page", "contains", ":is:"),
        ("property:plan:is_not:pro", "property:plan", "is_not", "pro"),
        ("property:a:b:is:c:is:d", "property:a:b", "is", "c:is:d"),
    ],
)
def test_a_filter_names_a_dimension_an_operator_and_a_value_that_may_hold_colons(text, dimension, op, value):
    found = parse_filter(text)
    assert (found.dimension.name, found.op, found.value) == (dimension, op, value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must read"),
        ("country", "must read"),
        ("country:GB", "must read"),
        ("country:like:GB", "must read"),
        ("colour:is:red", "unknown dimension"),
        ("colour:x:is:red", "must read"),
        ("property::is:x", "1 to 200"),
        ("country:is:a\0b", "cannot be stored"),
        ("country:is:\udcff", "cannot be stored"),
        ("property:\0:is:x", "cannot be stored"),
        ("page:matches:(abc", r"missing \): \(abc"),
        ("page:matches:a{5000}", "invalid repetition"),
        ("page:matches:" + "a" * 1001, "1000 characters"),
        ("page:is:" + "a" * 2001, "2000 characters"),
    ],
)
def test_a_faulty_filter_is_told_what_is_wrong(text, why):
    with pytest.raises(ValueError, match=why):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "kept", "left_out"),
    [
        ("page:is:/a", ["/a"], ["/A", "/a/", "", None]),
        ("page:is_not:/a", ["/A", "/a/", "", None], ["/a"]),
        ("page:contains:_", ["a_b", "_"], ["a%b", "ab", None]),
        ("page:not_contains:%", ["a_b", "", None], ["a%b"]),
        ("page:starts_with:/é", ["/é", "/été/é", "/éa"][::2], ["/e", "x/é", None]),
        ("page:ends_with:\\", ["a\\"], ["\\a", None]),
        ("page:matches:^/p/[0-9]+$", ["/p/1", "/p/12"], ["/p/", "/p/1x", None]),
        ("page:matches:ic", ["/pricing"], ["/PRICE", None]),
        (f"country:is:{NONE}", [None, NONE], ["GB"]),
        (f"country:is_not:{NONE}", ["GB"], [None, NONE]),
        ("country:contains:none", [NONE], [None, "GB"]),
    ],
)
def test_what_an_operator_keeps(text, kept, left_out):
    assert [value for value in (*kept, *left_out) if keeps(text, value)] == kept


@given(value=st.text(), want=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9))
def test_a_negative_operator_keeps_exactly_what_its_positive_leaves_out(value, want):
    assert keeps(f"page:is:{want}", value) is not keeps(f"page:is_not:{want}", value)
    assert keeps(f"page:contains:{want}", value) is not keeps(f"page:not_contains:{want}", value)


def test_a_catastrophic_pattern_takes_linear_time():
    assert not keeps("page:matches:(a+)+$", "a" * 50_000 + "b")


def test_the_dimensions_are_those_that_are_documented():
    contract = "page entry_page exit_page referrer source channel country device_type browser os language screen event"
    utm = {f"utm_{part}" for part in ("source", "medium", "campaign", "term", "content")}
    assert {*contract.split(), *utm} <= set(DIMENSIONS)
    assert dimension_named("property:plan").column == "plan"
