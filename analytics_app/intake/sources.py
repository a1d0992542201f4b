"""What the list of known referrers lacks: newer sites, apps, assistants, and the many names of the same source.

A source has a name, as it is shown, and a kind, which decides the channel.
"""

from typing import Literal, NamedTuple

Kind = Literal["", "search", "social", "video", "shopping", "email", "ai", "ads", "audio"]


class Source(NamedTuple):
    """Where visitors come from. `kind` is empty where it is just another website."""

    name: str
    kind: Kind = ""


def _hosts(kind: Kind, lines: str) -> dict[str, Source]:
    """`Name: host host …`, a line each."""
    table: dict[str, Source] = {}
    for line in lines.strip().splitlines():
        name, _, hosts = line.strip().partition(": ")
        table.update((host, Source(name, kind)) for host in hosts.split())
    return table


HOSTS: dict[str, Source] = {
    **_hosts(
        "ai",
        """
        ChatGPT: chatgpt.com chat.openai.com openai.com com.openai.chatgpt
        Claude: claude.ai claude.com com.anthropic.claude
        Copilot: copilot.microsoft.com copilot.com copilot.cloud.microsoft m365.cloud.microsoft com.microsoft.copilot
        DeepSeek: chat.deepseek.com deepseek.com
        Doubao: doubao.com
        Gemini: gemini.google.com bard.google.com com.google.android.apps.bard
        Grok: grok.com x.ai
        Kimi: kimi.com kimi.moonshot.cn
        Meta AI: meta.ai
        Mistral: chat.mistral.ai
        NotebookLM: notebooklm.google.com
        Perplexity: perplexity.ai ai.perplexity.app.android
        Phind: phind.com
        Poe: poe.com
        Qwen: chat.qwen.ai qwen.ai
        You.com: you.com
        """,
    ),
    **_hosts(
        "search",
        """
        Brave Search: search.brave.com
        Ecosia: ecosia.org
        Google: com.google.android.googlequicksearchbox
        Google News: news.google.com com.google.android.apps.magazines
        Kagi: kagi.com
        Mojeek: mojeek.com
        Startpage: startpage.com
        Swisscows: swisscows.com
        """,
    ),
    **_hosts(
        "social",
        """
        Bluesky: bsky.app go.bsky.app bsky.social
        Discord: discord.com discordapp.com com.discord
        Facebook: facebook.com m.facebook.com l.facebook.com lm.facebook.com fb.com fb.me com.facebook.katana
        Hacker News: news.ycombinator.com hn.algolia.com
        Instagram: instagram.com l.instagram.com com.instagram.android
        Lemmy: lemmy.world lemmy.ml
        Line: line.me
        LinkedIn: linkedin.com lnkd.in com.linkedin.android
        Lobsters: lobste.rs
        Mastodon: mastodon.social mastodon.online joinmastodon.org org.joinmastodon.android
        Messenger: messenger.com m.me com.facebook.orca
        Microsoft Teams: teams.microsoft.com statics.teams.cdn.office.net
        Nextdoor: nextdoor.com
        Pinterest: pinterest.com pin.it com.pinterest
        Product Hunt: producthunt.com
        Quora: quora.com
        Reddit: reddit.com redd.it old.reddit.com com.reddit.frontpage
        Slack: slack.com app.slack.com com.slack
        Snapchat: snapchat.com com.snapchat.android
        Telegram: t.me telegram.org telegram.me web.telegram.org org.telegram.messenger
        Threads: threads.net threads.com l.threads.net l.threads.com
        TikTok: tiktok.com com.zhiliaoapp.musically com.ss.android.ugc.trill
        Truth Social: truthsocial.com
        Tumblr: tumblr.com
        Twitter: twitter.com x.com t.co com.twitter.android
        VK: vk.com m.vk.com vk.ru away.vk.com
        WeChat: weixin.qq.com mp.weixin.qq.com wechat.com
        Weibo: weibo.com weibo.cn
        WhatsApp: whatsapp.com web.whatsapp.com wa.me com.whatsapp
        XING: xing.com
        """,
    ),
    **_hosts(
        "video",
        """
        Bilibili: bilibili.com b23.tv
        Dailymotion: dailymotion.com
        Netflix: netflix.com
        Niconico: nicovideo.jp
        Rumble: rumble.com
        Twitch: twitch.tv
        Vimeo: vimeo.com player.vimeo.com
        YouTube: youtube.com m.youtube.com music.youtube.com youtu.be com.google.android.youtube
        """,
    ),
    **_hosts(
        "shopping",
        """
        AliExpress: aliexpress.com
        Alibaba: alibaba.com
        Amazon: amazon.com amazon.de amazon.co.uk amazon.fr amazon.it amazon.es amazon.co.jp amazon.in
        Amazon: amazon.ca amazon.com.br amazon.com.au amazon.com.mx amazon.nl amazon.se amazon.pl
        Etsy: etsy.com
        Google Shopping: shopping.google.com
        Mercado Libre: mercadolibre.com mercadolivre.com.br
        Shop: shop.app
        Temu: temu.com
        Walmart: walmart.com
        Zalando: zalando.de zalando.com
        eBay: ebay.com ebay.de ebay.co.uk ebay.fr ebay.it ebay.es ebay.com.au ebay.ca
        """,
    ),
    **_hosts(
        "email",
        """
        Fastmail: app.fastmail.com
        GMX: gmx.net gmx.com gmx.de navigator.gmx.net
        Gmail: mail.google.com com.google.android.gm
        Outlook: outlook.live.com outlook.office.com outlook.office365.com outlook.com com.microsoft.office.outlook
        Proton Mail: mail.proton.me
        Web.de: web.de deref-web.de
        iCloud Mail: icloud.com
        """,
    ),
    **_hosts(
        "audio", "Apple Podcasts: podcasts.apple.com\nSoundCloud: soundcloud.com\nSpotify: spotify.com open.spotify.com"
    ),
    **_hosts(
        "",
        """
        Dev.to: dev.to
        GitHub: github.com gist.github.com
        GitLab: gitlab.com
        Medium: medium.com
        Pocket: getpocket.com
        SourceForge: sourceforge.net
        Stack Overflow: stackoverflow.com
        Substack: substack.com
        Wikipedia: wikipedia.org
        """,
    ),
}
"""Hosts and apps, over those of the built list. A host stands for its subdomains too."""

NAMES: dict[str, str] = {
    "Youtube": "YouTube",
    "Vkontakte": "VK",
    "StackOverflow": "Stack Overflow",
    "Outlook.com": "Outlook",
}
"""Names of the built list, as the sites write themselves."""

ALIASES: dict[str, str] = {
    alias: name
    for name, aliases in {
        "Bing": "bing bing_ads bingads bing-ads microsoft_ads microsoft-ads msn",
        "Bluesky": "bsky",
        "Brave Search": "brave",
        "DuckDuckGo": "ddg duckduckgo",
        "Facebook": "fb fb_ad fb_ads fb-ad fb-ads fbads facebook_ads facebook-ads facebookads meta meta_ads an",
        "GitHub": "gh",
        "Google": "google_ads google-ads googleads adwords google_adwords google-adwords",
        "Google Shopping": "google_shopping google-shopping googleshopping",
        "Hacker News": "hn hackernews hacker-news ycombinator",
        "Instagram": "ig insta instagram_ads instagram-ads ig_ads",
        "LinkedIn": "li linked-in linkedin_ads linkedin-ads linkedinads",
        "Pinterest": "pin pinterest_ads",
        "Product Hunt": "ph producthunt product-hunt",
        "Reddit": "reddit_ads reddit-ads",
        "Snapchat": "snap snapchat_ads",
        "Telegram": "tg",
        "TikTok": "tt tik-tok tiktok_ads tiktok-ads tiktokads",
        "Twitter": "x tw twitter_ads twitter-ads twitterads",
        "WhatsApp": "wa",
        "YouTube": "yt youtube_ads youtube-ads youtubeads",
    }.items()
    for alias in aliases.split()
}
"""What people write in `utm_source`, beside names and hosts."""

CLICKS: dict[str, Source] = {
    "gclid": Source("Google", "search"),
    "gbraid": Source("Google", "search"),
    "wbraid": Source("Google", "search"),
    "dclid": Source("Google", "ads"),
    "msclkid": Source("Bing", "search"),
    "yclid": Source("Yandex", "search"),
    "ymclid": Source("Yandex", "search"),
    "ttclid": Source("TikTok", "social"),
    "twclid": Source("Twitter", "social"),
    "li_fat_id": Source("LinkedIn", "social"),
    "rdt_cid": Source("Reddit", "social"),
    "epik": Source("Pinterest", "social"),
    "sccid": Source("Snapchat", "social"),
    "fbclid": Source("Facebook", "social"),
    "igshid": Source("Instagram", "social"),
    "igsh": Source("Instagram", "social"),
    "mc_eid": Source("Mailchimp", "email"),
    "_hsenc": Source("HubSpot", "email"),
}
"""Who adds which parameter to links."""

PAID_CLICKS = frozenset(CLICKS) - {"fbclid", "igshid", "igsh", "mc_eid", "_hsenc"}
"""Parameters that only links of advertisements carry; Facebook's is on every link that leaves it."""
