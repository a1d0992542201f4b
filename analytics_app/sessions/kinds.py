"""The numbers under which kinds of events and of texts are stored. They are in the database: never change one."""

from enum import IntEnum


class EventKind(IntEnum):
    """What an event is; everything but a pageview counts as an event."""

    PAGEVIEW = 1
    EVENT = 2
    CLICK = 3
    SCROLL = 4
    FORM = 5
    GOAL = 6
    CUSTOM = 7


class TermKind(IntEnum):
    """What a term is the text of."""

    PATH = 1
    EVENT_NAME = 2
    TITLE = 3
    HOST = 4
    REFERRER = 5
    SOURCE = 6
    CHANNEL = 7
    UTM_SOURCE = 8
    UTM_MEDIUM = 9
    UTM_CAMPAIGN = 10
    UTM_TERM = 11
    UTM_CONTENT = 12
    COUNTRY = 13
    DEVICE_TYPE = 14
    BROWSER = 15
    BROWSER_VERSION = 16
    OS = 17
    OS_VERSION = 18
    LANGUAGE = 19
    SCREEN = 20


SESSION_TERMS: dict[str, TermKind] = {
    "host": TermKind.HOST,
    "referrer": TermKind.REFERRER,
    "source": TermKind.SOURCE,
    "channel": TermKind.CHANNEL,
    "utm_source": TermKind.UTM_SOURCE,
    "utm_medium": TermKind.UTM_MEDIUM,
    "utm_campaign": TermKind.UTM_CAMPAIGN,
    "utm_term": TermKind.UTM_TERM,
    "utm_content": TermKind.UTM_CONTENT,
    "country": TermKind.COUNTRY,
    "device_type": TermKind.DEVICE_TYPE,
    "browser": TermKind.BROWSER,
    "browser_version": TermKind.BROWSER_VERSION,
    "os": TermKind.OS,
    "os_version": TermKind.OS_VERSION,
    "language": TermKind.LANGUAGE,
    "screen": TermKind.SCREEN,
}
"""The dimensions of a session, in the order of its row's columns: the field of a hit and its kind of term."""
