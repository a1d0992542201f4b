import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from analytics_app.intake.user_agents import Device, device_of

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
CHROME = "Chrome/120.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (WINDOWS + CHROME, ("Chrome", "120", "Windows", "10", "desktop")),
        (WINDOWS + CHROME + " Edg/120.0.2210.91", ("Edge", "120", "Windows", "10", "desktop")),
        (WINDOWS + CHROME + " OPR/105.0.0.0", ("Opera", "105", "Windows", "10", "desktop")),
        (WINDOWS + CHROME + " Vivaldi/6.5", ("Vivaldi", "6.5", "Windows", "10", "desktop")),
        (LINUX + CHROME, ("Chrome", "120", "Linux", "", "desktop")),
        (MAC + "Version/17.2 Safari/605.1.15", ("Safari", "17.2", "macOS", "10.15", "desktop")),
        (IPHONE + "Version/17.2 Mobile/15E148 Safari/604.1", ("Safari", "17.2", "iOS", "17.2", "mobile")),
        (IPHONE + "CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1", ("Chrome", "120", "iOS", "17.2", "mobile")),
        (IPHONE + "FxiOS/121.0 Mobile/15E148 Safari/605.1.15", ("Firefox", "121", "iOS", "17.2", "mobile")),
        (ANDROID + "Chrome/120.0.0.0 Mobile Safari/537.36", ("Chrome", "120", "Android", "10", "mobile")),
        (ANDROID + CHROME, ("Chrome", "120", "Android", "10", "tablet")),
        (
            (
                "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) "
                "SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36"
            ),
            ("Samsung Internet", "23", "Android", "13", "mobile"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 10; HMA-L29) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 "
                "HuaweiBrowser/14.0.3 Mobile Safari/537.36"
            ),
            ("Huawei Browser", "14", "Android", "10", "mobile"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
                "Chrome/120.0.6099.43 Mobile Safari/537.36"
            ),
            ("Android WebView", "120", "Android", "13", "mobile"),
        ),
        (
            "Mozilla/5.0 (Android 13; Tablet; rv:121.0) Gecko/121.0 Firefox/121.0",
            ("Firefox", "121", "Android", "13", "tablet"),
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
            ("Firefox", "121", "Linux", "", "desktop"),
        ),
        (
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 "
                "Mobile/15E148 Safari/604.1"
            ),
            ("Safari", "16.6", "iOS", "16.6", "tablet"),
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) " + CHROME,
            ("Chrome", "120", "Chrome OS", "", "desktop"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0; Tablet PC 2.0) like Gecko",
            ("Internet Explorer", "11", "Windows", "10", "desktop"),
        ),
        (
            (
                "Mozilla/5.0 (SMART-TV; LINUX; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) "
                "Version/5.0 TV Safari/537.36"
            ),
            ("Safari", "5", "Tizen", "5", "tv"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 9; AFTMM; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
                "Chrome/70.0.3538.110 Mobile Safari/537.36"
            ),
            ("Android WebView", "70", "Android", "9", "tv"),
        ),
        (
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "Version/13.0 Safari/605.1.15"
            ),
            ("Safari", "13", "", "", "console"),
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            ("Googlebot", "2.1", "", "", "other"),
        ),
        ("", ("", "", "", "", "other")),
        ("nonsense", ("", "", "", "", "other")),
    ],
)
def test_a_user_agent_tells_browser_system_and_kind_of_device(agent, device):
    assert tuple(device_of(agent)) == device


def hinted(agent, mobile="?0", platform="", brands="", version=""):
    names = ("Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "sec-ch-ua", "Sec-CH-UA-Platform-Version")
    return device_of(agent, CIMultiDict(zip(names, (mobile, platform, brands, version), strict=True)))


def test_a_tablet_that_asks_for_the_desktops_page_is_a_tablet():
    assert hinted(LINUX + CHROME, "?0", '"Android"') == Device("Chrome", "120", "Android", "", "tablet")
    assert hinted(LINUX + CHROME, "?1", '"Android"').device_type == "mobile"


def test_brave_tells_its_name_only_in_the_hints():
    brands = '"Brave";v="120", "Chromium";v="120", "Not?A_Brand";v="24"'
    assert hinted(WINDOWS + CHROME, platform='"Windows"', brands=brands)[:2] == ("Brave", "120")


def test_chrome_stays_chrome_whatever_brands_are_made_up_beside_it():
    brands = '" Not;A Brand";v="99", "Google Chrome";v="120", "Chromium";v="120"'
    assert hinted(WINDOWS + CHROME, platform='"Windows"', brands=brands) == device_of(WINDOWS + CHROME)


@pytest.mark.parametrize(
    ("told", "version"), [('"15.0.0"', "11"), ('"10.0.0"', "10"), ('"0.3.0"', "10"), ("", "10"), ("x", "10")]
)
def test_windows_11_is_told_from_10_where_the_hint_was_sent(told, version):
    assert hinted(WINDOWS + CHROME, platform='"Windows"', version=told).os_version == version


def test_hints_change_nothing_about_an_ordinary_request():
    assert hinted(ANDROID + "Chrome/120.0.0.0 Mobile Safari/537.36", "?1", '"Android"') == device_of(
        ANDROID + "Chrome/120.0.0.0 Mobile Safari/537.36"
    )


@given(st.text(alphabet=st.characters(exclude_categories=())), st.text(), st.text(), st.text(), st.text())
def test_no_user_agent_and_no_hint_makes_it_fail(agent, mobile, platform, brands, version):
    for device in (device_of(agent), hinted(agent, mobile, platform, brands, version)):
        assert not any("\0" in text for text in device)
        "".join(device).encode()
        assert max(map(len, device)) <= 60


@pytest.mark.parametrize(
    "agent", ["Mozilla/5.0 (" + "Android; " * 8000, "A" * 64_000, "/1.0 " * 9000, "(" * 64_000, "; " * 9000]
)
def test_a_long_user_agent_is_cut_before_it_costs(agent):
    start = time.process_time()
    device_of(agent)
    assert time.process_time() - start < 0.1  # about 0.1 ms; the margin is for a slow machine
