"""Browser, system and kind of device, from the user agent and the client hints a browser sends unasked."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import re2
from ua_parser import Parser, Result
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from analytics_app.intake.remembered import Remembered
from analytics_app.intake.text import clean_text

MAX_USER_AGENT = 1000
_MAX_HINT = 300


class Device(NamedTuple):
    """What a visitor came with. Empty texts where it is not known; versions are `17` or `17.2`."""

    browser: str = ""
    browser_version: str = ""
    os: str = ""
    os_version: str = ""
    device_type: str = "other"
    """`desktop`, `mobile`, `tablet`, `tv`, `console`, `wearable` or `other`."""


# The browser is one thing to its user, whatever it runs on: the system is a dimension of its own.
_BROWSERS = {
    "Amazon Silk": "Silk",
    "Android": "Android Browser",
    "Baidu Browser Mobile": "Baidu Browser",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Chrome Mobile iOS": "Chrome",
    "Chrome WebView": "Android WebView",
    "Chromium": "Chrome",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Firefox Focus": "Firefox Focus",
    "Google": "Google App",
    "HeadlessChrome": "Chrome",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "MiuiBrowser": "Mi Browser",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Mobile": "Opera",
    "Opera Touch": "Opera",
    "QQ Browser Mobile": "QQ Browser",
    "UC Browser Mobile": "UC Browser",
    "WeChat Browser": "WeChat",
    "Yandex Browser Lite": "Yandex Browser",
}
_BRANDS = {
    "Brave": "Brave",
    "DuckDuckGo": "DuckDuckGo",
    "Microsoft Edge": "Edge",
    "Opera": "Opera",
    "Opera GX": "Opera GX",
    "Samsung Internet": "Samsung Internet",
    "Vivaldi": "Vivaldi",
    "YaBrowser": "Yandex Browser",
    "Yandex": "Yandex Browser",
}
_SYSTEMS = {
    "ATV OS X": "tvOS",
    "Chromecast": "Android",
    "Chromium OS": "Chrome OS",
    "Debian": "Linux",
    "Fedora": "Linux",
    "Linux Mint": "Linux",
    "Mac OS": "macOS",
    "Mac OS X": "macOS",
    "Red Hat": "Linux",
    "SUSE": "Linux",
    "Ubuntu": "Linux",
    "Web0S": "webOS",
    "WebOS": "webOS",
    "webOS": "webOS",
}
_PLATFORMS = {"Android", "Chrome OS", "Chromium OS", "iOS", "Linux", "macOS", "Windows"}
_DESKTOPS = {"Windows", "macOS", "Linux", "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"}

# The first kind whose words are found: a television's user agent may say `Mobile`, a tablet's too.
# RE2, for `re` tries every word at every letter: 3 µs in place of 50.
_KINDS = {
    kind: re2.compile(f"(?i){words}")
    for kind, words in {
        "console": "playstation|nintendo|xbox",
        "tv": r"smart-?tv|google ?tv|apple ?tv|android tv|hbbtv|netcast|web0s|\bbravia\b|\baft[a-z]{1,3}\b|crkey|roku|"
        r"\btv safari\b|viera|philipstv|opera tv|dtv|\bshield android\b|mitv|chromecast",
        "wearable": r"\bwatch(?:os)?\b|\bsm-[lr]\d{3}",
        "tablet": r"ipad|tablet(?:[^ ]|$| [^p])|kindle|\bsilk/|playbook|\bkf[a-z]{2,6}\b",  # not Windows' `Tablet PC`
        "mobile": "mobi|iphone|ipod|opera mini|windows phone|blackberry|symbian|j2me|midp|kaios",
    }.items()
}
_BRAND = re.compile(r'"((?:[^"\\]|\\.){1,60})"\s*;\s*v\s*=\s*"?([\w.]{0,20})')

# Browsers of phones' makers, which the parser takes for the Chrome they are built on.
_MAKERS = re.compile(r"\b(Huawei|HeyTap|Vivo|Honor)Browser/(\d{1,5})")

_parser = Parser(Resolver(load_builtins()))


def device_of(user_agent: str, hints: Mapping[str, str] | None = None) -> Device:
    """The device behind `user_agent`, of which the first 1,000 characters count.

    `hints` are the request's headers: `Sec-CH-UA`, `-Mobile`, `-Platform` and `-Platform-Version` refine what the user
    agent leaves out or pretends (Brave, a tablet that asks for the desktop's page, Windows 11). Never raises.
    """
    agent = user_agent[:MAX_USER_AGENT]
    if hints is None or not (platform := hints.get("Sec-CH-UA-Platform", "")):
        return _remembered(agent)
    told = (
        platform[:_MAX_HINT],
        hints.get("Sec-CH-UA-Mobile", "")[:_MAX_HINT],
        hints.get("Sec-CH-UA", "")[:_MAX_HINT],
        hints.get("Sec-CH-UA-Platform-Version", "")[:_MAX_HINT],
    )
    return _remembered("\n".join((agent, *told)))


def _find(text: str) -> Device:
    agent, *hints = text.split("\n", 1)
    agent = clean_text(agent, MAX_USER_AGENT)
    device = _parsed(agent, _parser.parse(agent))
    if not hints:
        return device
    told = hints[0].split("\n")
    # A user agent that holds a line break, which a header cannot, would shift the hints: they are left alone then.
    return _refined(device, *told) if len(told) == 4 else device


def _parsed(agent: str, result: Result) -> Device:
    browser = browser_version = os = os_version = ""
    if result.user_agent:
        family = result.user_agent.family
        browser = _BROWSERS.get(family, family)
        browser_version = _version(result.user_agent.major, result.user_agent.minor)
        if maker := _MAKERS.search(agent):
            browser, browser_version = f"{maker[1]} Browser", maker[2]
        elif browser == "Android Browser":
            browser_version = ""  # the parser gives the system's
    if result.os:
        os = _SYSTEMS.get(result.os.family, result.os.family)
        os_version = _version(result.os.major, result.os.minor)
        if os in {"Chrome OS", "Linux"}:
            os_version = ""  # a build number, or a distribution's
    return Device(
        clean_text(browser, 60),
        clean_text(browser_version, 20),
        clean_text(os, 60),
        clean_text(os_version, 20),
        _device_type(agent, os, result.device.brand or "" if result.device else ""),
    )


def _device_type(agent: str, os: str, brand: str) -> str:
    for kind, words in _KINDS.items():
        if words.search(agent):
            return kind
    if os == "Android":  # Android's browsers leave out `Mobile` on anything larger than a phone
        return "tablet"
    if os in _DESKTOPS and brand != "Spider":
        return "desktop"
    return "tv" if os in {"tvOS", "webOS"} else "other"


def _refined(device: Device, platform: str, mobile: str, brands: str, platform_version: str) -> Device:
    system = platform.strip().strip('"')
    if system in _PLATFORMS and _SYSTEMS.get(system, system) != device.os:
        # The page asked for as a desktop's: the user agent names a system that this device does not run.
        kind = "desktop"
        if system in {"Android", "iOS"}:
            kind = "mobile" if mobile.strip() == "?1" else "tablet"
        kind = device.device_type if device.device_type in {"tv", "console"} else kind
        device = device._replace(os=_SYSTEMS.get(system, system), os_version="", device_type=kind)
    elif mobile.strip() == "?1" and device.device_type == "desktop":
        device = device._replace(device_type="mobile")
    if system == "Windows" and (major := platform_version.strip().strip('"').partition(".")[0]).isdecimal():
        # Windows' user agents have said 10 since 2015; the hint counts from 13 for Windows 11.
        device = device._replace(
            os_version="11" if int(major[:4]) >= 13 else "10" if int(major[:4]) else device.os_version
        )
    if device.browser == "Chrome":
        for name, version in _BRAND.findall(brands):
            if name in _BRANDS:
                return device._replace(browser=_BRANDS[name], browser_version=version)
    return device


def _version(major: str | None, minor: str | None) -> str:
    if not major:
        return ""
    return f"{major}.{minor}" if minor and minor != "0" and len(minor) < 3 else major  # 15063 is a build


_remembered = Remembered(_find, 8000)
