"""A user's first minutes: one command starts everything, keeps it running, and stops it without a trace."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import psutil
import pytest

from analytics_app.embedded import ports
from tests.e2e.conftest import DESKTOP
from tests.e2e.service import READY_WITHIN_S, ROLES, STOPPED_WITHIN_S, Service, clean_environment, gone, wait_until

pytestmark = pytest.mark.services

AGAIN_WITHIN_S = 30
SHOWN_WITHIN_S = 2.0


@pytest.mark.browser
async def test_the_first_pageview_is_one_click_away_and_still_there_after_a_restart(tmp_path, page):
    with Service(tmp_path / "data") as service:
        token = service.said(r"Your token +(\S+) +shown only this once").group(1)
        demo = service.said(r"Try it +(\S+)").group(1)
        key, website = service.key, f"/analytics/websites/{service.website_id}"
        assert service.get(website + "/realtime", token)["active_visitors"] == 0

        async with page.expect_response("**/analytics/track") as answer:
            await page.goto(demo)
        hit = await (await answer.value).json()
        answered = time.monotonic()
        assert set(hit) == {"ok", "event_id", "visitor_id", "session_id"}

        took = {}
        while len(took) < 2:
            assert time.monotonic() - answered < SHOWN_WITHIN_S, took
            now = service.get(website + "/realtime", token)
            if now["active_visitors"] == 1 and now["active_pages"] == [{"path": "/demo", "viewers": 1}]:
                took.setdefault("realtime", time.monotonic() - answered)
            if service.get(website + "/stats", token)["total_pageviews"] == 1:
                took.setdefault("stats", time.monotonic() - answered)
            await asyncio.sleep(0.02)
        await page.goto("about:blank")

        # Somebody watches the live numbers: the stop does not wait for him.
        request = urllib.request.Request(
            service.address + website + "/realtime/stream", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as stream:
            assert stream.readline() == b"retry: 2000\n"
            assert service.stop(signal.SIGINT) == 0, service.text()
        first_s, shown = service.ready_after_s, took

    with Service(tmp_path / "data", port=service.port) as service:
        assert service.ready_after_s < AGAIN_WITHIN_S
        assert service.said("as shown at the first start")
        assert service.key == key
        stats = service.get(website + "/stats", token)
        assert (stats["total_pageviews"], stats["unique_visitors"], stats["total_sessions"]) == (1, 1, 1)
        async with page.expect_response("**/analytics/track") as answer:
            await page.goto(demo)
        assert (await (await answer.value).json())["event_id"] > hit["event_id"]
        wait_until(lambda: service.get(website + "/stats", token)["total_pageviews"] == 2, 5)
        await page.goto("about:blank")
        assert service.stop(signal.SIGTERM) == 0, service.text()
        assert "Traceback" not in service.text()
    sys.stdout.write(
        f"first start {first_s:.1f} s, second {service.ready_after_s:.1f} s; the pageview shows in realtime after "
        f"{shown['realtime']:.2f} s, in stats after {shown['stats']:.2f} s\n"
    )


def test_the_service_survives_every_death_and_takes_everything_with_it(tmp_path):
    with Service(tmp_path / "data") as service:
        assert service.ready()
        started = service.processes()
        assert [role for role, _ in started] == ROLES
        assert dict(started)["supervisor"] == service.process.pid
        names = {role: psutil.Process(pid).name() for role, pid in started}
        assert (names["kafka"], names["postgres"]) == ("java", "postgres"), "the servers themselves, not their starters"

        token = service.said(r"Your token +(\S+) +shown only this once").group(1)
        curl = service.said(r'curl -H "Authorization: Bearer (\S+)" (\S+)')
        assert curl.group(1) == token
        request = urllib.request.Request(curl.group(2), headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

        again = service.command("up", "--port", str(ports.kept_or_new(None)))
        assert again.returncode == 1
        assert f"process {service.process.pid}" in again.stderr

        for role in ROLES[1:]:
            victim = dict(service.processes())[role]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda role=role, victim=victim: dict(service.processes()).get(role) not in (None, victim), 20)
        wait_until(service.ready, 60)

        last = service.processes()
        service.process.kill()
        service.process.wait()
        assert gone(last), "a supervisor that is killed takes everything with it"


def test_a_taken_port_is_told_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = Service(tmp_path / "data", "--host", "127.0.0.1", port=port)
        assert service.process.wait(30) == 1
    assert service.said(f"Port {port} is taken by another program: choose another one, for example --port {port + 1}")
    assert not service.said("Traceback")


def test_ctrl_c_during_the_start_stops_cleanly(tmp_path):
    service = Service(tmp_path / "data")
    wait_until(lambda: service.said("starts, with its data"), 30)
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(STOPPED_WITHIN_S) == 0
    assert service.processes() == []


def test_faust_alone_runs_web_and_worker_in_one_process(service, tmp_path):
    port = ports.kept_or_new(None)
    environment = clean_environment(
        ANALYTICS_APP_ID="alone",
        ANALYTICS_DATABASE_URL=service.noted("database_url"),
        ANALYTICS_DATA_DIR=str(tmp_path),
        ANALYTICS_KAFKA_BOOTSTRAP_SERVERS=service.noted("kafka_bootstrap"),
        ANALYTICS_PORT=str(port),
        ANALYTICS_TRACKING_RATE_LIMIT="off",  # else it shares a budget with the processes of other tests
        ANALYTICS_SECRET=(service.folder / "secret").read_text().strip(),
    )
    made = subprocess.run(
        [sys.executable, "-m", "analytics_app", "topics"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    website = service.sql("SELECT website_id, key FROM pixel_keys ORDER BY website_id LIMIT 1")[0]
    count = "SELECT count(*) AS count FROM events WHERE website_id = %s"
    before = service.sql(count, website["website_id"])[0]["count"]

    log = tmp_path / "faust.log"
    with log.open("w") as out:
        faust = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "analytics_app", "worker", "-l", "info"],
            env=environment, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_until(lambda: faust.poll() is not None or answers(f"http://127.0.0.1:{port}/health/ready"), READY_WITHIN_S)
        assert faust.poll() is None, log.read_text()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/analytics/track/{website['key']}",
            b"",
            {"User-Agent": DESKTOP, "Accept": "*/*", "Accept-Language": "en-GB", "Accept-Encoding": "gzip"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.headers["X-Analytics"] == "recorded"
        wait_until(lambda: service.sql(count, website["website_id"])[0]["count"] == before + 1, 10)
        faust.send_signal(signal.SIGINT)
        assert faust.wait(STOPPED_WITHIN_S) == 0, log.read_text()
    finally:
        if faust.poll() is None:
            faust.kill()
            faust.wait()
    assert "Traceback" not in log.read_text()


def answers(url):
    with suppress(OSError), urllib.request.urlopen(url, timeout=3):
        return True
    return False


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["up", "--nonsense"], 2),
        (["up", "--port", "0"], 2),
        (["up", "--workers", "5000"], 2),
        (["nonsense"], 2),
        (["ps"], 1),
        (["doctor"], 1),
        (["--help"], 0),
        (["up", "--help"], 0),
        (["config"], 0),
    ],
)
def test_exit_codes_tell_a_wrong_option_from_a_failure(words, code, tmp_path):
    done = run(words, ANALYTICS_DATA_DIR=str(tmp_path))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_setting_is_named(tmp_path):
    done = run(["config"], ANALYTICS_DATA_DIR=str(tmp_path), ANALYTICS_PARTITIONS="many")
    assert done.returncode == 1
    assert "ANALYTICS_PARTITIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_are_masked_in_the_settings(tmp_path):
    done = run(["config"], ANALYTICS_DATA_DIR=str(tmp_path), ANALYTICS_SECRET="very-secret-value")
    assert re.search(r"ANALYTICS_SECRET=\*{8}", done.stdout)
    assert "very-secret-value" not in done.stdout


def run(words, **settings):
    return subprocess.run(
        [sys.executable, "-m", "analytics_app", *words],
        env=clean_environment(**settings), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
