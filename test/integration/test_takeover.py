"""The supervisor is killed, and the dispatcher started again: what it costs clients and what stays."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from test_programs import Git, Ssh


NOBODY = 65534


def echo_service(*addresses, **options):
    return service("echo", *addresses, IMAGE="dispatcher-echo",
                   **dict(dict(MIN_PROCS=2, MAX_PROCS=4, MIN_CONNS=20, MAX_CONNS=100), **options))


def everybody_but_the_supervisor(daemon):
    status = daemon.status()
    pids = [status["dispatcher"]["acceptor_pid"]]
    return pids + [w["pid"] for one in status["services"] for w in one["workers"]]


def kill_supervisor(daemon, left=None):
    """Returns the acceptor and workers that it leaves behind."""
    left = left or everybody_but_the_supervisor(daemon)
    daemon.expect_errors(r"supervisor\.gone")
    daemon.process.kill()
    daemon.process.wait()
    return left


def wait_gone(pids, seconds=20):
    wait_until(lambda: not any(processes.alive(pid) for pid in pids),
               lambda: f"they are gone: {[(pid, processes.command(pid)) for pid in pids]}", seconds)


@pytest.mark.sanitized
def test_kill_9_of_the_supervisor_and_a_new_start_cost_no_client_anything(
        make_daemon, directory, port, rounds):
    number, path = port(), f"{directory}/echo.sock"
    daemon = make_daemon(echo_service(number, f"unix:{path}"))
    daemon.start()
    left = []
    held = clients.Held()
    with held, Load(number, 16) as load, Load(path, 4) as local:
        for _ in range(rounds(3)):
            held.open(number)
            held.open(path)
            left += kill_supervisor(daemon)
            daemon.start()
            daemon.wait_service(lambda one: one["done"] > 200, "the load goes on")
        results = load.stop(), local.stop()
        for sock in held.socks:
            clients.echo_on(sock, b"never cut\n")
        waiting = [pid for pid in left if processes.alive(pid)]
        assert waiting, "those that serve a held connection live on"
    for result in results:
        print(f"supervisor killed {rounds(3)} times: {result}")
        assert result["failed"] == {} and result["ok"] > 0, result
    wait_gone(left)
    assert len(daemon.events("takeover.done", "listeners=2")) == rounds(3)
    assert len(daemon.events("acceptor.retires")) == rounds(3)
    assert not daemon.events("service.failed")


class Clones(threading.Thread):
    """git clone, again and again; stop() gives how many."""

    def __init__(self, git):
        super().__init__(daemon=True)
        self.git, self.count, self.failure, self.stopping = git, 0, None, False
        self.start()

    def run(self):
        try:
            while not self.stopping:
                self.git.use(f"clone{self.count}")
                self.count += 1
        except Exception as failure:  # told to who waits for us
            self.failure = failure

    def stop(self):
        self.stopping = True
        self.join(60)
        assert self.failure is None, self.failure
        return self.count


@pytest.mark.root
def test_git_and_ssh_notice_nothing_of_a_kill_9_of_the_supervisor(run_daemon, directory, port, rounds):
    made = {}
    for name, kind in (("git", Git), ("ssh", Ssh)):
        (directory / name).mkdir(mode=0o755)
        made[name] = kind(directory / name, port())
    daemon = run_daemon(made["git"].section(), made["ssh"].section())
    left = []
    with subprocess.Popen(made["ssh"].words("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, bufsize=1) as session:
        for number in range(rounds(2)):
            clones = Clones(made["git"])
            wait_until(lambda: clones.count or clones.failure, "the first clone", 30)
            left += kill_supervisor(daemon)
            daemon.start()
            before = clones.count
            wait_until(lambda: clones.count > before or clones.failure, "clones go on", 30)
            print(f"{clones.stop()} clones over a kill")
            for each in (directory / "git").glob("clone*"):
                shutil.rmtree(each)
            print("line", number, file=session.stdin)
            assert session.stdout.readline() == f"line {number}\n"
        session.stdin.close()
    assert session.returncode == 0
    wait_gone(left)


def test_more_listeners_than_a_socket_takes_at_once_are_taken_over(run_daemon, directory):
    paths = [f"{directory}/{number}" for number in range(400)]
    daemon = run_daemon(echo_service(*[f"unix:{path}" for path in paths]))
    left = kill_supervisor(daemon)
    daemon.start()
    assert daemon.events("takeover.done", "listeners=400")
    for path in paths[::50]:
        clients.echo(path)
    wait_gone(left)


@pytest.mark.root
def test_without_root_its_own_user_takes_over_too(make_daemon, directory, port):
    number, path = port(), directory / "d0" / "echo.sock"
    daemon = make_daemon(echo_service(number, f"unix:{path}"))
    daemon.user = NOBODY
    for each in (daemon.directory, *daemon.directory.iterdir()):
        os.chown(each, NOBODY, NOBODY)
    daemon.start()
    with clients.Held() as held:
        held.open(number)
        left = kill_supervisor(daemon)
        daemon.start()
        assert daemon.events("takeover.done", "listeners=2")
        clients.echo_on(held.socks[0], b"never cut\n")
        clients.echo(number)
        clients.echo(path)
    wait_gone(left)


def test_nobody_but_the_supervisor_holds_the_lock(run_daemon, port):
    daemon = run_daemon(echo_service(port()))

    def holders(pids):
        return [pid for pid in pids
                if any("dispatcher.lock" in what for what in processes.descriptors(pid).values())]

    assert holders([daemon.supervisor_pid]) == [daemon.supervisor_pid]
    assert holders(processes.descendants(daemon.supervisor_pid)) == []


def test_workers_serve_what_they_have_after_the_acceptor_was_taken_over(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    with clients.Held() as held:
        held.open(number)
        left = kill_supervisor(daemon)
        daemon.start()
        clients.echo_on(held.socks[0], b"still served\n")
        clients.echo(number)
        daemon.wait_service(lambda one: one["connections"] == 0, "the held one is not ours")
        clients.echo_on(held.socks[0], b"still served\n")
    wait_gone(left)


def test_clients_that_nobody_has_room_for_are_served_by_the_next_dispatcher(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number, MIN_PROCS=1, MAX_PROCS=1, MIN_CONNS=1, MAX_CONNS=1,
                                     MAX_SHUTDOWN=1))
    with clients.Held() as held:
        held.open(number)
        waiting = held.open(number, served=False)
        daemon.wait_service(lambda one: one["held"], "it waits in the backlog")
        left = kill_supervisor(daemon)
        daemon.start(ready=False)
        clients.echo_on(waiting)
        clients.echo_on(held.socks[0])
    wait_gone(left)


def test_status_and_log_say_since_when_the_supervisor_is_gone(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    left = kill_supervisor(daemon)
    daemon.wait(lambda status: status["dispatcher"]["supervisor_gone"], "noticed")
    shown = daemon.ctl("status")
    assert shown.returncode == 0
    assert "start the dispatcher again" in shown.stdout, shown.stdout
    daemon.start()
    assert daemon.status()["dispatcher"]["supervisor_gone"] is None
    wait_gone(left)


def test_a_new_dispatcher_that_dies_at_once_leaves_the_former_acceptor_serving(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    daemon.expect_errors(r"takeover\.failed")
    left = kill_supervisor(daemon)
    with Load(number, 8) as load:
        for _ in range(3):
            daemon.start(ready=False)
            time.sleep(random.random() * 0.3)  # somewhere within its start
            daemon.process.kill()
            daemon.process.wait()
        daemon.start()
        result = load.stop()
    assert result["failed"] == {}, result
    wait_gone(left)


def test_a_dispatcher_killed_in_its_shutdown_can_be_started_again(run_daemon, directory, port):
    number, path = port(), f"{directory}/echo.sock"
    daemon = run_daemon(echo_service(number, f"unix:{path}"))
    with clients.Held() as held:
        held.open(number)
        left = everybody_but_the_supervisor(daemon)
        os.kill(daemon.supervisor_pid, signal.SIGTERM)
        daemon.wait_event("dispatcher.stopping")
        kill_supervisor(daemon, left)
        daemon.start()
        clients.echo(number)
        clients.echo(path)
        clients.echo_on(held.socks[0], b"never cut\n")
    wait_gone(left)


# --- who is at the control socket ---

IMPOSTOR = """
import array, os, socket, struct, sys, threading, time
path, how, port, unix_path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if how == "stranger":
    os.setgid(65534); os.setuid(65534)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(8)
print("ready", flush=True)

def tcp(address, listens=True):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    if listens:
        sock.listen(8)
    return sock

def give(client, kind, sock=None):
    fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))] if sock else []
    client.sendmsg([struct.pack("II", 0x44535431, kind)], fds)

def wrong_sockets(client):
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", port))
    moved = socket.socket(socket.AF_UNIX)
    moved.bind(unix_path + ".new")
    moved.listen(8)
    os.unlink(unix_path + ".new")
    another = socket.socket(socket.AF_UNIX)
    another.bind(unix_path)
    give(client, 1, datagram)
    give(client, 1, tcp(("127.0.0.2", port)))
    give(client, 1, tcp(("127.0.0.1", port), listens=False))
    give(client, 1, client)
    give(client, 1, moved)
    give(client, 1, open("/dev/null"))
    give(client, 1)
    give(client, 2)

def serve(client):
    request = client.recv(4096)
    if b"takeover" not in request: # a test that looks whether the real one answers yet
        return client.close()
    if how == "garbage":
        client.sendall(b"\\x00\\xff" * 3000)
    elif how == "refuses":
        client.sendall(b'{"status":1,"error":"no"}\\n')
    elif how == "closes":
        return client.close()
    else:
        client.sendall(b'{"status":0,"error":null}\\n')
        if how == "wrong":
            wrong_sockets(client)
        elif how == "endless":
            while True:
                give(client, 1, client)
    time.sleep(60)

while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


@contextlib.contextmanager
def impostor(daemon, how, number=1, path="/nowhere"):
    daemon.control_path.unlink(missing_ok=True)
    (daemon.directory / "run").chmod(0o777)
    process = subprocess.Popen(["/usr/bin/python3", "-c", IMPOSTOR, daemon.control_path, how, str(number),
                                str(path)], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def check_start_beside(make_daemon, number, how, **where):
    daemon = make_daemon(echo_service(number, *[f"unix:{path}" for path in where.values()]))
    daemon.expect_errors(r"takeover\.failed")
    with impostor(daemon, how, number, **where):
        began = time.monotonic()
        daemon.start(ready=False)
        daemon.wait(daemon.is_ready, "ready all the same", 40)
        took = time.monotonic() - began
        clients.echo(number)
    assert not daemon.events("listener.adopted")
    return daemon, took


@pytest.mark.root
def test_a_control_socket_of_another_user_is_not_even_asked(make_daemon, port):
    daemon, _ = check_start_beside(make_daemon, port(), "stranger")
    assert daemon.events("takeover.failed", "made by user 65534")


@pytest.mark.parametrize("how", ["garbage", "refuses", "closes", "endless"])
def test_who_does_not_keep_to_the_protocol_gives_nothing(make_daemon, port, how):
    daemon, _ = check_start_beside(make_daemon, port(), how)
    assert daemon.events("takeover.failed")


@pytest.mark.sanitized
def test_only_listening_sockets_of_configured_addresses_are_taken(make_daemon, directory, port):
    daemon, _ = check_start_beside(make_daemon, port(), "wrong", path=f"{directory}/echo.sock")
    assert daemon.events("takeover.done", "listeners=0")
    assert daemon.events("takeover.failed", f"unix:{directory}/echo.sock is not taken")


def test_who_hangs_delays_the_start_by_ten_seconds(make_daemon, port):
    daemon, took = check_start_beside(make_daemon, port(), "hangs")
    assert 10 <= took < 30
    assert daemon.events("takeover.failed", "within 10 s")
    wait_until(lambda: not [pid for pid in processes.descendants(daemon.supervisor_pid)
                            if "heir" in processes.command(pid)], "the heir was killed")


RECORD = struct.Struct("II")
MAGIC, ALL, DONE = 0x44535431, 2, 3


def agree(server):
    """The next connection to this former acceptor, which has been told that it may have everything."""
    connection, _ = server.accept()
    connection.settimeout(20)
    assert b"takeover" in connection.recv(4096)
    connection.sendall(b'{"status":0,"error":null}\n')
    return connection


def has_read_all(connection, pid):
    """It waits for the end of its lease: it sleeps, and nothing is left for it to read."""
    unread = fcntl.ioctl(connection, termios.TIOCOUTQ, struct.pack("i", -1))
    return struct.unpack("i", unread)[0] == 0 and processes.stat(pid)[0] == "S"


def test_a_former_acceptor_is_told_to_retire_though_the_heir_was_killed(make_daemon, port):
    daemon = make_daemon(echo_service(port()))
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(20)
        server.bind(str(daemon.control_path))
        server.listen(8)
        daemon.start(ready=False)
        with agree(server) as first:
            heir = next(pid for pid in processes.descendants(daemon.supervisor_pid)
                        if "heir" in processes.command(pid))
            os.kill(daemon.supervisor_pid, signal.SIGSTOP)
            first.sendall(RECORD.pack(MAGIC, ALL))
            wait_until(lambda: has_read_all(first, heir), "the heir holds the lease")
            os.kill(heir, signal.SIGKILL)
            wait_gone([heir])
            os.kill(daemon.supervisor_pid, signal.SIGCONT)
            assert first.recv(1) == b"", "the lease has ended"
        with agree(server) as second:
            second.sendall(RECORD.pack(MAGIC, ALL))
            assert second.recv(RECORD.size) == RECORD.pack(MAGIC, DONE)
    daemon.wait(daemon.is_ready, "our own acceptor has the control socket")


# --- what the killed one leaves ---

def logger_of(daemon):
    return next(pid for pid in processes.descendants(daemon.supervisor_pid)
                if "logger" in processes.command(pid))


TALKER = "/bin/sh -c 'while read line; do echo said:$line >&2; echo $line; done'"


def test_what_workers_print_is_still_logged_when_the_supervisor_is_gone(run_daemon, port):
    number = port()
    daemon = run_daemon(service("talk", number, IMAGE="dispatcher-exec", COMMAND=TALKER))
    with clients.Held() as held:
        held.open(number)
        kill_supervisor(daemon)
        clients.echo_on(held.socks[0], b"orphaned\n")
        daemon.wait_event("worker.output", "said:orphaned")
        daemon.start()
        clients.echo_on(held.socks[0], b"retired\n")
        daemon.wait_event("worker.output", "said:retired")


def test_a_worker_outlives_the_loss_of_supervisor_and_logger_and_may_print(run_daemon, port):
    number = port()
    daemon = run_daemon(service("talk", number, IMAGE="dispatcher-exec", COMMAND=TALKER))
    with clients.Held() as held:
        held.open(number)
        logger = logger_of(daemon)
        kill_supervisor(daemon)
        os.kill(logger, signal.SIGKILL)
        wait_gone([logger])
        for _ in range(10):
            clients.echo_on(held.socks[0], b"heard by nobody\n")
        daemon.start()
        clients.echo_on(held.socks[0], b"still\n")


def test_a_second_start_is_refused_while_the_first_runs(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    with Load(number, 4) as load:
        second = daemon.run_again()
        result = load.stop()
    assert second.returncode == 1
    assert f"already running as process {daemon.supervisor_pid}" in second.stderr
    assert result["failed"] == {}
    assert not daemon.events("takeover.done")


def test_the_verb_takeover_is_refused_while_the_supervisor_lives(run_daemon, port):
    daemon = run_daemon(echo_service(port()))
    with pytest.raises(Exception, match="the supervisor lives"):
        daemon.ask("takeover")
