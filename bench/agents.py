"""What the browsers of the bench send with every request: user agents with their client hints, and languages."""

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
_GECKO = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SYSTEMS = ((_WINDOWS, "Windows", "?0"), (_MAC, "macOS", "?0"), (_LINUX, "Linux", "?0"), (_ANDROID, "Android", "?1"))


def _chromiums() -> list[tuple[str, str]]:
    found = []
    for platform, name, mobile in _SYSTEMS:
        for major in (138, 139, 140, 141):
            tail = f"Chrome/{major}.0.0.0{' Mobile' if mobile == '?1' else ''} Safari/537.36"
            for brand, suffix in (("Google Chrome", ""), ("Microsoft Edge", f" Edg/{major}.0.0.0")):
                hints = (
                    f'sec-ch-ua: "{brand}";v="{major}", "Not?A_Brand";v="8", "Chromium";v="{major}"\r\n'
                    f'sec-ch-ua-mobile: {mobile}\r\nsec-ch-ua-platform: "{name}"\r\n'
                )
                found.append((f"{platform} {_GECKO} {tail}{suffix}", hints))
    return found


def _others() -> list[tuple[str, str]]:
    safari = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{0} {1}Safari/{2}"
    agents = [f"{_MAC} {safari.format(version, '', '605.1.15')}" for version in ("17.6", "18.3", "18.6", "26.0")]
    agents += [
        f"Mozilla/5.0 ({device}; CPU {system} like Mac OS X) {safari.format(version, 'Mobile/15E148 ', '604.1')}"
        for device, system in (("iPhone", "iPhone OS 18_6"), ("iPhone", "iPhone OS 17_5"), ("iPad", "OS 18_6"))
        for version in ("17.5", "18.6")
    ]
    agents += [
        f"Mozilla/5.0 ({system}; rv:{major}.0) Gecko/20100101 Firefox/{major}.0"
        for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10.15", "X11; Linux x86_64")
        for major in (140, 141, 142)
    ]
    agents += [
        f"Mozilla/5.0 (Android 15; Mobile; rv:{major}.0) Gecko/{major}.0 Firefox/{major}.0" for major in (141, 142)
    ]
    agents += [
        f"Mozilla/5.0 (Linux; Android 15; SM-S921B) {_GECKO} SamsungBrowser/{version} "
        "Chrome/136.0.0.0 Mobile Safari/537.36"
        for version in ("27.0", "28.0")
    ]
    return [(agent, "") for agent in agents]


BROWSERS: tuple[tuple[str, str], ...] = (*_chromiums(), *_others())
"""User agents, each with the header lines of its client hints (`name: value\\r\\n`, or none)."""

LANGUAGES = ("en-GB,en;q=0.9", "en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9,en;q=0.7")

SCREENS = ((1920, 1080), (2560, 1440), (1440, 900), (1536, 864), (390, 844), (412, 915), (820, 1180))

REFERRERS = (
    "https://www.google.com/",
    "https://www.bing.com/search?q=analytics",
    "https://duckduckgo.com/",
    "https://news.ycombinator.com/item?id=41234567",
    "https://www.reddit.com/r/selfhosted/comments/1abcde/",
    "https://t.co/AbCdEfGh",
    "https://www.linkedin.com/feed/",
    "https://chatgpt.com/",
    "https://github.com/topics/analytics",
    "https://lobste.rs/",
    "https://blog.example/2026/self-hosting",
    "https://www.youtube.com/watch?v=abcdefghijk",
)

CAMPAIGNS = (("google", "cpc", "summer-sale"), ("newsletter", "email", "week-47"), ("linkedin", "paid", "launch"))
