"""Limits of descriptors, of sources, of memory: what happens at them, and that nothing grows."""

import contextlib
import resource
import socket
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until


def settled_pss(pid):
    """The least of a few readings: pages that others share come and go."""
    return min(processes.pss_kib(pid) for _ in range(5))


@pytest.mark.root
def test_10000_idle_connections_cost_acceptor_and_supervisor_nothing(run_daemon, port):
    number, count = port(), 10000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard > count + 100, "this test holds 10,000 sockets: raise the hard limit of descriptors"
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=10, MAX_PROCS=10,
                                MIN_CONNS=1000, MAX_CONNS=1100, LIMIT_NOFILE=2000))
    pids = {"supervisor": daemon.supervisor_pid, "acceptor": daemon.acceptor_pid()}
    before_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        # Once up and down: what is touched for the first time is not growth.
        hold_and_measure(daemon, number, 200, pids)
        before = {who: (processes.descriptors(pid), settled_pss(pid)) for who, pid in pids.items()}
        during = hold_and_measure(daemon, number, count, pids)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before_limit)
    for who in pids:
        assert sorted(during[who][0].values()) == sorted(before[who][0].values()), who
        assert during[who][1] <= before[who][1] + 64, (who, before[who][1], during[who][1])


def hold_and_measure(daemon, number, count, pids):
    socks = [clients.connect(number) for _ in range(count)]
    try:
        daemon.wait_service(lambda one: one["settled"] and one["connections"] == count,
                            f"{count} are held", seconds=60)
        for sock in socks[::97]:
            clients.echo_on(sock)
        return {who: (processes.descriptors(pid), settled_pss(pid)) for who, pid in pids.items()}
    finally:
        for sock in socks:
            sock.close()
        daemon.wait_service(lambda one: one["settled"] and one["connections"] == 0, "all closed",
                            seconds=60)


def test_at_the_descriptor_limit_the_acceptor_rests_and_drops_nobody(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=2))
    daemon.expect_errors(r"accept\.paused")
    pid = daemon.acceptor_pid()
    was = processes.limit_descriptors(pid, 3)  # below what it has: not one more
    with clients.Held() as held:
        for _ in range(20):
            held.open(number, served=False)
        daemon.wait_event("accept.paused")
        used = processes.cpu_seconds(pid)
        time.sleep(2)  # the measure is CPU over time
        assert processes.cpu_seconds(pid) - used < 0.2, "the acceptor spins"
        assert len(daemon.events("accept.paused")) == 1
        processes.limit_descriptors(pid, was)
        for sock in held.socks:
            assert clients.is_served(sock, seconds=10)
    assert daemon.service()["lost"] == 0


def test_one_source_may_not_fill_the_pool(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MAX_CONNS_PER_SOURCE=3,
                                EXEMPT_SOURCES="127.0.0.9", PORT=[f"127.0.0.9:{number}"]))
    with clients.Held() as held:
        for _ in range(3):
            held.open(number)
        with clients.connect(number) as fourth:
            assert closed_at_once(fourth)
        other = socket.create_connection(("127.0.0.1", number), source_address=("127.0.0.2", 0))
        with other:
            clients.echo_on(other)
        for _ in range(5):  # exempt
            sock = socket.create_connection(("127.0.0.1", number), source_address=("127.0.0.9", 0))
            held.enter_context(sock)
            sock.settimeout(5)
            clients.echo_on(sock)
        one = daemon.wait_service(lambda one: one["refused"] == 1, "one was refused")
        daemon.wait_event("connection.refused", "service=echo", "peer=127.0.0.1")
        held.close_one()
        daemon.wait_service(lambda one: one["connections"] == 7, "one has gone")
        clients.echo(number)


def closed_at_once(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_refusals_of_one_source_are_one_line_a_minute(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MAX_CONNS_PER_SOURCE=1))
    with clients.Held() as held:
        held.open(number)
        for _ in range(50):
            with clients.connect(number) as sock:
                assert closed_at_once(sock)
        daemon.wait_service(lambda one: one["refused"] == 50, "50 were refused")
    daemon.shut_down()
    assert len(daemon.events("connection.refused")) == 1


def test_memory_and_descriptors_do_not_grow_with_traffic(run_daemon, port, rounds):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=4, MAX_PROCS=4,
                                MAX_LIFE_CONNS=500))
    pids = {"supervisor": daemon.supervisor_pid, "acceptor": daemon.acceptor_pid()}
    with Load(number, 32, 3000) as load:
        load.wait()
    before = {who: settled_pss(pid) for who, pid in pids.items()}
    with Load(number, 32, rounds(20000)) as load:
        assert load.wait()["failed"] == {}
    for who, pid in pids.items():
        assert settled_pss(pid) <= before[who] + 64, (who, before[who], settled_pss(pid))


@contextlib.contextmanager
def counting_calls(stage, pid, *symbols):
    """Yields a dictionary that holds the calls of each symbol in pid once the block has ended."""
    calls = {}
    counter = subprocess.Popen([stage.program("count-calls"), str(pid), *symbols], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert counter.stdout.readline() == "ready\n"
    try:
        yield calls
    finally:
        output, _ = counter.communicate(timeout=10)
        calls.update((name, int(count)) for name, count in map(str.split, output.splitlines()))


@pytest.mark.root
def test_a_connection_costs_the_acceptor_no_allocation(run_daemon, port, stage):
    if not stage.has("count-calls"):
        pytest.skip("no counter of calls on this architecture")
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=2,
                                MAX_CONNS_PER_SOURCE=40, LOG_CONNECTIONS=1))
    pid = daemon.acceptor_pid()
    for _ in range(100):  # whatever is made once has been made
        clients.echo(number)
    with counting_calls(stage, pid, "malloc", "calloc", "realloc") as calls, clients.Held() as held:
        for _ in range(20):
            held.open(number)
        for _ in range(500):
            clients.echo(number)
    assert sum(calls.values()) == 0, calls


def test_the_backlog_holds_what_nobody_has_room_for(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1,
                                MIN_CONNS=1, MAX_CONNS=2, BACKLOG=64))
    with clients.Held() as held:
        for _ in range(2):
            held.open(number)
        for _ in range(30):
            held.open(number, served=False)
        daemon.wait_service(lambda one: one["waiting"] == 30 and one["accepted"] == 2, "30 wait")
        while len(held.socks) > 2:
            held.close_one()
            assert clients.is_served(held.socks[1])


def test_a_leaking_worker_meets_its_own_limit_and_harms_nobody_else(run_daemon, port):
    leaky, well = port(), port()
    daemon = run_daemon(
        service("leaky", leaky, IMAGE="rogue", PARAMETER="MODE=leaks", LIMIT_AS="256M", MIN_PROCS=1,
                MAX_PROCS=1),
        service("well", well, IMAGE="dispatcher-echo"))
    for turn in range(40):
        with clients.connect(leaky) as sock:
            sock.sendall(b"?\n")
            try:
                sock.recv(100)
            except ConnectionResetError:
                pass
        clients.echo(well)
        if daemon.events("worker.exit", "worker=leaky/"):
            break
    daemon.wait_event("worker.exit", "worker=leaky/")
    daemon.wait_service(lambda one: one["state"] == "open", "it goes on", "leaky")
    assert not daemon.events("worker.exit", "worker=well/")


def test_a_storm_of_clients_that_go_away_at_once(run_daemon, port):
    import struct
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=2))
    for _ in range(500):
        with clients.connect(number) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    clients.echo(number)
    wait_until(lambda: daemon.service()["connections"] == 0, "all have gone")
    assert daemon.service()["lost"] == 0
