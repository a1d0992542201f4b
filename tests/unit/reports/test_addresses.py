"""Whom mail can be sent to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.reports.addresses import PATTERN, mail_address


@pytest.mark.parametrize(
    "address", ["user@example.com", "a.b+tag@sub.example.co.uk", "o'hara@example.org", "x@xn--mnchen-3ya.xn--p1ai"]
)
def test_an_address_is_taken(address):
    assert mail_address(address) == address


def test_a_domain_is_written_small():
    assert mail_address("Jo.Doe@Example.COM") == "Jo.Doe@example.com"


@pytest.mark.parametrize(
    "address",
    ["", "user", "@example.com", "user@", "user@localhost", "a b@example.com", "a@b@example.com", "user@example..com",
     ".user@example.com", "user.@example.com", "user@-example.com", "user@example.com\n",
     "user@example.com\nBcc: x@y.zz",
     "<user@example.com>", "user@example.c", "a" * 65 + "@example.com", "a@" + "b." * 130 + "com"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="e-mail address"):
        mail_address(address)


@given(st.from_regex(re.compile(PATTERN, re.ASCII), fullmatch=True))
def test_what_the_document_allows_is_taken(address):
    assert mail_address(address).lower() == address.lower()
