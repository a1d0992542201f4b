"""What follows from an attempt at a delivery, and where webhooks may go."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from analytics_app.deliveries.logic import GIVEN_UP_AFTER, PAUSES, Outcome, after
from analytics_app.deliveries.webhook import may_reach, signature

NOW = datetime(2026, 3, 30, 8, tzinfo=UTC)


def test_what_was_taken_is_over():
    assert after(Outcome("sent"), 1, NOW, NOW).state == "sent"


def test_what_was_surely_not_taken_is_tried_again_with_growing_pauses_and_then_given_up():
    found = [after(Outcome("later", "busy"), attempt, NOW, NOW) for attempt in range(1, len(PAUSES) + 2)]
    assert [one.at and one.at - NOW for one in found] == [*PAUSES, None]
    assert [one.state for one in found] == ["waiting"] * len(PAUSES) + ["failed"]


def test_what_may_have_been_taken_is_never_sent_again():
    assert after(Outcome("unsure", "cut"), 1, NOW, NOW).state == "unknown"


def test_what_is_refused_for_good_has_failed():
    assert after(Outcome("refused", "no such mailbox"), 1, NOW, NOW).state == "failed"


def test_without_a_server_it_waits_without_counting_until_it_is_out_of_date():
    waits = after(Outcome("unset"), 1, NOW, NOW)
    assert (waits.state, waits.counts) == ("waiting", False)
    assert after(Outcome("unset"), 1, NOW - GIVEN_UP_AFTER - timedelta(seconds=1), NOW).state == "failed"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
     "ff02::1", "2001:db8::1", "192.0.2.1", "2002:7f00:1::", "2002:a01:203::1", "64:ff9b::7f00:1", "64:ff9b::10.1.2.3"],
)  # fmt: skip
def test_a_webhook_reaches_nothing_of_the_services_own_network(address):
    assert not may_reach(address, ())


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"]
)
def test_a_webhook_reaches_public_addresses(address):
    assert may_reach(address, ())


def test_a_private_network_that_the_settings_name_may_be_reached_and_no_other():
    allowed = (ip_network("10.1.0.0/16"),)
    assert may_reach("10.1.2.3", allowed)
    assert may_reach("::ffff:10.1.2.3", allowed)
    assert not may_reach("10.2.2.3", allowed)


def test_a_signature_is_hmac_sha256_of_time_and_body():
    # printf '1767225600.{}' | openssl dgst -sha256 -hmac key
    assert signature("key", 1767225600, b"{}") == "df344de429b8ee672e1863e0008fdbd0080000536fbccdf0e4f89846acbbe872"
