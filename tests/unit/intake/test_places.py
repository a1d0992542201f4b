from ipaddress import ip_address

import pytest

from analytics_app.intake.places import Places, _code

PLACES = Places()


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("::ffff:8.8.8.8", "US"),
        ("2001:4860:4860::8888", "US"),
        ("193.0.6.139", "NL"),
        ("10.0.0.1", ""),
        ("127.0.0.1", ""),
        ("192.168.1.1", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("fd00::1", ""),
        ("", ""),
        ("unknown", ""),
        ("1.2.3.4.5", ""),
        ("8.8.8.8 ", ""),
        ("\0", ""),
    ],
)
def test_an_address_has_a_country_or_none(address, country):
    assert PLACES.country_of(address) == country


def test_an_address_may_be_given_as_a_value():
    assert PLACES.country_of(ip_address("::ffff:8.8.8.8")) == "US"


@pytest.mark.parametrize(
    ("record", "country"),
    [
        ({"country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}}, "GB"),
        ({"registered_country": {"iso_code": "SE"}}, "SE"),
        ({"country": {"names": {}}, "registered_country": {"iso_code": "SE"}}, "SE"),
        ({"country_code": "de"}, "DE"),
        ({"country": "JP"}, "JP"),
        ({"country": "Japan", "country_code": "JP"}, "JP"),
        ({"city": {}}, ""),
        ({"country": {"iso_code": 5}}, ""),
        ("GB", ""),
        (None, ""),
    ],
)
def test_the_usual_shapes_of_databases_are_read(record, country):
    assert _code(record) == country


def test_a_file_that_is_no_database_is_refused_at_the_start(tmp_path):
    (tmp_path / "places.mmdb").write_bytes(b"nothing of the kind")
    with pytest.raises(Exception, match=r"MaxMind|database|metadata"):
        Places(tmp_path / "places.mmdb")
    with pytest.raises(OSError):
        Places(tmp_path / "missing.mmdb")
