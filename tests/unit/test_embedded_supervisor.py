"""The supervisor with small processes of its own in the place of servers."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from analytics_app.embedded import state
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.layout import Layout
from analytics_app.embedded.processes import Program, ours, spawn, stop
from analytics_app.embedded.supervisor import Part, Supervisor

SLEEPER = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def part(command, role="web", lacks=lambda: "", **more):
    program = Program(role, command, name=f"{role}-1", **more)
    return Part(lambda: program, lacks)


async def until(condition, within_s=5.0):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def layout_in(tmp_path):
    layout = Layout(tmp_path)
    layout.make()
    return layout


async def test_what_is_killed_is_started_again_and_the_list_of_processes_follows(tmp_path):
    supervisor = Supervisor(layout_in(tmp_path), io.StringIO())
    kept = part(SLEEPER)
    supervisor.keep(kept)
    first = kept.process.pid
    assert [(one.role, one.pid) for one in state.living(supervisor.layout)] == [
        ("supervisor", os.getpid()),
        ("web", first),
    ]
    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.process.pid != first)
    assert [one.pid for one in state.living(supervisor.layout)] == [os.getpid(), kept.process.pid]
    await supervisor.stop()
    assert ours(kept.process.pid) is None
    assert state.living(supervisor.layout) == []


async def test_processes_stop_in_order_web_worker_kafka_postgres(tmp_path):
    note = tmp_path / "order"
    leaver = "import signal, sys, time\ndef leave(*_):\n open({note!r}, 'a').write({role!r} + ' '); sys.exit(0)\n"
    leaver += "signal.signal(signal.SIGTERM, leave); print('up', flush=True); time.sleep(60)"
    supervisor = Supervisor(layout_in(tmp_path), io.StringIO())
    for role in ("postgres", "kafka", "worker", "web"):
        supervisor.keep(part([sys.executable, "-S", "-c", leaver.format(note=str(note), role=role)], role))
    await until(lambda: all(one.said for one in supervisor.parts))
    await supervisor.stop()
    assert note.read_text().split() == ["web", "worker", "kafka", "postgres"]


async def test_what_does_not_stop_in_time_is_killed(tmp_path):
    supervisor = Supervisor(layout_in(tmp_path), io.StringIO())
    kept = part(STUBBORN, stop_within_s=0.3)
    supervisor.keep(kept)
    await until(lambda: kept.said)
    began = time.monotonic()
    await supervisor.stop()
    assert 0.3 <= time.monotonic() - began < 3
    assert kept.process.returncode == -signal.SIGKILL


async def test_a_part_that_keeps_dying_fails_the_start_with_its_last_words(tmp_path):
    supervisor = Supervisor(layout_in(tmp_path), io.StringIO())
    dying = part([sys.executable, "-S", "-c", "raise SystemExit('no such table')"], lacks=lambda: "no answer")
    supervisor.keep(dying)
    with pytest.raises(StartFailed, match=r"web-1 does not stay up. Its last lines:\n  no such table"):
        await supervisor.until_ready(dying, within_s=10)
    await supervisor.stop()


async def test_what_cannot_be_started_is_tried_again(tmp_path):
    supervisor = Supervisor(layout_in(tmp_path), io.StringIO())
    kept, refusals = part(SLEEPER), []

    def refuse_once():
        if not refusals:
            refusals.append(1)
            raise OSError("no memory")

    kept.before_restart = refuse_once
    supervisor.keep(kept)
    first = kept.process.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.process.pid != first)
    assert refusals
    await supervisor.stop()


async def test_lines_reach_the_console_whole_whatever_pieces_they_come_in(tmp_path):
    code = "import os, time\nfor piece in (b'one li', b'ne\\nand', b' 2\\nlast'):\n os.write(1, piece); time.sleep(.1)"
    code += "\ntime.sleep(60)"
    console = io.StringIO()
    supervisor = Supervisor(layout_in(tmp_path), console)
    supervisor.keep(part([sys.executable, "-S", "-c", code]))
    await until(lambda: console.getvalue().count("\n") == 2)
    assert console.getvalue() == "one line\nand 2\n"
    await supervisor.stop()
    assert console.getvalue() == "one line\nand 2\nlast\n"


@pytest.mark.parametrize("pipe", [False, True], ids=["by the system's own guard", "by a pipe"])
def test_children_die_with_a_supervisor_that_is_killed(pipe, tmp_path):
    if not pipe and sys.platform != "linux":
        pytest.skip("only Linux signals the children of a dead parent")
    code = textwrap.dedent(f"""
        import sys, time
        from analytics_app.embedded.processes import Program, spawn
        process = spawn(Program("web", {SLEEPER!r}), pipe={pipe})
        process.stdout.readline()
        print(process.pid, flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.cmdline()[-1] == SLEEPER[-1], "the process id is the program's own, not a starter's"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert psutil.wait_procs([child], timeout=5)[1] == []


def test_a_watcher_at_a_pipe_leaves_with_the_process_it_guards():
    program = Program("web", SLEEPER)
    process = spawn(program, pipe=True)
    process.stdout.readline()
    watchers = psutil.Process(process.pid).children()
    assert len(watchers) == 1
    assert stop(process, program)
    process.stdout.close()
    assert psutil.wait_procs(watchers, timeout=5)[1] == []


def test_leftovers_of_a_killed_start_are_ended_and_others_with_their_ids_left_alone(tmp_path):
    layout = layout_in(tmp_path)
    left, other = (subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True) for _ in range(2))
    for process in (left, other):
        process.stdout.readline()
    state.write(layout, [state.Running.of("worker", left.pid), state.Running("web", other.pid, 1_000_000.0)])
    try:
        assert [one.pid for one in state.end_leftovers(layout)] == [left.pid]
        assert left.poll() is not None
        assert other.poll() is None
        assert not layout.run_file.exists()
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_list_of_processes_is_json_that_others_can_read(tmp_path):
    layout = layout_in(tmp_path)
    state.write(layout, [state.Running.of("supervisor", os.getpid())])
    assert json.loads(layout.run_file.read_text())[0]["pid"] == os.getpid()
