"""Every setting of the service: its variable, default, unit and meaning. Nothing else reads the environment.

A variable is the field's name in capitals behind `ANALYTICS_` (`ANALYTICS_PARTITIONS=8`). `DATABASE_URL` and `PORT`
are also taken, as hosting platforms set them; the prefixed name wins.
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network
LogLevel = Literal["debug", "info", "warning", "error"]


def _either(own: str, common: str) -> AliasChoices:
    return AliasChoices(f"ANALYTICS_{own}", common)


class Settings(BaseSettings):
    """The settings of one process, frozen once read."""

    model_config = SettingsConfigDict(env_prefix="ANALYTICS_", frozen=True, extra="ignore", populate_by_name=True)

    # Where things are.
    kafka_bootstrap_servers: str = Field("", description="Kafka, as host:port,host:port; empty: the embedded one")
    database_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=_either("DATABASE_URL", "DATABASE_URL"),
        description="Postgres, as postgresql://user:password@host/database; empty: the embedded one",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("analytics")),
        description="Everything kept on this machine",
    )
    host: str = Field("0.0.0.0", description="Address the web process listens on")  # noqa: S104 - a service is to be reached
    port: int = Field(6066, ge=0, le=65535, validation_alias=_either("PORT", "PORT"), description="Port of the API")
    health_host: str = Field("127.0.0.1", description="Address of a worker's own health and metrics pages")
    health_port: int = Field(
        0, ge=0, le=65535, description="Port of a worker's own health and metrics pages; 0: any free one"
    )
    public_url: str = Field(
        "", description="Address browsers reach the service at, for snippets and links; empty: host and port"
    )
    demo: bool = Field(True, description="Serve the demo page /demo, to browsers on this machine only")
    role: Literal["all", "web", "worker"] = Field("all", description="What this process does")
    worker_name: str = Field(
        "main", pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Names a worker's own table folder on a shared machine"
    )
    app_id: str = Field(
        "analytics", pattern=r"^[a-z0-9-]{1,40}$", description="Name of the Faust app, and prefix of its topics"
    )

    # Secrets and people.
    secret: SecretStr = Field(
        SecretStr(""), description="Key of the visitor hashes; empty: made once and kept in data_dir"
    )
    bootstrap_token: SecretStr = Field(SecretStr(""), description="An admin token to accept, 16 characters or more")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks whose X-Forwarded-For and Forwarded headers are believed, comma-separated CIDRs",
    )
    geoip_database: Path | None = Field(
        None, description="An .mmdb to look countries up in, instead of the built-in ranges"
    )

    # Tracking.
    tracking_rate_limit: str = Field(
        "10000/minute",
        pattern=r"^(off|[1-9]\d{0,9}/(second|minute|hour))$",
        description="Public tracking calls in all, or off",
    )
    tracking_key_share: float = Field(
        0.5, gt=0, le=1, description="Part of the limit one key may take while others ask too"
    )
    session_timeout_s: int = Field(
        1800, ge=60, le=86400, description="Inactivity that ends a session, unless the website says"
    )
    session_max_s: int = Field(86400, ge=3600, le=86400, description="Longest session")
    bounce_engaged_s: int = Field(10, ge=0, description="Engagement that makes a single view no bounce; 0: never")
    realtime_window_s: int = Field(300, ge=30, le=1800, description="Activity within it counts as active now")

    # Bots.
    bots_logged_from: int = Field(30, ge=1, le=100, description="Score from which a hit is logged as odd, and counted")
    bots_bot_from: int = Field(50, ge=1, le=100, description="Score from which a hit is a bot's, and in no number")
    bots_blocked_from: int = Field(
        70, ge=1, le=101, description="Score from which nothing is stored of a hit but that it was detected"
    )
    bots_behaviour: Literal["on", "off"] = Field(
        "on",
        description="Judge senders by rate and crawl shape; off where one address sends for many, as in load tests",
    )
    bots_crawler_ranges: Path | None = Field(
        None, description="A file of published crawler addresses, instead of the one that comes with the service"
    )
    bots_detections_days: int = Field(90, ge=1, description="Days detections are kept")

    # The stream.
    partitions: int = Field(4, ge=1, le=256, description="Partitions of each topic; never more workers than this")
    replication_factor: int = Field(1, ge=1, le=10, description="Copies of each partition (3 on a cluster)")
    hits_retention_h: int = Field(72, ge=1, description="Hours a hit stays in its topic")
    acknowledge_within_s: float = Field(
        2.0, gt=0, le=30, description="A hit not acknowledged by Kafka in time is answered 503"
    )
    batch_records: int = Field(400, ge=1, le=10_000, description="Most records a worker writes in one transaction")
    batch_within_s: float = Field(0.1, gt=0, le=5, description="Longest wait of a worker for a fuller batch")
    terms_cached: int = Field(
        500_000,
        ge=10_000,
        description="Texts (paths, browsers …) of which a worker keeps the number; some 150 bytes each",
    )
    stalled_after_s: float = Field(
        30, ge=5, description="A worker that is behind and gets nowhere for so long is ended"
    )

    # What is kept.
    events_retention_days: int = Field(0, ge=0, description="Days events and sessions are kept; 0: for good")

    heatmaps_retention_days: int = Field(
        365, ge=0, description="Days samples of heatmaps and what they add up to are kept; 0: for good"
    )

    # Mail and webhooks.
    smtp_host: str = Field("", description="Server that reports and alerts are mailed through; empty: none are")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls: ask for encryption after connecting (587); tls: from the start (465)"
    )
    smtp_username: str = Field("", description="Name to log in with; empty: no login")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password to log in with")
    smtp_from: str = Field("", description="Sender of the mails, such as analytics@example.com")
    smtp_ca_file: Path | None = Field(None, description="Certificates to trust (PEM), instead of the system's")
    webhook_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Private networks that webhooks may reach all the same, comma-separated CIDRs"
    )

    # Session replays.
    replay_max_s: int = Field(7200, ge=60, le=86_400, description="Longest recording of a session in seconds")
    replay_max_bytes: int = Field(
        10_000_000, ge=10_000, description="Most bytes a session's recording takes, compressed; then it stops"
    )
    replays_retention_days: int = Field(90, ge=0, description="Days replays are kept; 0: for good")
    replay_chunks_retention_h: int = Field(24, ge=1, description="Hours a chunk of a replay stays in its topic")

    tables_swept_every_s: float = Field(
        3600.0,
        gt=0,
        le=3600,
        description="Seconds after which a worker drops what its tables hold of rows that are gone",
    )

    # Postgres.
    database_pool: int = Field(12, ge=1, le=100, description="Connections a process keeps to Postgres")

    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or for machines")

    @field_validator("trusted_proxies", "webhook_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        return value

    @field_validator("bootstrap_token")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("must be 16 characters or more")
        return value


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process' settings, read from the environment once."""
    return Settings()
