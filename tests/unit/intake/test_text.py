import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.intake.paths import clean_path
from analytics_app.intake.text import MAX_BYTES, MAX_SAFE_INTEGER, clean_properties, clean_text

# Everything that Python can hold in a text, lone surrogates included.
ANYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=300)
LIMITS = st.integers(min_value=1, max_value=200)


@given(ANYTHING, LIMITS)
def test_a_cleaned_text_can_be_stored_and_is_within_its_limits(value, limit):
    cleaned = clean_text(value, limit)
    assert len(cleaned) <= limit
    assert len(cleaned.encode("utf-8")) <= MAX_BYTES
    assert not any(ord(letter) < 32 for letter in cleaned)
    assert cleaned == cleaned.strip()


@given(ANYTHING, LIMITS)
def test_cleaning_a_text_twice_changes_nothing(value, limit):
    once = clean_text(value, limit)
    assert clean_text(once, limit) == once


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("Pricing · Example", "Pricing · Example"),
        ("a\0b", "ab"),
        ("one\ntwo\tthree", "one two three"),
        ("  spaced  ", "spaced"),
        ("cut \ud83d", "cut \ufffd"),
        ("\udc80raw byte", "\ufffdraw byte"),
        ("Cafe\u0301", "Café"),
        ("👨‍👩‍👧 family", "👨‍👩‍👧 family"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("", ""),
    ],
)
def test_texts_are_cleaned_of_what_cannot_be_stored_or_misleads(value, cleaned):
    assert clean_text(value, 100) == cleaned


def test_a_text_of_wide_characters_still_fits_an_index_entry():
    assert len(clean_text("😀" * 1000, 1000).encode()) == MAX_BYTES


def test_a_heap_of_accents_is_cut_before_it_is_sorted():
    assert len(clean_text("a" + "\u0301\u0323" * 20_000, 100)) <= 100


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/pricing", "/pricing"),
        ("pricing", "/pricing"),
        ("", "/"),
        ("https://example.com", "/"),
        ("https://example.com/a/b?page=2", "/a/b?page=2"),
        ("https://example.com?page=2", "/?page=2"),
        ("app://main/settings", "/settings"),
        ("/docs#install", "/docs"),
        ("/#/settings", "/#/settings"),
        ("/#!/settings", "/#!/settings"),
        ("/sale?utm_source=x&size=4&gclid=abc", "/sale?size=4"),
        ("/sale?utm_source=x", "/sale"),
        ("/sale?fbclid=abc#/cart", "/sale#/cart"),
        ("/reset?token=abc123", "/reset?token=[removed]"),
        ("/u/jane@example.com", "/u/[email]"),
        ("/a\0b", "/ab"),
        ("//evil.example/x", "//evil.example/x"),
        ("/search?q=a//b", "/search?q=a//b"),
        ("/redirect?to=https://example.org/x", "/redirect?to=https://example.org/x"),
    ],
)
def test_a_path_is_the_page_and_nothing_else(value, path):
    assert clean_path(value) == path


@given(ANYTHING)
def test_every_path_begins_with_a_slash_and_cleaning_it_again_changes_nothing(value):
    path = clean_path(value, 120)
    assert path.startswith("/")
    assert len(path) <= 120
    assert "\0" not in path
    path.encode("utf-8")
    assert clean_path(path, 120) == path


def test_a_secret_that_the_limit_would_cut_is_not_stored_in_part():
    assert "abc" not in clean_path("/" + "x" * 985 + "?token=abcdefghijklmnop")


def test_properties_keep_their_types_and_lose_their_nulls():
    sent = {"button": "sign\0up", "count": 3, "price": 9.5, "new": True, "coupon": None}
    assert clean_properties(sent) == {"button": "signup", "count": 3, "price": 9.5, "new": True}
    assert clean_properties({"flag": True})["flag"] is True


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**53, -(2**53), 2**80, [1], {"deep": 1}, (), b"bytes", object()]
)
def test_a_property_that_cannot_be_kept_as_it_is_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"properties\.size"):
        clean_properties({"colour": "red", "size": value})


def test_the_largest_exact_integers_are_taken():
    assert clean_properties({"a": MAX_SAFE_INTEGER, "b": -MAX_SAFE_INTEGER}) == {
        "a": MAX_SAFE_INTEGER,
        "b": -MAX_SAFE_INTEGER,
    }


@pytest.mark.parametrize("name", ["", "   ", "\0", "k" * 101])
def test_a_property_needs_a_name_of_one_to_a_hundred_characters(name):
    with pytest.raises(ValueError, match="properties"):
        clean_properties({name: 1})


def test_fifty_properties_are_taken_and_fifty_one_are_not():
    assert len(clean_properties({f"p{n}": n for n in range(50)})) == 50
    with pytest.raises(ValueError, match="at most 50"):
        clean_properties({f"p{n}": n for n in range(51)})


@given(st.dictionaries(ANYTHING, ANYTHING | st.integers() | st.floats() | st.booleans() | st.none(), max_size=5))
def test_properties_are_storable_or_refused(sent):
    try:
        kept = clean_properties(sent)
    except ValueError as refused:
        str(refused).encode("utf-8")
        return
    for name, value in kept.items():
        assert "\0" not in f"{name}{value}"
        f"{name}{value}".encode()
