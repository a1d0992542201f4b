"""The rate limit's rule, with a common budget of plain numbers in place of Postgres."""

from collections import Counter

import pytest

from analytics_app.limits.logic import Budget, Lease, Limit, Report, Verdict, granted, parse

MINUTE = Limit(10_000, 60)
A, B, C = 1, 2, 3


class CommonBudget:
    """What the store does, in memory."""

    def __init__(self, limit: Limit) -> None:
        self.limit, self.window, self.began = limit, 0, 0.0
        self.leased, self.used, self.asked = 0, Counter(), {}
        self.exchanges = 0

    def lease(self, report: Report, now: float) -> Lease:
        self.exchanges += 1
        if now >= self.began + self.limit.period_s or not self.window:
            self.window, self.began, self.leased, self.used = self.window + 1, now, 0, Counter()
        if report.window == self.window:
            self.used.update(report.used)
            self.leased -= report.returned
        self.asked.update(dict.fromkeys(report.asked | set(report.used), now))
        lately = sorted((at, key) for key, at in self.asked.items() if at > now - self.limit.period_s)
        rivals = [key for _, key in lately[-2:]]
        excess = sum(max(0, used - self.limit.most_for_one) for used in self.used.values())
        tokens = granted(self.limit, report.wanted, self.leased, excess, others_ask=len(rivals) > 1)
        self.leased += tokens
        used = {key: self.used[key] for key in report.asked}
        return Lease(self.window, self.began + self.limit.period_s - now, tokens, used, rivals, 2)


def take(common: CommonBudget, process: Budget, key: int, now: float) -> bool:
    while (verdict := process.take(key, now)) is Verdict.ASK:
        settle(common, process, now, waiting=1)
    if process.is_due(now):
        settle(common, process, now)
    return verdict is Verdict.TAKEN


def settle(common: CommonBudget, process: Budget, now: float, *, waiting: int = 0, closing: bool = False) -> None:
    """One exchange with the common budget."""
    report = process.report(now, waiting=waiting, closing=closing)
    process.renew(common.lease(report, now), now, wanted=report.wanted)


def taken(limit: Limit, calls) -> Counter:
    """How many calls of each key are taken; a call is (seconds, process, key)."""
    common, processes, counts = CommonBudget(limit), {}, Counter()
    for now, process, key in calls:
        counts[key] += take(common, processes.setdefault(process, Budget(limit)), key, 1000 + now)
    counts["exchanges"] = common.exchanges
    return counts


def test_a_key_that_is_alone_gets_everything_and_not_one_more():
    assert taken(MINUTE, ((i / 1000, 0, A) for i in range(20_000)))[A] == 10_000


def test_a_small_limit_is_exact_over_two_processes():
    assert taken(Limit(60, 60), ((i / 10, i % 2, A) for i in range(300)))[A] == 60


def test_two_processes_together_stay_within_the_limit_and_miss_it_by_a_lease_at_most():
    calls = ((i / 1000, int(i * 0.618) % 2, A) for i in range(30_000))
    assert 10_000 - MINUTE.most_leased <= taken(MINUTE, calls)[A] <= 10_000


def test_every_window_has_a_budget_of_its_own():
    assert taken(Limit(100, 60), ((i / 10, 0, A) for i in range(1800)))[A] == 300


def test_while_others_ask_no_key_gets_more_than_its_share():
    calls = [(i / 500, i % 2, A) for i in range(25_000)] + [(i, 1, B) for i in range(50)]
    counts = taken(MINUTE, sorted(calls))
    assert counts[B] == 50
    assert 5_000 <= counts[A] <= 5_000 + MINUTE.most_leased


def test_two_greedy_keys_share_evenly_and_together_keep_the_limit():
    counts = taken(MINUTE, ((i / 1000, i % 2, (A, B)[i // 2 % 2]) for i in range(50_000)))
    assert counts[A] + counts[B] <= 10_000 + MINUTE.most_leased
    assert abs(counts[A] - counts[B]) <= MINUTE.most_leased


def test_a_newcomer_finds_its_share_although_another_took_everything():
    calls = [(i / 1000, 0, A) for i in range(20_000)] + [(20 + i / 500, 1, B) for i in range(10_000)]
    counts = taken(MINUTE, calls)
    assert counts[A] == 10_000
    assert counts[B] == 5_000


def test_many_keys_leave_no_tokens_lying_about():
    counts = taken(MINUTE, ((i / 1000, i % 2, i % 997) for i in range(20_000)))
    assert sum(count for key, count in counts.items() if key != "exchanges") >= 10_000 - MINUTE.most_leased


def test_the_common_budget_is_not_asked_for_every_call():
    assert taken(MINUTE, ((i / 1000, 0, A) for i in range(30_000)))["exchanges"] < 120


def test_what_an_idle_process_holds_goes_back():
    common, idle, busy = CommonBudget(Limit(1000, 60)), Budget(Limit(1000, 60)), Budget(Limit(1000, 60))
    for i in range(40):
        take(common, idle, A, 1000 + i / 1000)
    assert idle.held > 0
    settle(common, idle, 1002)
    settle(common, idle, 1004)
    assert idle.held == 0
    assert sum(take(common, busy, A, 1005 + i / 100) for i in range(2000)) == 960


def test_without_the_common_budget_each_process_goes_on_with_its_part():
    process = Budget(MINUTE, processes=4)
    calls = 0
    for i in range(5_000):
        now = 1000 + i / 1000
        verdict = process.take(A, now)
        if verdict is Verdict.ASK:
            process.stand_alone(now)
            verdict = process.take(A, now)
        calls += verdict is Verdict.TAKEN
    assert calls == 2_500


def test_a_report_that_did_not_arrive_is_told_again():
    common, process = CommonBudget(MINUTE), Budget(MINUTE)
    take(common, process, A, 1000)
    report = process.report(1001, waiting=0)
    held = process.held
    process.take_back(report)
    assert process.held == held + report.returned
    assert process.report(1001, waiting=0).used == {A: 1}


@pytest.mark.parametrize(
    ("text", "want"),
    [("10000/minute", Limit(10_000, 60)), ("5/second", Limit(5, 1)), ("7/hour", Limit(7, 3600)), ("off", None)],
)
def test_a_setting_says_a_limit(text: str, want: Limit | None):
    assert parse(text) == want


@pytest.mark.parametrize("text", ["", "0/minute", "10/day", "-1/minute", "10000", "1e3/minute"])
def test_what_is_no_limit_is_refused(text: str):
    with pytest.raises(ValueError, match="no limit"):
        parse(text)


def test_a_token_left_of_the_window_before_keeps_nobody_waiting_in_the_next():
    limit = Limit(20, 60)
    common, process = CommonBudget(limit), Budget(limit)
    assert take(common, process, A, 1000)
    settle(common, process, 1003)
    assert process.held == 1
    assert take(common, process, A, 1000 + limit.period_s)


def test_a_window_that_ended_a_moment_earlier_than_a_process_thought_refuses_nobody():
    common, process = CommonBudget(MINUTE), Budget(MINUTE)
    assert take(common, process, A, 1000)
    common.began -= MINUTE.period_s  # the common budget's clock is ahead
    settle(common, process, 1002)
    process.held = 0
    assert take(common, process, A, 1002)


def test_a_process_that_ends_gives_back_all_it_holds():
    common, process = CommonBudget(MINUTE), Budget(MINUTE)
    assert take(common, process, A, 1000)
    settle(common, process, 1001, closing=True)
    assert process.held == 0
    assert common.leased == 1


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5, 3.5, 59.5, 62.5])
def test_who_comes_back_after_a_quiet_while_is_not_refused(after_s: float):
    """A process that gave everything back holds nothing; that is no sign that nothing is left."""
    common, process = CommonBudget(MINUTE), Budget(MINUTE)
    assert take(common, process, A, 1000)
    for second in range(1, int(after_s) + 1):
        if process.is_due(1000 + second):
            settle(common, process, 1000 + second)
    assert take(common, process, A, 1000 + after_s)
