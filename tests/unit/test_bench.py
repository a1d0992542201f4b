"""What the bench sends, how it reads what comes back, and what it holds against a run."""

import random
import re
from collections import Counter

import orjson
import pytest

from analytics_app.funnels.schemas import FunnelBody
from analytics_app.goals.schemas import GoalBody
from bench.answers import body_of, event_id_of, hits_of, outcome_of
from bench.definitions import compared as definitions_compared
from bench.definitions import funnels, goals
from bench.generator import Order, Sent
from bench.growth import compared
from bench.hot import hottest, short
from bench.ingest import Run, faults, figures
from bench.lag import lag_s
from bench.latencies import Latencies
from bench.load import shared_out, together
from bench.stored import Counts
from bench.traffic import BATCH_HITS, Traffic, batches, busy_mix, new_ids, real_mix, single_hits, views
from bench.usage import Reading, Used, used

TRAFFIC = Traffic("127.0.0.1:6066", ("key-a", "key-b"), visitors=20, paths=5)
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 38\r\nDate: now\r\n\r\n{"ok":true,"event_id":1234,"more":"x"}'


def parsed(request):
    head, _, body = request.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert length == len(body)
    return head.split(b" ")[1].decode(), orjson.loads(body)


def make_run(**changes):
    given = {"ok": 100, "views": 100, "stored": 100, "rows": 100, "in_rollups": 100, "answers": {}} | changes
    return Run(
        sent=Sent(
            began_at=10.0,
            ended_at=20.0,
            outcomes=Counter(ok=given["ok"], **given["answers"]),
            views=given["views"],
            latencies=Latencies({20: 99, 200: 1}),
        ),
        stored_at=given.get("stored_at", 20.5),
        found=Counts(given["stored"], 0, given["rows"], given["in_rollups"]),
        records=10,
        transactions=4,
        cpu=Used({"web": 0.01, "worker": 0.02, "load": 0.001}, 0.5),
        peaks={"web": 150_000_000},
        restarted=given.get("restarted", False),
        verified=given.get("verified", ""),
        load_average=(0.1, 1.5),
    )


def test_a_request_is_as_long_as_it_says_and_every_hit_has_an_id_of_its_own():
    script = single_hits(views(TRAFFIC, 50), random.Random(1))
    ids = set()
    for _ in range(50):
        path, body = parsed(next(script))
        assert path == "/analytics/track"
        assert body["type"] == "pageview"
        assert body["key"] in TRAFFIC.keys
        ids.add(body["id"])
    assert len(ids) == 50


def test_ids_are_uuids_of_version_four():
    ids = new_ids()
    assert all(
        re.fullmatch(rb"[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-a[\da-f]{3}-[\da-f]{12}", next(ids)) for _ in range(2000)
    )


def test_the_same_seed_makes_the_same_visitors():
    assert views(TRAFFIC, 30) == views(TRAFFIC, 30)
    assert len({view.session_id for view in views(TRAFFIC, 500)}) == TRAFFIC.visitors


def test_the_real_mix_is_a_pageview_its_four_heartbeats_and_the_leave():
    script = real_mix(views(TRAFFIC, 50), random.Random(1))
    sent = [parsed(next(script))]
    sent += [parsed(script.send(b'{"ok":true,"event_id":77}')) for _ in range(6)]
    assert [path.rpartition("/")[2] for path, _ in sent] == ["track", *["heartbeat"] * 4, "leave", "track"]
    assert {body["session_id"] for _, body in sent[:6]} == {sent[0][1]["session_id"]}
    assert [body["event_id"] for _, body in sent[1:5]] == [77] * 4
    assert [body["time_on_page"] for _, body in sent[1:5]] == [15, 30, 45, 60]


def test_after_a_refused_pageview_comes_the_next_one():
    script = real_mix(views(TRAFFIC, 50), random.Random(1))
    next(script)
    assert parsed(script.send(b'{"ok":false}'))[0] == "/analytics/track"


def test_an_answer_is_whole_when_all_of_its_body_is_there():
    assert body_of(OK) == (len(OK) - 38, len(OK))
    assert body_of(OK[:-1]) is None
    assert body_of(OK[:20]) is None
    assert body_of(OK.lower()) == (len(OK) - 38, len(OK))
    with pytest.raises(ValueError, match="how long"):
        body_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (b"200 OK", b'{"ok":true,"event_id":1}', "ok"),
        (b"200 OK", b'{"ok":true,"ignored":"dnt"}', "ignored"),
        (b"202 Accepted", b'{"ok":true,"ignored":"dnt"}', "ignored"),
        (b"503 Service Unavailable", b'{"ok":false}', "503"),
        (b"200 OK", b"GIF89a", "200"),
    ],
)
def test_only_an_ok_that_is_not_ignored_counts_as_accepted(status, body, outcome):
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert outcome_of(head + body, len(head)) == outcome


def test_the_event_id_is_read_from_the_answer():
    assert event_id_of(b'{"ok":true,"event_id":1234,"visitor_id":"9"}') == 1234
    with pytest.raises(ValueError, match="no event id"):
        event_id_of(b'{"ok":true}')


def test_percentiles_of_several_processes_are_those_of_all_their_answers():
    first, second = Latencies(), Latencies()
    for number in range(1, 51):
        first.add(number / 1000)
        second.add((number + 50) / 1000)
    first.merge(second)
    assert len(first) == 100
    assert first.percentile(50) == pytest.approx(0.050, abs=1e-4)
    assert first.percentile(99) == pytest.approx(0.099, abs=1e-4)
    assert first.percentile(100) == pytest.approx(0.100, abs=1e-4)
    assert Latencies().percentile(99) == 0


def test_connections_are_shared_out_evenly_and_nobody_is_without():
    assert shared_out(48, 5) == [10, 10, 10, 9, 9]
    assert shared_out(2, 5) == [1, 1]


def test_orders_and_results_cross_the_pipe_unchanged():
    order = Order(6066, 48, 60.0, "real", TRAFFIC, 3)
    assert Order.read(order.line()) == order
    sent = Sent(1.0, 2.0, Counter(ok=3), 3, 0.5, Latencies({7: 3}))
    back = Sent.read(sent.line())
    assert (back.outcomes, back.latencies.counts, back.cpu_s) == (Counter(ok=3), {7: 3}, 0.5)


def test_several_processes_count_as_one_from_the_first_start_to_the_last_end():
    whole = together([Sent(1.0, 9.0, Counter(ok=3), 3), Sent(1.5, 9.5, Counter({"ok": 2, "503": 1}), 2)])
    assert (whole.began_at, whole.ended_at, whole.views) == (1.0, 9.5, 5)
    assert whole.outcomes == {"ok": 5, "503": 1}


def test_what_no_process_of_the_service_took_went_elsewhere():
    found = used(Reading({"web": 1.0}, 50.0), Reading({"web": 3.0}, 60.0), load=1.0)
    assert found.by_role == {"web": 2.0, "load": 1.0}
    assert found.elsewhere_s == 7.0


def test_a_run_in_which_every_hit_is_stored_once_has_no_fault():
    assert faults(make_run()) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stored": 99, "rows": 99, "in_rollups": 99}, "100 acknowledged, 99 stored"),
        ({"stored": 101, "rows": 101, "in_rollups": 101}, "100 acknowledged, 101 stored"),
        ({"rows": 99, "in_rollups": 99}, "99 rows"),
        ({"in_rollups": 98}, "98 in the rollups"),
        ({"stored_at": None}, "came out of the stream"),
        ({"restarted": True}, "started anew"),
        ({"verified": "1 differences"}, "1 differences"),
        ({"answers": {"404": 2}}, "2 answered 404"),
    ],
)
def test_what_is_lost_doubled_or_miscounted_is_a_fault(wrong, said):
    assert any(said in fault for fault in faults(make_run(**wrong)))


def test_the_goals_of_the_bench_are_goals_of_every_kind():
    made = [GoalBody.model_validate(goal) for goal in goals(50)]
    assert {goal.type for goal in made} == {"pageview", "event", "duration", "pages_per_session"}
    assert {goal.match_type for goal in made} == {None, "equals", "contains", "starts_with", "ends_with", "regex"}
    assert len({(goal.type, goal.match_type, goal.match_value) for goal in made}) == 50


def test_the_funnels_of_the_bench_are_of_every_kind():
    made = [FunnelBody.model_validate(funnel) for funnel in funnels(20)]
    assert {len(funnel.steps) for funnel in made} == {3, 4, 5, 6}
    assert {funnel.is_strict for funnel in made} == {True, False}
    steps = [step for funnel in made for step in funnel.steps]
    assert {step.match_type for step in steps} == {"pageview", "event"}
    assert {step.is_optional for step in steps} == {True, False}
    assert any("*" in step.match_value for step in steps)


def test_the_busy_mix_has_an_event_in_every_fifth_place():
    script = busy_mix(views(TRAFFIC, 50), random.Random(1))
    sent = [parsed(next(script)) for _ in range(10)]
    assert [path.rpartition("/")[2] for path, _ in sent] == [*["track"] * 4, "event"] * 2
    assert all(body["name"].startswith("signup") for path, body in sent if path.endswith("event"))
    assert len({body["id"] for _, body in sent}) == 10


def test_definitions_that_take_more_than_their_part_of_the_rate_are_a_fault():
    slow = make_run(stored_at=25.5)
    found = definitions_compared({"without": [make_run(), make_run()], "with": [make_run(), slow]}, {"goals": 1})
    assert found["ratios"]["stored"] == [1.0, 0.6]
    assert found["means"]["stored"] == 0.775
    assert found["faults"] == []
    found = definitions_compared({"without": [make_run()], "with": [slow]}, {"goals": 1})
    assert found["faults"] == ["the rate with definitions is 0.6 of that without, at least 0.7"]


def test_a_hit_answered_503_may_be_stored_or_not():
    run = make_run(stored=101, rows=101, in_rollups=101, answers={"503": 2})
    assert faults(run) == ["2 answered 503"]


def test_the_rate_is_all_hits_by_the_time_until_the_last_is_stored():
    found = figures(make_run())
    assert found["accepted"]["per_s"] == 10
    assert found["stored"] == {
        "hits": 100,
        "per_s": 10,
        "seconds": 10.5,
        "after_the_last_answer_s": 0.5,
        "hits_per_record": 10.0,
        "hits_per_transaction": 25.0,
    }
    assert found["cpu_us_per_hit"] == {"all": 300.0, "web": 100.0, "worker": 200.0, "load": 10.0}


def test_a_profile_tells_a_function_s_own_time_from_that_of_what_it_calls():
    stacks = [
        "process 7;main (/app/analytics_app/process.py:20);run (/app/web/track.py:9) 6",
        "main (/app/analytics_app/process.py:20);run (/app/web/track.py:11);dumps (/x/site-packages/orjson/o.py:1) 4",
    ]
    lines = {line.function: line for line in hottest(stacks, "/app")}
    assert lines["run (web/track.py)"].own == pytest.approx(0.6)
    assert lines["run (web/track.py)"].whole == pytest.approx(1.0)
    assert lines["dumps (orjson/o.py)"].own == pytest.approx(0.4)
    assert short("PyObject_Call (libpython3.11.so)") == "PyObject_Call (libpython3.11.so)"


def test_a_batch_counts_as_the_hits_that_were_taken_of_it():
    body = b'{"ok":true,"results":[{"ok":true,"event_id":1},{"ok":false},{"ok":true,"event_id":2}]}'
    assert hits_of(b"POST /analytics/batch HTTP/1.1\r\n", body, "ok", 500) == 2
    assert hits_of(b"POST /analytics/batch HTTP/1.1\r\n", b"", "503", 500) == 500
    assert hits_of(b"POST /analytics/track HTTP/1.1\r\n", OK, "ok", 500) == 1


def test_a_batch_holds_hits_each_with_an_id_of_its_own():
    path, body = parsed(next(batches(views(TRAFFIC, 30), random.Random(1))))
    assert path == "/analytics/batch"
    assert len({hit["id"] for hit in body["hits"]}) == BATCH_HITS


def test_every_visitor_has_a_pageview():
    assert len({view.session_id for view in views(TRAFFIC, 20)}) == 20


@pytest.mark.parametrize(("settled", "lag"), [(0, 3.0), (200, 1.0), (300, 0.0), (400, 0.0)])
def test_lag_is_how_long_ago_the_last_hit_stored_was_due(settled, lag):
    assert lag_s(Counts(settled, 0), 3.0, 100.0) == lag


def test_growth_beyond_its_limit_is_a_fault():
    cheap, dear = make_run(), make_run()
    dear.cpu.by_role["worker"] = 0.03
    found = compared([("one", cheap), ("two", dear)], [("two", "one", "worker", 1.25), ("two", "one", "web", 1.25)])
    assert [one["times"] for one in found["comparisons"]] == [1.5, 1.0]
    assert found["faults"] == ["a hit costs 1.50 times as much with two as with one, at most 1.25 is meant"]
