"""Servers that no preloaded library reaches, as pools: a static one, and Caddy, which is written in Go. Nothing
is said of the method: a look at the program finds it."""

import os
import random
import shutil
import signal

import pytest

from harness import processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from harness.web import Web, get

CADDY = "/usr/bin/caddy"
CADDYFILE = """{
	admin off
	auto_https off
}
http://:%d {
	respond "you are {remote_host}"
	log {
		output stderr
	}
}
"""
THREADS = 8
POOL = dict(ADAPTER="server", MIN_PROCS=2, MAX_PROCS=4, MIN_CONNS=4, MAX_CONNS=THREADS)


@pytest.fixture
def static(stage, run_daemon, port):
    """static(option=...): a pool of static servers, and its port."""

    def start(**options):
        where = port()
        command = f"{stage.program('static-server')} port={where} threads={THREADS} plain"
        return run_daemon(service("static", where, COMMAND=command, **{**POOL, **options})), where

    return start


@pytest.fixture
def caddy(directory, run_daemon, port):
    """caddy(option=...): a pool of Caddys, and its port."""
    if not os.path.exists(CADDY):
        pytest.skip("needs caddy")

    def start(**options):
        where, config = port(), directory / "Caddyfile"
        config.write_text(CADDYFILE % where)
        config.chmod(0o644)
        command = f"{CADDY} run --adapter caddyfile --config {config}"
        options = {**POOL, "MAX_PROCS": 2, "MIN_CONNS": 64, "MAX_CONNS": 128, **options}
        return run_daemon(service("caddy", where, COMMAND=command, ENVIRONMENT=f"HOME={directory}", **options)), where

    return start


def server_of(worker):
    """The program behind a notifier."""
    return processes.descendants(worker["pid"])[0]


def busiest(daemon):
    """A worker that has connections, under load."""

    def serving(one):
        return [w for w in one["workers"] if w["state"] == "serving" and w["connections"]]

    # Who dies young makes the next wait: 1 s, 2 s, ... 60 s.
    return max(serving(daemon.wait_service(serving, "under load", seconds=90)), key=lambda w: w["connections"])


def wait_counts(daemon, accepted):
    daemon.wait_service(lambda one: (one["accepted"], one["done"], one["lost"], one["connections"]) ==
                        (accepted, accepted, 0, 0), f"{accepted} served, none lost, none open")


def kill_under_load(daemon, load, most, times):
    """Kills notifiers and programs in turn; what fails is no more than the victims served."""
    for number in range(times):
        victim = busiest(daemon)
        os.kill(victim["pid"] if number % 2 else server_of(victim), signal.SIGKILL)
        daemon.wait_event("worker.exit", f"pid={victim['pid']} ")
    result = load.stop()
    one = daemon.wait_service(lambda one: one["connections"] == 0, "nothing is left")
    failed = result["failed"] if isinstance(result["failed"], int) else sum(result["failed"].values())
    # Nobody reports: a connection that ends moments before its worker is noticed to is taken for served.
    assert failed <= times * most and one["lost"] <= times * most, (result, one)
    assert one["accepted"] == one["done"] + one["lost"] == result["ok"] + failed, (one, result)


# --- static ---


@pytest.mark.sanitized
def test_static_servers_are_recycled_without_loss(static, rounds):
    daemon, where = static(MAX_LIFE_CONNS=100)
    count = rounds(1000)
    assert Load(where, 16, count).wait()["failed"] == {}
    wait_counts(daemon, count)
    assert len(daemon.events("worker.exit", "reason=spent", "lost=0")) >= count // 300


def test_only_the_clients_of_killed_static_servers_are_lost(static, rounds):
    daemon, where = static()
    with Load(where, 16) as load:
        kill_under_load(daemon, load, THREADS, rounds(6))


def test_killed_notifier_leaves_no_server_behind(static):
    daemon, where = static(MAX_PROCS=2)
    victim = random.choice(daemon.workers())
    server = server_of(victim)
    os.kill(victim["pid"], signal.SIGKILL)
    wait_until(lambda: not processes.alive(server), "the server of a killed notifier has gone")
    daemon.wait_service(lambda one: len(daemon.workers()) == 2, "another in its place")
    assert Load(where, 4, 50).wait()["ok"] == 50


def test_static_servers_of_a_killed_supervisor_end_when_another_has_taken_over(static):
    daemon, where = static(MAX_PROCS=2)
    daemon.expect_errors("supervisor.gone", "takeover")
    old = [pid for w in daemon.workers() for pid in (w["pid"], server_of(w))]
    os.kill(daemon.supervisor_pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    wait_until(lambda: processes.reap() or not any(processes.alive(pid) for pid in old), "the old have gone")
    assert Load(where, 4, 50).wait()["ok"] == 50


def test_listening_elsewhere_is_named(stage, make_daemon, port):
    where, other = port(), port()
    command = f"{stage.program('static-server')} port={other}"
    daemon = make_daemon(service("static", where, COMMAND=command, START_TIMEOUT="2s", **POOL)).start(ready=False)
    daemon.expect_errors("worker.unfit")
    daemon.unsettled.add("static")
    daemon.wait_event("worker.unfit", f"(binds|listens on) 127.0.0.1:{other}, which is no PORT of this service")


@pytest.mark.parametrize("who", ["notifier", "server"])
def test_who_is_stopped_for_good_is_replaced(static, who):
    daemon, where = static(MAX_PROCS=2, HANG_TIMEOUT="1s", HANDOFF_TIMEOUT="300ms", KILL_TIMEOUT="1s")
    victim = daemon.workers()[0]
    os.kill(victim["pid"] if who == "notifier" else server_of(victim), signal.SIGSTOP)
    with Load(where, 8) as load:
        daemon.wait_event("worker.exit", f"pid={victim['pid']} ", "status=signal:KILL", seconds=20)
        result = load.stop()
    assert result["ok"] > 0 and result["failed"] == {}, result
    daemon.wait_service(lambda one: len(daemon.workers()) == 2, "another in its place")


@pytest.mark.parametrize("how", ["", "epoll"])
def test_going_into_the_background_is_named(stage, make_daemon, port, how):
    where = port()
    command = f"{stage.program('static-server')} port={where} daemon {how}"
    daemon = make_daemon(service("static", where, COMMAND=command, **POOL)).start(ready=False)
    daemon.expect_errors("worker.unfit")
    daemon.unsettled.add("static")
    daemon.wait_event("worker.unfit", "worker=static/[12] ", "it went into the background", "foreground")


# --- Caddy ---


def test_caddy_sees_the_true_client(caddy):
    daemon, where = caddy()
    assert get(where) == "you are 127.0.0.1"
    wait_counts(daemon, 1)


def test_caddys_are_recycled_without_loss(caddy, rounds):
    daemon, where = caddy(MAX_LIFE_CONNS=200)
    count = rounds(1000)
    result = Web(where, 8, count).wait()
    assert (result["ok"], result["failed"]) == (count, 0), result
    wait_counts(daemon, count)
    assert len(daemon.events("worker.exit", "reason=spent", "lost=0")) >= count // 500


def test_only_the_clients_of_killed_caddys_are_lost(caddy, rounds):
    daemon, where = caddy()
    with Web(where, 16) as load:
        kill_under_load(daemon, load, 128, rounds(3))
