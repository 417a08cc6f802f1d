"""restart: workers are replaced on order; who is served stays served, and nobody new waits."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from harness.timeline import parse
from test_programs import Git, Ssh

pytestmark = pytest.mark.sanitized

KILL_SECONDS = 2


def echo(number, procs=2, most=8, **more):
    options = dict(IMAGE="dispatcher-echo", MIN_PROCS=procs, MAX_PROCS=most, MIN_CONNS=30,
                   MAX_CONNS=60, MAX_LIFE_CONNS=0, KILL_TIMEOUT=f"{KILL_SECONDS}s")
    return service("echo", number, **{**options, **more})


def ids(one, *states):
    return {w["id"] for w in one["workers"] if not states or w["state"] in states}


def named(text):
    """The workers that a result names."""
    return set(re.findall(r"\b\w+/\d+\b", text))


def restart(daemon, who="echo", **options):
    """Returns the workers that are to be replaced."""
    return named(daemon.order("restart", who, **options)["text"])


def wait_replaced(daemon, old, name="echo", seconds=30):
    """None of the old takes anything new, and as many serve as must."""
    return daemon.wait_service(
        lambda one: not old & ids(one, "starting", "serving")
        and len(ids(one, "serving")) >= one["min_procs"], f"{old} are replaced", name, seconds)


def wait_gone(daemon, old, name="echo", seconds=30):
    return daemon.wait_service(lambda one: not old & ids(one), f"{old} are gone", name, seconds)


def wait_served(daemon, more=200):
    """So many connections later."""
    until = daemon.service()["done"] + more
    daemon.wait_service(lambda one: one["done"] >= until, f"{more} more are served", seconds=60)


def cuts(daemon, worker=None, least=0):
    """Keys of the lines about connections that were cut. They may be on their way still when the status tells
    of what follows: how many there must be is waited for."""
    lines = daemon.wait_event("connection.cut", count=least) if least else daemon.events("connection.cut")
    found = [parse(line)[1] for line in lines]
    return [keys for keys in found if worker in (None, keys["worker"])]


def peer_of(sock):
    host, port = sock.getsockname()
    return f"{host}:{port}"


class Session:
    """An ssh session that lives until it is told to end."""

    def __init__(self, ssh):
        self.process = subprocess.Popen(ssh.words("echo begun; read line; echo $line"), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "begun\n"

    def __enter__(self):
        return self

    def end(self):
        output, _ = self.process.communicate("still here\n", timeout=20)
        assert output == "still here\n"

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_five_restarts_under_load_fail_nobody(run_daemon, port, rounds):
    number = port()
    daemon = run_daemon(echo(number, procs=4, most=16))
    with clients.Held() as held, Load(number, 32) as load:
        for _ in range(8):
            held.open(number)
        for _ in range(rounds(5)):
            old = restart(daemon)
            assert len(old) >= 4, old
            wait_replaced(daemon, old)
            wait_served(daemon)
        for sock in held.socks:
            clients.echo_on(sock)
        result = load.stop()
        retiring = ids(daemon.settle(), "retiring")
        assert retiring, "those who serve the held connections"
    one = wait_gone(daemon, retiring)
    print(f"{rounds(5)} restarts: {result['ok']} ok, {result['failed']} failed, longest "
          f"{result['longest_ms']} ms; lost {one['lost']}, refused {one['refused']}")
    assert result["failed"] == {} and result["ok"] > 100, result
    assert (one["lost"], one["refused"]) == (0, 0) and not cuts(daemon)
    assert not daemon.events("worker.signal")


@pytest.mark.root
def test_an_ssh_session_and_clones_survive_five_restarts(run_daemon, directory, port):
    made = []
    for kind in (Ssh, Git):
        where = directory / kind.__name__.lower()
        where.mkdir(mode=0o755)
        made.append(kind(where, port()))
    ssh, git = made
    daemon = run_daemon(ssh.section(MIN_PROCS=1, MAX_PROCS=2, MAX_LIFE_CONNS=0), git.section())
    with Session(ssh) as session:
        for turn in range(5):
            for name in ("ssh", "git"):
                wait_replaced(daemon, restart(daemon, name), name)
            git.use(f"clone{turn}")
            ssh.use(f"turn{turn}")
        assert len(ids(daemon.service("ssh"), "retiring")) >= 1
        session.end()
    daemon.wait_service(lambda one: not ids(one, "retiring"), "the old one is gone", "ssh")
    assert not cuts(daemon)


def test_restart_of_one_worker_leaves_the_others(run_daemon, port):
    daemon = run_daemon(echo(port(), procs=3))
    before = sorted(ids(daemon.service()))
    assert restart(daemon, before[1]) == {before[1]}
    one = wait_gone(daemon, {before[1]})
    assert {before[0], before[2]} < ids(one, "serving") and len(ids(one, "serving")) == 3
    assert "reason=restarted" in daemon.events("worker.retire")[0]
    assert daemon.events("worker.exit", "reason=restarted", "lost=0")


def test_status_tells_why_since_when_and_for_how_long(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=1))
    with clients.Held() as held:
        held.open(number)
        old = restart(daemon, drain_ms=3600000)
        wait_replaced(daemon, old)
        worker, = daemon.workers(state="retiring")
        assert worker["retire_reason"] == worker["stale"] == "restarted"
        assert worker["drain_seconds"] == 3600
        assert 0 <= worker["retiring_seconds"] < 60 and 3500 < worker["deadline_seconds"] <= 3600
        assert worker["retiring_since"] >= worker["stale_since"] >= worker["started"]
        fresh, = daemon.workers()
        assert fresh["stale"] is fresh["stale_since"] is fresh["retiring_since"] is None


def is_served_after(sock):
    try:
        return clients.is_served(sock, seconds=3)
    except OSError:
        return False


def test_a_drain_length_ends_stuck_clients_and_names_each(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=2))
    with clients.Held() as held:
        peers = {peer_of(held.open(number)) for _ in range(4)}
        began = time.monotonic()
        old = restart(daemon, drain_ms=2000)
        wait_replaced(daemon, old)
        assert all(clients.is_served(sock) for sock in held.socks)
        wait_gone(daemon, old)
        took = time.monotonic() - began
        print(f"drain 2 s: gone after {took:.2f} s")
        assert 2 <= took < 2 + KILL_SECONDS + 2
        assert not any(is_served_after(sock) for sock in held.socks)
    lines = cuts(daemon, least=4)
    assert {keys["peer"] for keys in lines} == peers and len(lines) == 4
    assert {keys["reason"] for keys in lines} == {"drain-timeout"}
    assert {keys["worker"] for keys in lines} <= old
    assert all(int(keys["duration_ms"]) >= 1900 for keys in lines)


def test_a_program_that_does_not_go_is_killed_and_its_client_named(run_daemon, port):
    number = port()
    daemon = run_daemon(service("deaf", number, IMAGE="dispatcher-exec", MIN_PROCS=1, MAX_PROCS=2,
                                COMMAND="/bin/sh -c \"trap '' TERM; echo here; while :; do sleep 1; done\"",
                                KILL_TIMEOUT=f"{KILL_SECONDS}s"))
    with clients.connect(number) as sock:
        assert clients.receive_exactly(sock, 5) == b"here\n"
        began = time.monotonic()
        old = restart(daemon, "deaf", drain_ms=1000)
        wait_gone(daemon, old, "deaf")
        took = time.monotonic() - began
        print(f"drain 1 s, a deaf program: gone after {took:.2f} s")
        assert 1 <= took < 1 + KILL_SECONDS + 2
        assert [keys["peer"] for keys in cuts(daemon, least=1)] == [peer_of(sock)]
    assert wait_replaced(daemon, old, "deaf")["lost"] <= 1


def test_now_replaces_before_it_ends(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=2))
    with clients.Held() as held, Load(number, 8) as load:
        for _ in range(4):
            held.open(number)
        wait_served(daemon, 50)
        before = {peer_of(sock) for sock in held.socks}
        old = restart(daemon, now=True)
        wait_gone(daemon, old, seconds=KILL_SECONDS + 10)
        clients.echo(number)
        result = load.stop()
    # Only who was being served by an old worker can have been cut; each is named.
    named_cuts = cuts(daemon, least=len(before) + sum(result["failed"].values()))
    assert before <= {keys["peer"] for keys in named_cuts}
    order = [parse(line)[0] for line in daemon.log().splitlines()
             if re.search(r" worker\.(ready|signal) ", line)]
    assert order.index("worker.signal") > 2, "a replacement is ready before the first one is told to go"


def test_no_more_than_max_procs_drain_beside_the_new(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=2, most=2, MAX_SHUTDOWN=1))
    with clients.Held() as held:
        for _ in range(4):
            held.open(number)
        old = restart(daemon)
        wait_replaced(daemon, old)
        draining = daemon.workers(state="retiring")
        assert len(draining) == 2
        refused = daemon.order("restart", "echo", expect=1)["text"]
        for worker in draining:
            assert re.search(rf"{worker['id']} pid {worker['pid']}, .* since \d{{4}}-", refused), refused
        assert "--drain" in refused
        assert restart(daemon, drain_ms=200) >= old, "with a deadline there is no limit"
        wait_gone(daemon, old)
    assert len(cuts(daemon, least=4)) == 4


def test_a_program_that_cannot_start_any_more_takes_nobodys_place(run_daemon, directory, stage, port):
    number = port()
    image = directory / "image"
    shutil.copy(stage.program("dispatcher-echo"), image)
    image.chmod(0o755)
    daemon = run_daemon(echo(number, procs=2, IMAGE=image))
    whole = image.read_bytes()
    with clients.Held() as held, Load(number, 8) as load:
        held.open(number)
        wait_served(daemon, 50)
        broken = directory / "broken"
        broken.write_text("#!/bin/sh\nexit 3\n")
        broken.chmod(0o755)
        os.rename(broken, image)
        old = restart(daemon)
        daemon.wait_event("worker.exit", "status=exit:3", count=2)
        one = daemon.service()
        assert ids(one, "serving") == old
        assert {w["waits_for"] for w in one["workers"] if w["id"] in old} == {"replacement"}
        clients.echo(number)
        (directory / "fixed").write_bytes(whole)
        (directory / "fixed").chmod(0o755)
        os.rename(directory / "fixed", image)
        restart(daemon)
        wait_replaced(daemon, old)
        clients.echo_on(held.socks[0])
        assert load.stop()["failed"] == {}


def test_what_is_not_open_is_not_restarted(make_daemon, port):
    daemon = make_daemon(echo(port()), service("shut", port(), IMAGE="dispatcher-echo", ENABLE=0))
    daemon.start(ready=False).settle()
    refused = daemon.order("restart", "shut", expect=1)["text"]
    assert "closed" in refused and "dispatcherctl start shut" in refused


def test_a_restart_outlives_the_acceptor(run_daemon, port, rounds):
    number = port()
    daemon = run_daemon(echo(number, procs=4, most=16))
    daemon.expect_errors("acceptor.exit")
    with clients.Held() as held:
        for _ in range(8):
            held.open(number)
        for turn in range(rounds(3)):
            before = daemon.acceptor_pid()
            order = daemon.begin("restart", "echo")
            wait_until(lambda: daemon.events("control.result", order), "it has begun")
            os.kill(before, signal.SIGKILL)
            old = named(daemon.wait_result(order)["text"])
            wait_replaced(daemon, old)
            assert daemon.acceptor_pid() != before
            clients.echo(number)
        for sock in held.socks:
            clients.echo_on(sock)
        retiring = ids(daemon.service(), "retiring")
        assert retiring
    wait_gone(daemon, retiring)
    assert not cuts(daemon)


def test_a_deadline_outlives_the_acceptor(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=1))
    daemon.expect_errors("acceptor.exit")
    with clients.Held() as held:
        peer = peer_of(held.open(number))
        old = restart(daemon, drain_ms=4000)
        wait_replaced(daemon, old)
        worker, = daemon.workers(state="retiring")
        before = daemon.acceptor_pid()
        os.kill(before, signal.SIGKILL)
        daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] != before, "another acceptor")
        again, = daemon.wait_service(lambda one: ids(one, "retiring"), "it still retires")["workers"][:1]
        assert again["id"] == worker["id"] and again["stale"] == "restarted"
        assert again["deadline_seconds"] <= worker["deadline_seconds"]
        wait_gone(daemon, old, seconds=4 + KILL_SECONDS + 2)
        assert [keys["peer"] for keys in cuts(daemon, least=1)] == [peer]


def test_a_shutdown_names_whom_it_cuts(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=1, SHUTDOWN_TIMEOUT="1s"))
    with clients.Held() as held:
        peers = {peer_of(held.open(number)) for _ in range(3)}
        assert daemon.shut_down() == 0
    assert {keys["peer"] for keys in cuts(daemon)} == peers


def test_a_service_that_is_opened_again_has_all_its_workers_beside_the_old(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, procs=2, most=2, MAX_SHUTDOWN=1, SHUTDOWN_TIMEOUT="10m"))
    with clients.Held() as held:
        for _ in range(4):
            held.open(number)
        old = ids(daemon.service())
        daemon.order("shutdown", "echo")
        daemon.order("start", "echo")
        wait_replaced(daemon, old)
        assert ids(daemon.service(), "retiring") == old
        for sock in held.socks:
            clients.echo_on(sock)
        worker = daemon.workers(state="retiring")[0]
        assert worker["stale"] == "restarted" and 500 < worker["deadline_seconds"] <= 600
    wait_gone(daemon, old)
    assert not cuts(daemon)
