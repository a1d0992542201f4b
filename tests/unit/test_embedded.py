"""What the start decides without starting anything."""

import io
import json
import os
import re
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from analytics_app.embedded import endpoints, jars, ports, state
from analytics_app.embedded.console import MOST_LINES, Console
from analytics_app.embedded.errors import AlreadyRunning, NotStarted
from analytics_app.embedded.layout import Layout, write_private
from analytics_app.embedded.processes import bound, died_of, last_lines
from analytics_app.embedded.supervisor import Pauses
from analytics_app.secret import secret
from analytics_app.settings import Settings


def settings(folder, **given):
    return Settings(data_dir=folder, **{"kafka_bootstrap_servers": "", "database_url": "", "secret": "", **given})


def test_pauses_before_a_restart_double_up_to_thirty_seconds():
    pauses = Pauses()
    assert [round(pauses.after(lived_s=0), 1) for _ in range(10)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_a_process_that_lived_a_minute_is_started_again_at_once():
    pauses = Pauses()
    for _ in range(5):
        pauses.after(lived_s=1)
    assert pauses.after(lived_s=61) == 0.2
    assert pauses.after(lived_s=1) == 0.4


def test_servers_of_ones_own_win_over_the_embedded_ones(tmp_path):
    endpoints.note(Layout(tmp_path), kafka_bootstrap="127.0.0.1:1", database_url="postgresql://embedded")
    found = endpoints.resolve(settings(tmp_path, kafka_bootstrap_servers="kafka:9092"))
    assert (found.kafka_bootstrap, found.database_url) == ("kafka:9092", "postgresql://embedded")


def test_a_server_never_started_is_told_with_what_to_do(tmp_path):
    found = endpoints.resolve(settings(tmp_path, kafka_bootstrap_servers="kafka:9092"))
    assert found.kafka_bootstrap == "kafka:9092"
    with pytest.raises(NotStarted, match=r"`analytics up` has not been started .* ANALYTICS_DATABASE_URL"):
        _ = found.database_url


def test_passwords_of_the_embedded_servers_are_readable_by_their_owner_only(tmp_path):
    endpoints.note(Layout(tmp_path), postgres_password="s3cret")
    endpoints.note(Layout(tmp_path), kafka_port=20001)
    assert endpoints.read(Layout(tmp_path)) == {"postgres_password": "s3cret", "kafka_port": 20001}
    assert stat.S_IMODE((tmp_path / "endpoints.json").stat().st_mode) == 0o600


def test_kafka_and_postgres_noting_at_the_same_time_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: endpoints.note(Layout(tmp_path), **{f"k{number}": number}), range(50)))
    assert len(endpoints.read(Layout(tmp_path))) == 50


def test_a_secret_made_by_many_at_once_is_the_same_for_all_and_kept(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: secret(settings(tmp_path)), range(32)))
    assert len(made) == 1
    kept = (tmp_path / "secret").read_text()
    assert len(kept) == 64
    assert made == {secret(settings(tmp_path, secret=kept))}, "what the file holds can be given to a process elsewhere"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_is_given_is_taken(tmp_path):
    assert secret(settings(tmp_path, secret="given")) == b"given"
    assert not list(tmp_path.iterdir())


def test_the_second_start_on_a_folder_names_the_process_of_the_first(tmp_path):
    with (
        state.lock(Layout(tmp_path)),
        pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"),
        state.lock(Layout(tmp_path)),
    ):
        pass
    with state.lock(Layout(tmp_path)):
        pass


def test_a_process_with_the_id_of_one_of_ours_but_another_birth_is_not_ours(tmp_path):
    layout = Layout(tmp_path)
    myself = state.Running.of("web", os.getpid())
    state.write(layout, [myself, state.Running("worker", os.getpid(), myself.create_time - 3600)])
    assert [one.role for one in state.living(layout)] == ["web"]


def test_processes_are_listed_in_the_order_they_are_stopped(tmp_path):
    layout = Layout(tmp_path)
    state.write(layout, [state.Running(role, 1, 0.0) for role in ("postgres", "worker", "supervisor", "kafka", "web")])
    assert [one.role for one in state.read(layout)] == ["supervisor", "web", "worker", "kafka", "postgres"]


def test_a_torn_or_foreign_run_file_means_that_nothing_runs(tmp_path):
    layout = Layout(tmp_path)
    for content in ("", "{", "[1]", '[{"role": "web"}]', "null"):
        layout.run_file.write_text(content)
        assert state.read(layout) == []


def test_a_free_port_is_kept_and_a_taken_one_is_replaced():
    free = ports.kept_or_new(None)
    assert free in ports.KEPT_PORTS
    assert ports.kept_or_new(free) == free
    with socket.create_server(("127.0.0.1", free)):
        assert not ports.is_free("127.0.0.1", free)
        assert ports.answers("127.0.0.1", free)
        assert ports.kept_or_new(free) != free
    assert ports.kept_or_new(free, others={free}) != free


def test_no_two_servers_of_a_folder_get_the_same_port_though_both_draw_it(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    drawn = ports.kept_or_new(None)
    next_drawn = ports.kept_or_new(None, others={drawn})
    monkeypatch.setattr(ports.random, "sample", lambda *_: [drawn, next_drawn])
    first, second = (endpoints.port_for(layout, key) for key in ("postgres_port", "kafka_port"))
    assert (first, second) == (drawn, next_drawn)
    assert endpoints.port_for(layout, "postgres_port") == first
    assert endpoints.port_for(layout, "kafka_port") == second


def test_every_jar_of_the_list_has_a_coordinate_a_length_and_a_checksum():
    wanted = jars.wanted()
    assert f"kafka_2.13-{jars.version()}.jar" in {jar.file_name for jar in wanted}
    assert len({jar.file_name for jar in wanted}) == len(wanted)
    assert all(jar.bytes > 0 and len(jar.sha256) == 64 for jar in wanted)
    assert "http" not in jars.LIST.read_text()


def test_a_jar_that_came_short_is_fetched_again(tmp_path):
    first, second, *_ = jars.wanted()
    (tmp_path / first.file_name).write_bytes(b"x" * first.bytes)
    (tmp_path / second.file_name).write_bytes(b"x")
    missing = jars.missing(tmp_path)
    assert first not in missing
    assert second in missing


def test_a_log_is_cut_when_it_has_grown_and_its_older_part_kept(tmp_path):
    log = tmp_path / "kafka.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 100)
        writer.flush()
        bound(log, most_bytes=100)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "kafka.log.1").read_bytes() == b"old\n" * 100
    assert last_lines(log) == ["new"]


def test_the_end_of_a_process_is_told_in_words():
    assert died_of(-9) == "by signal 9 (SIGKILL)"
    assert died_of(1) == "with exit code 1"


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "run.json"
    write_private(path, json.dumps([1]))
    write_private(path, json.dumps([2]))
    assert path.read_text() == "[2]"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_lines_held_during_the_start_are_shown_only_where_they_speak_of_trouble(tmp_path):
    with (tmp_path / "out").open("w") as target:
        console = Console(target)
        console.hold()
        console.write("12:00 [info     ] error counters reset\n")
        console.write("12:00 [\x1b[33mwarning  \x1b[0m] disk is slow\n")
        console.write('{"event": "full", "level": "error"}\n')
        console.release(everything=False)
        console.write("12:01 [info     ] later\n")
        console.drain()
    shown = (tmp_path / "out").read_text().splitlines()
    assert [line.split()[-1] for line in shown] == ["slow", '"error"}', "later"]


class StoppedTerminal(io.StringIO):
    """A terminal after Ctrl-S: it takes nothing until Ctrl-Q."""

    def __init__(self):
        super().__init__()
        self.resumed = threading.Event()

    def write(self, text):
        self.resumed.wait(10)
        return super().write(text)


def test_a_reader_who_stops_reading_does_not_stop_the_writer_and_is_told_what_was_left_out():
    terminal = StoppedTerminal()
    console = Console(terminal)
    began = time.monotonic()
    for _ in range(MOST_LINES + 101):
        console.write("x\n")
    assert time.monotonic() - began < 2
    terminal.resumed.set()
    console.drain(5)
    console.write("later\n")
    console.drain(5)
    written = terminal.getvalue()
    assert MOST_LINES <= written.count("x\n") <= MOST_LINES + 1
    # Told in two parts, where the writer's thread took its first line late.
    left_out = sum(map(int, re.findall(r"\((\d+) lines left out: nobody was reading\)\n", written)))
    assert 99 <= left_out <= 101
    assert written.endswith("nobody was reading)\nlater\n")
