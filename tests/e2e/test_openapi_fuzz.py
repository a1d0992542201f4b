"""Every operation of the OpenAPI document, called with what it allows and what it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

SEED = "20260122"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize("fuzzed_s", [75, pytest.param(300, marks=pytest.mark.long)])
async def test_the_service_keeps_every_promise_of_its_openapi_document(service, token_of, tmp_path, fuzzed_s):
    before = service.processes()
    # In a workspace of its own: it deletes what it finds.
    fuzzer = await token_of("admin", workspace="fuzz")
    await fuzzer.new_website(name="To be fuzzed")
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG),
            "run", f"{service.address}/analytics/openapi.json",
            "--header", f"Authorization: Bearer {fuzzer.token}", "--checks", "all", "--continue-on-failure",
            "--phases", "coverage,fuzzing,stateful", "--max-examples", "12", "--max-time", str(fuzzed_s),
            "--request-timeout", "20",
            *(["--seed", SEED] if os.environ.get("CI") else []),
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=420, check=False,
    )  # fmt: skip
    lines = [line[:500] for line in done.stdout.splitlines()]
    assert done.returncode == 0, "\n".join(lines)
    assert service.processes() == before, "a process died"
