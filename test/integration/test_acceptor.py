"""The acceptor is killed, or replaced: no client notices."""

import os
import random
import re
import signal
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from test_programs import Git, Ssh
from test_restart import Session
from test_takeover import Clones

LONG = 150  # rounds from which on a test does what the project promises, not a sample of it


def echo_service(number, **options):
    return service("echo", number, **{**dict(
        IMAGE="dispatcher-echo", MIN_PROCS=4, MAX_PROCS=4, MIN_CONNS=100, MAX_CONNS=500,
        MAX_LIFE_CONNS=0), **options})


def new_acceptor(daemon, old):
    """The next one, once it accepts."""
    return daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] not in (0, None, old),
                       "a new acceptor", 15)["dispatcher"]["acceptor_pid"]


def killed(daemon):
    pid = daemon.acceptor_pid()
    os.kill(pid, signal.SIGKILL)
    return new_acceptor(daemon, pid)


def rescued(daemon):
    return daemon.service()["rescued"]


def check_nobody_noticed(daemon, result, others=0):
    """others: connections beside those of the load."""
    one = daemon.wait_service(lambda one: one["connections"] == 0, "all are closed")
    assert result["failed"] == {}, result
    assert (one["lost"], one["refused"]) == (0, 0), one
    assert one["accepted"] == one["handed"] == one["done"] == result["ok"] + others, (one, result)
    return one


@pytest.mark.sanitized
def test_kill_9_of_the_acceptor_costs_no_client_anything(run_daemon, port, rounds):
    number, count = port(), rounds(20)
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"acceptor\.exit")
    with clients.Held() as held, Load(number, 64) as load:
        for _ in range(1000 if count >= LONG else 100):
            held.open(number)
        for _ in range(count):
            time.sleep(2 if count >= LONG else random.random() * 0.2)  # when it strikes
            killed(daemon)
        for sock in held.socks:
            clients.echo_on(sock, b"never cut\n")
        held_count = len(held.socks)
        held.close()
        result = load.stop()
    one = check_nobody_noticed(daemon, result, held_count)
    print(f"kill -9 of the acceptor, {count} times: {result['ok']} ok, {result['failed']} failed, "
          f"0 of {held_count} held cut, {one['rescued']} rescued, longest {result['longest_ms']} ms")


@pytest.mark.sanitized
def test_kill_9_of_the_acceptor_amid_a_burst_of_512_costs_no_client_anything(run_daemon, port, rounds):
    number, count = port(), rounds(20)
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"acceptor\.exit")
    with Load(number, 512) as load:
        for _ in range(count):
            time.sleep(random.random() * 0.05)  # when it strikes
            killed(daemon)
        result = load.stop()
    one = check_nobody_noticed(daemon, result)
    print(f"kill -9 amid bursts, {count} times: {result['ok']} ok, {result['failed']} failed, "
          f"{one['rescued']} rescued, longest {result['longest_ms']} ms")


@pytest.mark.root
def test_git_and_ssh_notice_nothing_of_a_kill_9_of_the_acceptor(run_daemon, directory, port, rounds):
    made = {}
    for name, kind in (("git", Git), ("ssh", Ssh)):
        (directory / name).mkdir(mode=0o755)
        made[name] = kind(directory / name, port())
    daemon = run_daemon(made["git"].section(), made["ssh"].section())
    daemon.expect_errors(r"acceptor\.exit")
    with Session(made["ssh"]) as session:
        clones = Clones(made["git"])
        for _ in range(rounds(10)):
            before = clones.count
            killed(daemon)
            processes.wait_until(lambda: clones.count > before or clones.failure, "clones go on", 30)
        print(f"{clones.stop()} clones over {rounds(10)} kills")
        session.end()


def kill_each_that_goes(daemon, count, seconds=60):
    """Kills acceptors within 4 ms of their first event, before the one before is forgotten."""
    killed, ends = 0, time.monotonic() + seconds
    with open(daemon.log_path, errors="replace") as log:
        while killed < count and time.monotonic() < ends:
            for line in log.read().splitlines():
                if " acceptor.start " in line:
                    time.sleep(random.uniform(0.0005, 0.004))  # when it strikes
                    os.kill(int(re.search(r"pid=(\d+)", line)[1]), signal.SIGKILL)
                    killed += 1
            time.sleep(0.001)
    assert killed == count, daemon.tail()


@pytest.mark.sanitized
def test_acceptors_killed_one_after_the_other_lose_nothing_that_the_first_had_in_hand(
        run_daemon, port, rounds):
    number, count = port(), rounds(20)
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"acceptor\.exit")
    last = daemon.acceptor_pid()
    with Load(number, 256) as load:
        kill_each_that_goes(daemon, count)
        new_acceptor(daemon, last)
        result = load.stop()
    one = check_nobody_noticed(daemon, result)
    print(f"killed again and again, {count} times: {result['ok']} ok, {result['failed']} failed, "
          f"{one['rescued']} rescued")


def kill_at(stage, daemon, point, count=1):
    """A process that kills the acceptor when it gets there."""
    tool = subprocess.Popen([stage.program("kill-at"), str(daemon.acceptor_pid()), point, str(count)],
                            text=True, stdout=subprocess.PIPE)
    assert tool.stdout.readline() == "ready\n"
    return tool


# What the keeper finds: a socket that stands nowhere; some that nobody was offered; some that were.
SAVED = {"accepted": True, "offering": True, "offered": False, "closing": False}


@pytest.mark.root
@pytest.mark.sanitized
@pytest.mark.parametrize("point", SAVED)
def test_whatever_it_had_in_hand_is_served_once(run_daemon, port, stage, rounds, point):
    number, count = port(), rounds(5)
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"acceptor\.exit")
    with Load(number, 32) as load:
        for _ in range(count):
            pid = daemon.acceptor_pid()
            assert kill_at(stage, daemon, point, random.randint(1, 20)).wait(20) == 0
            new_acceptor(daemon, pid)
        result = load.stop()
    one = check_nobody_noticed(daemon, result)
    print(f"killed {count} times at '{point}': {result['ok']} ok, {one['rescued']} rescued")
    if SAVED[point]:
        assert one["rescued"] >= count, one
    else:
        assert one["rescued"] == 0, "its worker had got it"


@pytest.mark.root
def test_a_connection_over_a_unix_socket_is_saved_too(run_daemon, directory, stage):
    path = directory / "sock"
    daemon = run_daemon(service("echo", f"unix:{path}", IMAGE="dispatcher-echo"))
    daemon.expect_errors(r"acceptor\.exit")
    pid = daemon.acceptor_pid()
    tool = kill_at(stage, daemon, "accepted")
    with clients.connect(path) as sock:
        assert tool.wait(10) == 0
        clients.echo_on(sock)
    new_acceptor(daemon, pid)
    assert rescued(daemon) == 1


@pytest.mark.root
def test_what_is_in_hand_twice_over_is_saved_twice_over(run_daemon, port, stage):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1))
    daemon.expect_errors(r"acceptor\.exit")
    worker = daemon.workers()[0]["pid"]
    pid = daemon.acceptor_pid()
    tool = kill_at(stage, daemon, "offering")
    os.kill(worker, signal.SIGSTOP)  # it answers no new acceptor: what it has is not known
    try:
        with clients.connect(number) as sock:
            assert tool.wait(10) == 0
            pid = new_acceptor(daemon, pid)
            os.kill(pid, signal.SIGKILL)
            new_acceptor(daemon, pid)
            os.kill(worker, signal.SIGCONT)
            clients.echo_on(sock)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert rescued(daemon) == 1
    daemon.wait_event("acceptor.rescued", "in_doubt=1", count=2)


@pytest.mark.root
def test_what_was_never_sent_to_a_worker_that_died_goes_to_another(run_daemon, port, stage):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1,
                                MAX_LIFE_CONNS=0))
    daemon.expect_errors(r"acceptor\.exit")
    worker = daemon.workers()[0]["pid"]
    pid = daemon.acceptor_pid()
    tool = kill_at(stage, daemon, "offering")
    os.kill(worker, signal.SIGSTOP)
    with clients.connect(number) as sock:
        assert tool.wait(10) == 0
        new_acceptor(daemon, pid)
        os.kill(worker, signal.SIGKILL)
        clients.echo_on(sock)
    assert (rescued(daemon), daemon.service()["lost"]) == (1, 0)


@pytest.mark.sanitized
def test_without_its_keeper_the_counts_stay_true(run_daemon, port, rounds):
    number, count = port(), rounds(5)
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"acceptor\.exit")
    with Load(number, 256) as load:
        for _ in range(count):
            pid = daemon.acceptor_pid()
            for keeper in keepers_of(pid):
                os.kill(keeper, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            new_acceptor(daemon, pid)
        result = load.stop()
    failed = sum(result["failed"].values())
    one = daemon.wait_service(lambda one: one["connections"] == 0, "all are closed")
    assert one["lost"] <= failed + count, (one, result)
    assert one["accepted"] <= result["ok"] + failed, (one, result)
    # make_daemon checks that they agree with each other


def keepers_of(pid):
    return [child for child in processes.descendants(pid)
            if processes.command(child) == "dispatcher: keeper"]


def test_a_keeper_is_one_small_process_that_ends_with_its_acceptor(run_daemon, port):
    daemon = run_daemon(echo_service(port()))
    daemon.expect_errors(r"acceptor\.exit")
    pid = daemon.acceptor_pid()
    keeper, = processes.wait_until(lambda: keepers_of(pid), "it has its title")
    assert processes.pss_kib(keeper) < 512
    os.kill(pid, signal.SIGKILL)
    new_acceptor(daemon, pid)
    processes.wait_until(lambda: not processes.alive(keeper), "it has ended")


def test_a_keeper_that_does_not_end_is_killed(run_daemon, port):
    daemon = run_daemon(echo_service(port()))
    daemon.expect_errors(r"acceptor\.exit")
    pid = daemon.acceptor_pid()
    keeper, = processes.wait_until(lambda: keepers_of(pid), "it has its title")
    os.kill(keeper, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    new_acceptor(daemon, pid)
    assert not processes.alive(keeper)


@pytest.mark.sanitized
def test_restart_acceptor_costs_no_client_anything(run_daemon, port, rounds):
    number, count = port(), rounds(5)
    daemon = run_daemon(echo_service(number))
    with clients.Held() as held, Load(number, 128) as load:
        for _ in range(50):
            held.open(number)
        for _ in range(count):
            pid = daemon.acceptor_pid()
            run = daemon.ctl("restart", "acceptor")
            assert run.returncode == 0, run
            assert new_acceptor(daemon, pid)
        for sock in held.socks:
            clients.echo_on(sock, b"never cut\n")
        held.close()
        result = load.stop()
    check_nobody_noticed(daemon, result, 50)
    print(f"restart acceptor, {count} times: {result['ok']} ok, {result['failed']} failed, "
          f"longest {result['longest_ms']} ms")
    assert len(daemon.events("acceptor.replaced")) == count
    assert not daemon.events("acceptor.exit")
