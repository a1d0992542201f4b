"""A user's first minutes: one command starts everything, keeps it running, and stops it without a trace."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from analytics_app.embedded import ports

pytestmark = pytest.mark.services

READY_WITHIN_S = 120
STOPPED_WITHIN_S = 20
ROLES = ["supervisor", "web", "worker", "kafka", "postgres"]


class Service:
    """`analytics up` on a folder of its own, as a user starts it."""

    def __init__(self, folder, *options):
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.port = ports.kept_or_new(None)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("ANALYTICS_")}
        self.environment.pop("DATABASE_URL", None)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analytics_app", "up", "--data-dir", folder, "--port", str(self.port), *options],
                env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self):
        wait_until(lambda: "Ctrl-C" in self.log.read_text() or self.process.poll() is not None, READY_WITHIN_S)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def command(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "analytics_app", "--data-dir", self.folder, *words],
            env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def processes(self):
        return [(one["role"], one["pid"]) for one in json.loads(self.command("ps", "--json").stdout)]

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=3):
                return True
        except OSError:
            return False

    def said(self, pattern):
        return re.search(pattern, self.log.read_text())


def wait_until(condition, within_s):
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


def gone(processes, within_s=STOPPED_WITHIN_S):
    return psutil.wait_procs([psutil.Process(pid) for _, pid in processes if psutil.pid_exists(pid)], within_s)[1] == []


def test_the_service_starts_survives_every_death_and_stops_without_a_trace(tmp_path):
    with Service(tmp_path / "data") as service:
        assert service.ready()
        started = service.processes()
        assert [role for role, _ in started] == ROLES
        names = {role: psutil.Process(pid).name() for role, pid in started}
        assert (names["kafka"], names["postgres"]) == ("java", "postgres"), "the servers themselves, not their starters"

        token = service.said(r"Your token +(\S+) +shown only this once").group(1)
        curl = service.said(r'curl -H "Authorization: Bearer (\S+)" (\S+)')
        assert curl.group(1) == token
        request = urllib.request.Request(curl.group(2), headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

        again = service.command("up", "--port", str(service.port))
        assert again.returncode == 1
        assert f"process {service.process.pid}" in again.stderr

        for role in ROLES[1:]:
            victim = dict(service.processes())[role]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda role=role, victim=victim: dict(service.processes()).get(role) not in (None, victim), 10)
        wait_until(service.ready, 60)

        last = service.processes()
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(STOPPED_WITHIN_S) == 0, service.log.read_text()
        assert time.monotonic() - began < STOPPED_WITHIN_S
        assert gone(last, within_s=1)

    with Service(tmp_path / "data") as service:
        assert service.said("as shown at the first start")
        urllib.request.urlopen(
            urllib.request.Request(
                f"http://127.0.0.1:{service.port}/analytics/websites", headers={"Authorization": f"Bearer {token}"}
            ),
            timeout=10,
        ).close()

        last = service.processes()
        service.process.kill()
        service.process.wait()
        assert gone(last), "a supervisor that is killed takes everything with it"


def test_a_taken_port_is_told_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = Service(tmp_path / "data", "--host", "127.0.0.1", "--port", str(port))
        assert service.process.wait(30) == 1
    assert service.said(f"Port {port} is taken by another program: choose another one, for example --port {port + 1}")
    assert not service.said("Traceback")


def test_ctrl_c_during_the_start_stops_cleanly(tmp_path):
    service = Service(tmp_path / "data")
    wait_until(lambda: service.said("starts, with its data"), 30)
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(STOPPED_WITHIN_S) == 0
    assert service.processes() == []


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
    done = subprocess.run(
        [sys.executable, "-m", "analytics_app", *words],
        env={**os.environ, "ANALYTICS_DATA_DIR": str(tmp_path), "ANALYTICS_KAFKA_BOOTSTRAP_SERVERS": ""},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_setting_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analytics_app", "config"],
        env={**os.environ, "ANALYTICS_DATA_DIR": str(tmp_path), "ANALYTICS_PARTITIONS": "many"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ANALYTICS_PARTITIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_are_masked_in_the_settings(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analytics_app", "config"],
        env={**os.environ, "ANALYTICS_DATA_DIR": str(tmp_path), "ANALYTICS_SECRET": "very-secret-value"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "ANALYTICS_SECRET=********  # ANALYTICS_SECRET" in done.stdout
    assert "very-secret-value" not in done.stdout
