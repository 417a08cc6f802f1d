"""Pools grow, hold, shrink and renew themselves by the rules of DESIGN, seen from outside."""

import pytest

from harness import clients
from harness.daemon import service
from harness.load import Load
from harness.timeline import Timeline

MIN_PROCS, MAX_PROCS, MIN_CONNS, MAX_CONNS = 2, 5, 3, 4


def loads_by_the_rule(held):
    """Loads of the workers when `held` connections came one by one: the least loaded gets each, and
    another worker is started when all have MIN_CONNS."""
    loads = [0] * MIN_PROCS
    for _ in range(held):
        loads[loads.index(min(loads))] += 1
        if len(loads) < MAX_PROCS and min(loads) >= MIN_CONNS:
            loads.append(0)
    return sorted(loads, reverse=True)


def test_the_rule_itself_is_the_documented_one():
    assert len(loads_by_the_rule(5)) == 2
    assert len(loads_by_the_rule(6)) == 3
    assert loads_by_the_rule(20) == [4] * 5


@pytest.mark.sanitized
def test_one_by_one_the_pool_has_exactly_the_workers_and_loads_of_the_rule(run_daemon, port):
    number = port()
    daemon = run_daemon(service(
        "echo", number, IMAGE="dispatcher-echo", MIN_PROCS=MIN_PROCS, MAX_PROCS=MAX_PROCS,
        MIN_CONNS=MIN_CONNS, MAX_CONNS=MAX_CONNS))
    with clients.Held() as held:
        for count in range(1, MAX_PROCS * MAX_CONNS + 1):
            held.open(number)
            assert daemon.loads() == loads_by_the_rule(count), f"with {count} connections"
        last = held.open(number, served=False)
        daemon.wait_service(lambda one: one["waiting"] == 1, "the 21st waits")
        assert not clients.is_served(last, b"too many\n", 0.5)
        one = daemon.service()
        assert (one["accepted"], one["connections"], one["held"]) == (20, 20, True)
        held.close_one()
        assert clients.receive_exactly(last, 9) == b"too many\n"


def test_a_full_pool_holds_and_says_since_when(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1,
                                MIN_CONNS=1, MAX_CONNS=2))
    with clients.Held() as held:
        held.open(number)
        held.open(number)
        held.open(number, served=False)
        daemon.wait_event("pool.hold", "service=echo", "connections=2")
        daemon.wait_service(lambda one: one["held_seconds"] > 0, "held_seconds counts")
    daemon.wait_event("pool.release", "service=echo")
    clients.echo(number)


def test_one_at_a_time_every_retired_worker_has_served_exactly_its_life(run_daemon, port, rounds):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=4, MAX_PROCS=4,
                                MAX_SHUTDOWN=2, MAX_LIFE_CONNS=100))
    for _ in range(rounds(10000)):
        clients.echo(number)
    timeline = Timeline(daemon.log(), "echo")
    assert len(timeline.exits) >= rounds(10000) // 100 - 8
    assert {keys["served"] for keys in timeline.exits.values()} == {"100"}
    assert {keys["lost"] for keys in timeline.exits.values()} == {"0"}
    assert timeline.most_retiring() <= 2
    assert timeline.fewest_serving(4) == 4


def test_many_at_a_time_no_life_is_exceeded_by_more_than_the_offers_in_flight(
        run_daemon, port, rounds):
    number, at_once = port(), 16
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=4, MAX_PROCS=4,
                                MAX_SHUTDOWN=4, MAX_LIFE_CONNS=100))
    with Load(number, at_once, rounds(10000)) as load:
        result = load.wait()
    assert result["failed"] == {}, result
    timeline = Timeline(daemon.log(), "echo")
    served = [int(keys["served"]) for keys in timeline.exits.values()]
    assert len(served) >= rounds(10000) // (100 + at_once) - 8
    assert 100 <= min(served) and max(served) <= 100 + at_once
    assert timeline.most_retiring() <= 4
    assert timeline.fewest_serving(4) == 4


def test_with_all_retiring_slots_taken_a_spent_worker_serves_on_and_says_so(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=2,
                                MAX_SHUTDOWN=1, MAX_LIFE_CONNS=5))
    with clients.Held() as held:
        for _ in range(2):  # one on each worker
            held.open(number)
        for _ in range(30):
            clients.echo(number)
        one = daemon.settle()
        assert sum(w["state"] == "retiring" for w in one["workers"]) == 1
        late = [w for w in one["workers"] if w["state"] == "serving" and w["served"] > 5]
        assert late and late[0]["wants_rest"] == "spent", one
        for sock in held.socks:
            clients.echo_on(sock)


def test_old_workers_are_renewed_under_load_and_nothing_fails(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=3, MAX_PROCS=3,
                                MAX_SHUTDOWN=1, MAX_LIFE_TIME="1s"))
    with Load(number, 8) as load:
        daemon.wait_event("worker.exit", "reason=(?i:old)", count=6, seconds=20)
        result = load.stop()
    assert result["failed"] == {}, result
    timeline = Timeline(daemon.log(), "echo")
    assert timeline.most_retiring() == 1
    assert timeline.fewest_serving(3) == 3


def test_idle_workers_go_until_min_procs_are_left(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=5,
                                MIN_CONNS=1, MAX_CONNS=2, MAX_SHUTDOWN=2, MAX_IDLE_TIME="1s"))
    with clients.Held() as held:
        for count in range(1, 6):
            held.open(number)
            daemon.settle()
        assert len(daemon.loads()) == 5
    daemon.wait_service(lambda one: len(one["workers"]) == 1, "one worker is left", seconds=15)
    timeline = Timeline(daemon.log(), "echo")
    assert timeline.most_retiring() <= 2
    assert set(timeline.retired.values()) == {"idle"}


def test_held_connections_outlive_ten_recyclings_of_everything_around_them(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=3,
                                MAX_SHUTDOWN=2, MAX_LIFE_CONNS=10))
    with clients.Held() as held:
        held.open(number)
        while len(daemon.events("worker.exit")) < 10:
            for _ in range(10):
                clients.echo(number)
        clients.echo_on(held.socks[0], b"still here\n")


def test_connections_counts_of_client_and_dispatcher_agree(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=4))
    with clients.Held() as held:
        for _ in range(7):
            held.open(number)
        for _ in range(100):
            clients.echo(number)
        one = daemon.wait_service(lambda one: one["done"] == 100, "100 are done")
        assert (one["handed"], one["connections"], one["lost"]) == (107, 7, 0)
        assert one["handed"] == one["done"] + one["lost"] + one["connections"]
        assert one["peak_connections"] >= 7
