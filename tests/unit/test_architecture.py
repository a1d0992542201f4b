"""The layout's rules, read from the source itself."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "analytics_app": {"analytics_app"},
    "tables": {"analytics_app", "tables"},
    "agents": {"analytics_app", "tables", "agents"},
    "web": {"analytics_app", "tables", "web"},
    "migrations": {"analytics_app", "migrations"},
}
FLOORS = set(MAY_IMPORT)
MOST_LINES = 300

# Who may know of what. SQL is written in stores and models; beside them stand those who own the schema and the ids.
FAUST = {"app.py", "topics.py", "records.py", "transport.py"}
SQL = {"db.py", "ids.py", "migrate.py", "models.py", "partitions.py", "store.py"}
SQL_ELSEWHERE = {
    "analytics_app/stream/replay.py": "the command that replays failed records owns both ends: rows and topic",
}
BUILDS_SQL = {"select", "insert", "update", "delete", "text", "func", "literal", "values", "union_all"}

# Modules of a capability that are not models, stores or schemas are pure, but for these.
TOUCHES_THE_WORLD = {
    "deliveries/smtp.py": "gives mail to a server",
    "deliveries/webhook.py": "calls other services",
    "bots/crawlers.py": "reads its list",
    "intake/bots.py": "reads its list",
    "intake/referrers.py": "reads its list",
    "sessions/terms.py": "a cache in front of its table",
    "stream/lag.py": "asks Kafka and Postgres",
    "stream/log.py": "asks Kafka",
    "stream/plans.py": "makes topics in Kafka",
    "stream/replay.py": "sends to Kafka",
}
CAPABILITIES = (
    "alerts",
    "backfills",
    "bots",
    "deliveries",
    "experiments",
    "funnels",
    "gdpr",
    "goals",
    "heatmaps",
    "intake",
    "limits",
    "realtime",
    "replays",
    "reports",
    "backfills",
    "goals",
    "intake",
    "limits",
    "realtime",
    "sessions",
    "stats",
    "stream",
    "verify",
    "websites",
)
CAPABILITIES = ("experiments", "intake", "limits", "realtime", "sessions", "stats", "stream", "verify", "websites")
CAPABILITIES = ("backfills", "intake", "limits", "realtime", "sessions", "stats", "stream", "verify", "websites")
CAPABILITIES = ("bots", "intake", "limits", "realtime", "sessions", "stats", "stream", "verify", "websites")
IMPURE = {"faust", "mode", "aiohttp", "aiokafka", "sqlalchemy", "psycopg", "time", "random", "secrets", "os", "asyncio"}
READS_THE_TIME = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}

# Features of Faust that lose, double or block; each was tried.
NEVER_CALLED = {"take", "events", "group_by", "through", "GlobalTable", "tumbling", "hopping", "_set_current_event"}
NEVER_SET = {"isolated_partitions", "use_partitioner", "producer_threaded", "web_in_thread", "processing_guarantee"}
NEVER_WRITTEN = ("confluent://", "exactly_once", "_set_current_event")


def sources(*floors: str) -> list[Path]:
    return sorted(path for floor in floors for path in (ROOT / floor).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every import as (module, name); the name is empty where the module itself is imported."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            yield from ((node.module or "", alias.name) for alias in node.names)


def top(module: str) -> str:
    return module.partition(".")[0]


def is_store(path: Path) -> bool:
    return path.stem == "store" or path.stem.endswith("_store")


def pure_modules() -> list[Path]:
    """The modules of the capabilities that take state and time in and give state out."""
    return [
        path
        for capability in CAPABILITIES
        for path in sources(f"analytics_app/{capability}")
        if not is_store(path)
        and path.stem not in ("models", "schemas")
        and f"{capability}/{path.name}" not in TOUCHES_THE_WORLD
    ]


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_imports_point_down(floor):
    found = {
        (name_of(path), module)
        for path in sources(floor)
        for module, _ in imports(path)
        if top(module) in FLOORS | {"tests", "scripts"} and top(module) not in MAY_IMPORT[floor]
    }
    assert found == set()


def test_a_capability_imports_no_other_ones_store():
    found = set()
    for path in sources("analytics_app"):
        own = path.relative_to(ROOT / "analytics_app").parts[0]
        for module, name in imports(path):
            parts = f"{module}.{name}".split(".")
            stores = [part for part in parts if part == "store" or part.endswith("_store")]
            if own == "verify":
                continue  # it compares what one store says with what another does
            if own in CAPABILITIES and stores and len(parts) > 2 and parts[0] == "analytics_app" and parts[1] != own:
                found.add((name_of(path), ".".join(parts)))
    assert found == set()


def test_only_the_stream_knows_faust():
    found = {
        name_of(path)
        for path in sources("analytics_app")
        if path.name not in FAUST and {"faust", "mode"} & {top(module) for module, _ in imports(path)}
    }
    assert found == set()


def test_sql_is_built_in_stores_and_models():
    found = {
        name_of(path)
        for path in sources("analytics_app", "agents", "tables", "web")
        if not is_store(path)
        and path.name not in SQL
        and any(top(module) == "sqlalchemy" and name in BUILDS_SQL for module, name in imports(path))
    }
    assert found == set(SQL_ELSEWHERE), "an exception that is none any more goes from the list"


@pytest.mark.parametrize("path", pure_modules(), ids=name_of)
def test_pure_modules_know_neither_services_nor_the_time(path):
    found = [f"{module}.{name}" for module, name in imports(path) if top(module) in IMPURE]
    found += [f"{m}.{n}" for m, n in imports(path) if f"{m}.{n}".startswith("analytics_app.clock") and n != "iso"]
    found += [
        node.func.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS_THE_TIME
    ]
    assert found == []


def test_no_module_has_300_lines():
    long = {
        name_of(path): lines
        for path in sources(*FLOORS, "scripts")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= MOST_LINES
        and "versions" not in path.parts  # a migration is as long as what it makes
    }
    assert long == {}


# Faust.


def test_features_of_faust_that_lose_or_double_are_not_used():
    found = set()
    for path in [*sources("agents", "tables"), *(ROOT / "analytics_app" / name for name in sorted(FAUST))]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and node.attr in NEVER_CALLED:
                found.add((name_of(path), node.attr))
            if isinstance(node, ast.keyword) and node.arg in NEVER_SET:
                found.add((name_of(path), node.arg))
            if isinstance(node, ast.keyword) and node.arg == "concurrency":
                assert isinstance(node.value, ast.Constant)
                assert node.value.value == 1
            if isinstance(node, ast.Constant) and node.value in NEVER_SET:
                found.add((name_of(path), node.value))
    assert found == set()


@pytest.mark.parametrize("word", NEVER_WRITTEN)
def test_words_of_such_features_are_nowhere(word):
    found = [name_of(path) for path in sources(*FLOORS) if re.search(re.escape(word), path.read_text(encoding="utf-8"))]
    assert found == []


def agents_of(path: Path) -> Iterator[tuple[ast.AsyncFunctionDef, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "app.agent":
                    yield node, decorator


def test_every_agent_reads_in_batches_it_acknowledges_itself_and_ends_the_process_when_it_fails():
    agents = [(path, *agent) for path in sources("agents") for agent in agents_of(path)]
    assert agents
    for path, function, decorator in agents:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in decorator.keywords}
        assert given["concurrency"] == "1", path
        assert given["supervisor_strategy"] == "CrashingSupervisor", path
        assert ast.get_docstring(function), "`faust agents` prints it"
        loops = [node for node in ast.walk(function) if isinstance(node, ast.AsyncFor)]
        assert [ast.unparse(loop.iter).partition("(")[0] for loop in loops] == ["stream.noack_take"]


def test_every_topic_is_of_bytes_and_made_before_anything_starts():
    topics = ROOT / "analytics_app" / "topics.py"
    made = [
        node for node in ast.walk(tree(topics)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "app.topic"
    ]
    assert made
    for call in made:
        assert any(keyword.arg is None and ast.unparse(keyword.value) == "RAW" for keyword in call.keywords)
    elsewhere = [
        name_of(path)
        for path in sources("analytics_app", "agents", "tables", "web")
        if path != topics and "app.topic(" in path.read_text(encoding="utf-8")
    ]
    assert elsewhere == []


def test_every_table_is_made_with_the_options_all_share():
    calls = [
        (path, node)
        for path in sources("analytics_app", "agents", "tables", "web")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("app.Table", "app.SetTable")
    ]
    assert calls
    for path, call in calls:
        assert path.parent.name == "tables"
        assert any(ast.unparse(keyword.value).startswith("options(") for keyword in call.keywords)
