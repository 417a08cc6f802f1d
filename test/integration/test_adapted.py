"""Unmodified servers as workers (ADAPTER=server): python3's http.server and a small one in C."""

import os
import signal

import pytest

from harness import clients, processes
from harness.clients import Held
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until


def adapted(stage, name, mode, *ports, **options):
    """A service of the C server (workers/server.c)."""
    where = " ".join(port[5:] if isinstance(port, str) else f"127.0.0.1:{port}" for port in ports)
    return service(name, *ports, ADAPTER="server", COMMAND=f"{stage.program('server')} {mode} {where}",
                   **options)


def counts(one):
    return one["accepted"], one["done"], one["lost"], one["connections"]


def wait_counts(daemon, *expected, name=None):
    """Exactly these: accepted, done, lost, open."""
    return daemon.wait_service(lambda one: counts(one) == expected, f"counts {expected}", name)


def test_a_server_that_knows_nothing_of_us_serves_and_is_counted(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=1, MAX_PROCS=1))
    clients.echo(number)
    wait_counts(daemon, 1, 1, 0, 0)


@pytest.mark.parametrize("mode", ["poll", "threads", "forks", "preforks"])
def test_every_connection_is_served_and_counted_while_workers_are_recycled(
        stage, run_daemon, port, rounds, mode):
    number, count = port(), rounds(1500)
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=2, MAX_PROCS=4,
                                MAX_LIFE_CONNS=100))
    with Load(number, 16, count) as load:
        result = load.wait()
    assert result["failed"] == {}, result
    wait_counts(daemon, count, count, 0, 0)
    assert len(daemon.events("worker.exit", "reason=spent", "lost=0")) >= count // 300


# --- workers that die ---


def members(daemon, pattern):
    """Living processes below the dispatcher whose command line has this word."""
    return [pid for pid in processes.descendants(daemon.supervisor_pid)
            if pattern in processes.command(pid)]


def busiest(daemon):
    """A worker that has connections, under load."""
    def serving(one):
        return [w for w in one["workers"] if w["state"] == "serving" and w["connections"]]

    return max(serving(daemon.wait_service(serving, "under load")), key=lambda w: w["connections"])


@pytest.mark.parametrize("mode", ["poll", "forks", "preforks"])
def test_only_the_connections_of_a_killed_worker_are_lost(stage, run_daemon, port, rounds, mode):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=3, MAX_PROCS=6, MAX_CONNS=4))
    with Load(number, 8) as load:
        for _ in range(rounds(5)):
            victim = busiest(daemon)
            os.kill(victim["pid"], signal.SIGKILL)
            daemon.wait_event("worker.exit", f"pid={victim['pid']} ")
        result = load.stop()
    one = daemon.wait_service(lambda one: one["connections"] == 0, "nothing is left")
    failed = sum(result["failed"].values())
    assert failed <= one["lost"], (result, one)
    assert one["lost"] <= rounds(5) * 4, one
    assert one["accepted"] == one["done"] + one["lost"] == result["ok"] + failed, (one, result)


def test_the_kernel_tells_what_a_killed_child_cannot(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "forks", number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=4))
    with Held() as held:
        held.open(number)
        held.open(number)
        worker = daemon.workers()[0]["pid"]
        children = [pid for pid in members(daemon, "forks") if pid != worker]
        assert len(children) == 2, children
        os.kill(children[0], signal.SIGKILL)
        one = wait_counts(daemon, 2, 1, 0, 1)
        assert one["freed"] == 1, one
        assert [w["pid"] for w in one["workers"]] == [worker], "only a child of it was killed"
    wait_counts(daemon, 2, 2, 0, 0)


@pytest.mark.parametrize("mode", ["preforks", "leaver"])
def test_no_process_of_a_worker_stays_when_its_first_is_killed(stage, run_daemon, port, mode):
    number, other = port(), port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=4),
                        adapted(stage, "other", "preforks", other, MIN_PROCS=1, MAX_PROCS=1))
    clients.echo(number)
    bystanders = set(members(daemon, f"preforks 127.0.0.1:{other}"))
    before = set(members(daemon, f"{mode} 127.0.0.1:{number}"))
    assert len(before) == 5 and len(bystanders) == 5, (before, bystanders)
    os.kill(daemon.workers("echo")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: not before & set(members(daemon, str(number))),
               lambda: f"left behind: {before & set(members(daemon, str(number)))}")
    wait_until(lambda: _echoes(number), "its replacement serves")
    assert set(members(daemon, str(other))) == bystanders


def _echoes(address):
    try:
        clients.echo(address, seconds=1)
        return True
    except OSError:
        return False


# --- what goes wrong with servers ---


def unfit(daemon, *patterns, seconds=10.0):
    daemon.expect_errors("worker.unfit")
    daemon.unsettled.add("echo")
    return daemon.wait_event("worker.unfit", *patterns, seconds=seconds)


@pytest.mark.parametrize("mode", ["daemon", "waits"])
def test_a_server_that_becomes_a_daemon_is_named_with_the_remedy(stage, make_daemon, port, mode):
    number = port()
    daemon = make_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=1)).start(ready=False)
    unfit(daemon, "worker=echo/1", "background", "foreground")
    daemon.wait_service(lambda one: "background" in (one["unfit"] or ""), "status shows it")
    assert "foreground" in daemon.ctl("status").stdout
    wait_until(lambda: not members(daemon, f"{mode} 127"), "no process of it stays")


def test_a_server_that_listens_elsewhere_is_named_with_its_address(stage, make_daemon, port):
    number, other = port(), port()
    daemon = make_daemon(service("echo", number, ADAPTER="server", START_TIMEOUT="1s", KILL_TIMEOUT="1s",
                                 COMMAND=f"{stage.program('server')} poll 127.0.0.1:{other}")
                         ).start(ready=False)
    unfit(daemon, "worker=echo/1", f"127.0.0.1:{other}", "PORT")
    daemon.expect_errors("worker.signal")


def test_a_server_that_serves_one_at_a_time_is_named_and_serves_on(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "single", number, MIN_PROCS=2, MAX_PROCS=2,
                                HANDOFF_TIMEOUT="200ms"))
    with Held() as held:
        held.open(number)
        held.open(number)
    with Held() as held:  # both have served one
        held.open(number)
        held.open(number)
        held.open(number, served=False)
        daemon.expect_errors("worker.unfit")
        daemon.wait_event("worker.unfit", "one connection at a time", "MAX_CONNS=1")
        held.close_one()
        assert clients.is_served(held.socks[-1])
    wait_counts(daemon, 5, 5, 0, 0)
    assert not daemon.events("worker.signal"), "nobody was killed for that"


@pytest.mark.parametrize("mode", ["exits", "closer", "bomb"])
def test_what_a_server_does_to_itself_harms_no_other(stage, run_daemon, port, mode):
    number, other = port(), port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=2),
                        adapted(stage, "other", "poll", other, MIN_PROCS=2, MAX_PROCS=2))
    daemon.unsettled.add("echo")
    before = [w["pid"] for w in daemon.workers("other")]
    with Load(other, 4) as load:
        for _ in range(6):
            _echoes(number)
        if mode == "bomb":
            os.kill(daemon.workers("echo")[0]["pid"], signal.SIGKILL)
            daemon.wait_event("worker.exit", "worker=echo/1")
        result = load.stop()
    assert result["failed"] == {} and result["ok"] > 0, result
    assert [w["pid"] for w in daemon.workers("other")] == before
    wait_until(lambda: _echoes(number), "it serves again")
    if mode == "closer":
        assert not daemon.events("worker.exit", "worker=echo"), "it had closed nothing of ours"
