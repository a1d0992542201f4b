"""`analytics …`: every command and its help. What a command does is imported when it is called: help is quick."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from analytics_app.embedded.errors import OperatingError

if TYPE_CHECKING:
    from analytics_app.settings import Settings

# Groups of commands: each a module of `analytics_app.commands` with an `app`, imported when it is named.
GROUPS = {
    "tokens": "Make, list and revoke the tokens that the API asks for.",
    "websites": "Make and list websites.",
    "workspaces": "Make and list workspaces, which keep websites and tokens apart.",
    "failed": "List and replay the records that could not be stored.",
}

app = typer.Typer(
    name="analytics",
    help="Self-hosted web analytics. `analytics up` starts it; everything else works beside it, in a second terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of everything that is kept (ANALYTICS_DATA_DIR).", show_default=False),
]


def _settings(data_dir: Path | None = None, **given: object) -> "Settings":
    """The settings, with what was given on the command line put over the environment (for children too)."""
    if data_dir is not None:
        given["data_dir"] = data_dir.expanduser().absolute()
    for name, value in given.items():
        if value is not None:
            os.environ[f"ANALYTICS_{name.upper()}"] = str(value)
    from analytics_app.settings import settings  # noqa: PLC0415 - loaded when it is needed

    settings.cache_clear()
    return settings()


@app.callback()
def everywhere(data_dir: DataDir = None) -> None:
    """Put the folder named before a command in place for it."""
    if data_dir is not None:
        os.environ["ANALYTICS_DATA_DIR"] = str(data_dir.expanduser().absolute())


@app.command()
def up(
    data_dir: DataDir = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API; 6066 unless set.", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; all unless set.", show_default=False)] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that store hits; never more than partitions.")
    ] = 1,
    web: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer requests; they share the port.")] = 1,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Serve the demo page to browsers on this machine.")
    ] = True,
) -> None:
    """Run the service on this machine until Ctrl-C: Kafka, Postgres, web and worker.

    The first start fetches Kafka (45 MB), makes a website and an admin token, and shows how to go on. What dies is
    started again. ANALYTICS_KAFKA_BOOTSTRAP_SERVERS and ANALYTICS_DATABASE_URL name servers of your own instead of
    the embedded ones.
    """
    settings = _settings(data_dir, port=port, host=host, demo=None if demo else False)
    if workers > settings.partitions:
        raise typer.BadParameter(
            f"{workers} is more than the {settings.partitions} partitions there are", param_hint="--workers"
        )
    from analytics_app.commands import up as command  # noqa: PLC0415 - loaded when it is needed

    command.up(settings, web=web, workers=workers)


@app.command()
def ps(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help='As JSON: [{"role", "pid"}].')] = False,
) -> None:
    """List the running processes of the service; exit code 1 where none runs."""
    from analytics_app.commands import ps as command  # noqa: PLC0415 - loaded when it is needed

    raise typer.Exit(command.ps(_settings(data_dir), as_json=as_json))


@app.command()
def config(data_dir: DataDir = None) -> None:
    """Show every setting: its variable, what it is now, where that came from, and what it means. Secrets are masked."""
    from analytics_app.commands import config as command  # noqa: PLC0415 - loaded when it is needed

    command.show(_settings(data_dir))


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Check everything the service needs, and say what is wrong and what to do. Exit code 1 where something fails."""
    from analytics_app.commands import doctor as command  # noqa: PLC0415 - loaded when it is needed

    raise typer.Exit(command.doctor(_settings(data_dir)))


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's schema. `up` does it at every start."""
    _settings(data_dir)
    from analytics_app import migrate as command  # noqa: PLC0415 - loaded when it is needed

    typer.echo(f"The database is at {command.upgrade()}")


@app.command()
def topics(data_dir: DataDir = None) -> None:
    """Make the topics that are missing. `up` does it at every start; with a Kafka of your own, run it first."""
    _settings(data_dir)
    import asyncio  # noqa: PLC0415 - loaded when it is needed

    from analytics_app.stream import plans as command  # noqa: PLC0415 - loaded when it is needed

    made = asyncio.run(command.ensure_topics())
    typer.echo("\n".join(f"made {name}" for name in made) or "every topic is there")


@app.command()
def verify(
    website: Annotated[
        list[int] | None, typer.Option(min=1, help="Only this website; may be given often.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Recount the stored rows and compare every rollup with them. Exit code 1 where one differs."""
    _settings(data_dir)
    command = import_module("analytics_app.commands.verify")
    raise typer.Exit(command.verify(website))


@app.command()
def seed(
    website: Annotated[int, typer.Option(min=1, help="Id of the website that takes the events.", show_default=False)],
    events: Annotated[int, typer.Option(min=1, max=1_000_000_000, help="How many pageviews and events.")] = 1_000_000,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="The time they lie in, up to now.")] = 30,
    seal: Annotated[bool, typer.Option("--seal/--no-seal", help="Seal the sums of past days at once.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Fill a website with made-up traffic, to try the service at a size. It is added to what is there."""
    _settings(data_dir)
    command = import_module("analytics_app.commands.seed")
    command.seed(website, events, days, seal=seal)


@app.command("seed-heatmaps")
def seed_heatmaps(
    website: Annotated[int, typer.Option(min=1, help="Id of the website that takes the samples.", show_default=False)],
    samples: Annotated[int, typer.Option(min=1, max=100_000_000, help="How many samples.")] = 1_000_000,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="The time they lie in, up to now.")] = 30,
    path: Annotated[str, typer.Option(help="The page that they are of.")] = "/",
    data_dir: DataDir = None,
) -> None:
    """Fill a page with made-up clicks, moves and scrolling, to try heatmaps at a size."""
    _settings(data_dir)
    command = import_module("analytics_app.commands.seed_heatmaps")
    command.seed(website, samples, days, path)


def _add_groups(words: list[str]) -> None:
    for name, purpose in GROUPS.items():
        if name in words:
            group: typer.Typer = import_module(f"analytics_app.commands.{name}").app
        else:
            group = typer.Typer(callback=lambda: None)
        app.add_typer(group, name=name, help=purpose, no_args_is_help=True)


def main() -> NoReturn:
    """Run the command line. Exit codes: 0 done, 1 it could not be done (one sentence says why), 2 a wrong option."""
    words = sys.argv[1:]
    for place, word in enumerate(words):  # the folder first: a group's module may read settings when it is imported
        if word == "--data-dir" and place + 1 < len(words):
            os.environ["ANALYTICS_DATA_DIR"] = str(Path(words[place + 1]).expanduser().absolute())
    try:
        _add_groups(words)
        app()
    except KeyboardInterrupt:
        sys.exit(0 if "up" in words else 130)
    except OperatingError as error:
        _fail(str(error))
    except Exception as error:
        if os.environ.get("ANALYTICS_LOG_LEVEL", "").lower() == "debug":
            raise
        from analytics_app.commands.failures import sentence  # noqa: PLC0415 - loaded when it is needed

        _fail(sentence(error))
    sys.exit(0)


def _fail(message: str) -> NoReturn:
    typer.secho(f"analytics: {message}", err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
    sys.exit(1)
