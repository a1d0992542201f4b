"""Channels: the groups into which sources and campaigns fall, as Google Analytics' default grouping has them.

The first line that holds decides. *Paid* means a medium that begins with `paid`, holds `cp` (`cpc`, `cpm`) or is `ppc`
or `retargeting`, or a click id that only advertisements carry. The kind of a source is that of `sources.py`.

| channel | when |
|---|---|
| Direct, Referral | nothing is known, but perhaps a referrer |
| Cross-network | the campaign's name holds `cross-network` |
| Paid Shopping | paid, and a shop, or a campaign of that name (`shop`, `shopping`) |
| Paid Search | paid, and a search engine |
| Paid Social | paid, and a social network |
| Paid Video | paid, and a video site |
| Display | medium `display`, `banner`, `expandable`, `interstitial`, `cpm`, or an advertising network |
| Paid Other | paid |
| Email | source or medium `email`, `newsletter` and their like |
| Affiliates | medium `affiliate` |
| Audio | medium `audio` or `podcast` |
| SMS | source or medium `sms` |
| Mobile Push Notifications | medium ends in `push`, holds `mobile` or `notification`; source `firebase` |
| AI Assistants | an assistant, or medium `ai`, `ai-assistant`, `llm`, `chatbot` |
| Organic Shopping | a shop, or a campaign of that name |
| Organic Social | a social network, or medium `social` and its like |
| Organic Video | a video site, or a medium that holds `video` |
| Organic Search | a search engine, or medium `organic` |
| Email, Audio | a mail service; an audio site |
| Referral | there is a referrer, or medium `referral`, `app`, `link` |
| Unassigned | a campaign that none of these knows |

The one difference to the model: what the link itself says (Email to Mobile Push Notifications) comes before what its
source is, so that a newsletter's link with `utm_source=linkedin` is Email.
"""

import re

from analytics_app.intake.campaigns import Campaign
from analytics_app.intake.sources import PAID_CLICKS, Source

_PAID = re.compile(r".*cp.*|ppc|retargeting|paid.*")
_SHOP = re.compile(r"(?:^|[^a-df-z])shop|shopping")
_DISPLAY = {"display", "banner", "expandable", "interstitial", "cpm"}
_SOCIAL = {"social", "social-network", "social-media", "sm", "social network", "social media", "social_media"}
_AI = {"ai", "ai-assistant", "ai_assistant", "llm", "chatbot"}
_EMAIL = {"email", "e-mail", "e_mail", "e mail", "newsletter", "mail"}
_REFERRAL = {"referral", "app", "link"}
_PAID_KINDS = {
    "shopping": "Paid Shopping",
    "search": "Paid Search",
    "social": "Paid Social",
    "video": "Paid Video",
    "ads": "Display",
}


def channel_of(source: Source, campaign: Campaign, *, has_referrer: bool) -> str:
    """The channel of a visit that `source` and `campaign` (empty where there is none) brought."""
    medium = campaign.medium.lower()
    name = campaign.name.lower()
    if not (source.name or medium or name or campaign.click_id):
        return "Referral" if has_referrer else "Direct"
    if "cross-network" in name:
        return "Cross-network"
    shop = source.kind == "shopping" or (bool(name) and _SHOP.search(name) is not None)
    is_paid = campaign.click_id in PAID_CLICKS or (bool(medium) and _PAID.fullmatch(medium) is not None)
    if is_paid:
        return _paid(source, medium, shop=shop)
    if medium in _DISPLAY or source.kind == "ads":
        return "Display"
    return (
        _told(source.name.lower(), medium) or _organic(source, medium, shop=shop) or _rest(source, medium, has_referrer)
    )


def _paid(source: Source, medium: str, *, shop: bool) -> str:
    if shop:
        return "Paid Shopping"
    other = "Display" if medium in _DISPLAY else "Paid Other"
    return _PAID_KINDS.get(source.kind, other)


def _organic(source: Source, medium: str, *, shop: bool) -> str:
    kind = source.kind
    channel = ""
    if kind == "ai" or medium in _AI:
        channel = "AI Assistants"
    elif shop:
        channel = "Organic Shopping"
    elif kind == "social" or medium in _SOCIAL:
        channel = "Organic Social"
    elif kind == "video" or "video" in medium:
        channel = "Organic Video"
    elif kind == "search" or medium == "organic":
        channel = "Organic Search"
    return channel


def _told(source: str, medium: str) -> str:
    """The channels that a link itself names."""
    channel = ""
    if source in _EMAIL or medium in _EMAIL:
        channel = "Email"
    elif medium in {"affiliate", "affiliates"}:
        channel = "Affiliates"
    elif medium in {"audio", "podcast"}:
        channel = "Audio"
    elif "sms" in {source, medium}:
        channel = "SMS"
    elif medium.endswith("push") or "mobile" in medium or "notification" in medium or source == "firebase":
        channel = "Mobile Push Notifications"
    return channel


def _rest(source: Source, medium: str, has_referrer: bool) -> str:
    if source.kind in {"email", "audio"}:
        return source.kind.capitalize()
    return "Referral" if has_referrer or medium in _REFERRAL else "Unassigned"
