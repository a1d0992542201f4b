from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from analytics_app.intake.addresses import MAX_HOPS, client_address, parsed

PROXIES = tuple(map(ip_network, ["10.0.0.0/8", "127.0.0.1/32", "2001:db8:aa::/48"]))
PROXY = "10.0.0.1"
CLIENT = "198.51.100.7"


def via(*forwarded_for, peer=PROXY):
    headers = CIMultiDict(("x-forwarded-for", value) for value in forwarded_for)
    return client_address(peer, headers, PROXIES)


def by(forwarded, peer=PROXY):
    return client_address(peer, CIMultiDict({"Forwarded": forwarded}), PROXIES)


def test_without_trusted_proxies_the_client_is_the_peer_whatever_the_headers_say():
    assert client_address(CLIENT, {"X-Forwarded-For": "8.8.8.8", "Forwarded": "for=8.8.8.8"}) == CLIENT


def test_a_peer_that_is_no_proxy_is_the_client():
    assert via("8.8.8.8", peer=CLIENT) == CLIENT


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([CLIENT], CLIENT),
        ([f"8.8.8.8, {CLIENT}"], CLIENT),
        ([f"8.8.8.8, {CLIENT}, 10.1.1.1"], CLIENT),
        ([f"8.8.8.8, {CLIENT}", "10.1.1.1, 10.2.2.2"], CLIENT),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ([f" {CLIENT}:51234 "], CLIENT),
        (["2001:db8::7"], "2001:db8::7"),
        (["[2001:DB8:0:0::7]:443"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["fe80::1%eth0"], "fe80::1"),
        ([f"::ffff:{CLIENT}"], CLIENT),
        ([f"{CLIENT}, ::ffff:10.3.3.3"], CLIENT),
        ([f"{CLIENT}, 2001:db8:aa::1"], CLIENT),
        (["unknown"], PROXY),
        ([f"{CLIENT}, unknown, 10.1.1.1"], "10.1.1.1"),
        (["999.1.1.1"], PROXY),
        ([""], PROXY),
        ([","], PROXY),
        (["a" * 5000], PROXY),
        (["8.8.8.8," * 2000 + CLIENT], CLIENT),
    ],
)
def test_x_forwarded_for_is_read_from_the_right_to_the_first_that_is_no_proxy(lines, client):
    assert via(*lines) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"For={CLIENT};proto=https;by=203.0.113.43", CLIENT),
        (f"proto=https; for={CLIENT}", CLIENT),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for="[2001:db8:cafe::17]"', "2001:db8:cafe::17"),
        (f'for="{CLIENT}:47011"', CLIENT),
        (f"for=8.8.8.8, for={CLIENT}, for=10.1.1.1", CLIENT),
        ("for=_hidden", PROXY),
        ("for=unknown", PROXY),
        (f"for={CLIENT}, for=_SEVKISEK, for=10.1.1.1", "10.1.1.1"),
        (f"for={CLIENT}, proto=https", PROXY),
        (f'for="8.8.8.8, for={CLIENT}', CLIENT),
        ("by=10.0.0.2", PROXY),
        ("for", PROXY),
        ('for="', PROXY),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(forwarded, client):
    assert by(forwarded) == client


def test_of_two_headers_only_the_usual_one_is_believed():
    assert client_address(PROXY, {"X-Forwarded-For": CLIENT, "Forwarded": "for=8.8.8.8"}, PROXIES) == CLIENT


def test_no_more_hops_are_read_than_any_chain_has():
    assert via(", ".join([CLIENT] + ["10.1.1.1"] * MAX_HOPS)) == "10.1.1.1"


@pytest.mark.parametrize(
    ("peer", "client"), [("::ffff:10.9.9.9", "10.9.9.9"), ("fe80::1%2", "fe80::1"), ("", ""), ("/run/s", "/run/s")]
)
def test_the_peer_itself_is_put_in_its_shortest_form(peer, client):
    assert client_address(peer, {}, PROXIES) == client


@given(st.text(), st.text(), st.sampled_from([PROXY, CLIENT, "", "nonsense", "::1"]))
def test_no_header_can_make_it_fail(forwarded_for, forwarded, peer):
    found = client_address(peer, {"X-Forwarded-For": forwarded_for, "Forwarded": forwarded}, PROXIES)
    assert isinstance(found, str)
    if peer == CLIENT:
        assert found == CLIENT


@given(st.text(max_size=60))
def test_whatever_a_client_writes_left_of_its_own_address_its_address_counts(made_up):
    assert via(f"{made_up},{CLIENT}") == CLIENT
    assert by(f"{made_up},for={CLIENT}") == CLIENT


@given(
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.from_regex(r"\A[0-9.]{1,17}\Z"),
        st.lists(st.integers(0, 300), min_size=3, max_size=5).map(
            lambda parts: ".".join(f"{part:03}" for part in parts)
        ),
        st.text(st.characters(exclude_characters=':%"[]'), max_size=20),
    )
)
def test_what_is_an_ipv4_address_is_what_the_standard_library_takes_for_one(text):
    try:
        expected = IPv4Address(text.strip())
    except ValueError:
        expected = None
    assert parsed(text) == expected
