"""The OpenAPI document held against the service by schemathesis: all its checks, no failure."""

import asyncio
import sys

from tests.web.conftest import new_caller

# Endless by nature; and not ready as long as there is no Kafka.
LEFT_OUT = r"/realtime/stream$|/health/ready$"


async def test_schemathesis_finds_nothing_wrong(client, tmp_path):
    caller = await new_caller(client, "schemathesis")
    await caller.new_website()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(client.make_url("/analytics/openapi.json"))),
        *("--header", f"Authorization: Bearer {caller.token}", "--exclude-path-regex", LEFT_OUT),
        *("--max-examples", "15", "--request-timeout", "10", "--no-color"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0, said.decode()[-20_000:]
