"""How a service manager starts and watches the dispatcher: sockets that it lends, what it is told, and
the unit that ships. No manager runs here: its side is played by a socket and a launcher."""

import configparser
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until

LAUNCHER = """
import os, sys
fds, names, count, told, program = sys.argv[1:6]
for at, fd in enumerate(fds.split(",")):
    os.dup2(int(fd), 100 + at)
for at, fd in enumerate(fds.split(",")):
    os.dup2(100 + at, 3 + at)
os.closerange(3 + int(count), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=told, LISTEN_FDNAMES=names)
os.execv(program, sys.argv[5:])
"""


def listening(*address, family=socket.AF_INET):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address if family == socket.AF_INET else address[0])
    sock.listen(64)
    return sock


def lend(daemon, *named, told=None):
    """Has the daemon started with these (name, socket) as descriptors 3, 4, ..., as sd_listen_fds(3).
    told: how many it is told they are, if not as many as they are."""
    daemon.pass_fds = [sock.fileno() for _, sock in named]
    daemon.prefix = ["/usr/bin/python3", "-c", LAUNCHER, ",".join(map(str, daemon.pass_fds)),
                     ":".join(name for name, _ in named), str(len(named)), told or str(len(named))]


def inode(sock):
    return os.readlink(f"/proc/self/fd/{sock.fileno()}")


@pytest.mark.sanitized
def test_inherited_listeners_are_taken_by_address_and_by_name(make_daemon, directory, port):
    by_address, elsewhere, by_name = port(), port(), port()
    path = f"{directory}/lent.sock"
    daemon = make_daemon(
        service("echo", by_address, f"unix:{path}", IMAGE="dispatcher-echo"),
        service("named", by_name, IMAGE="dispatcher-echo"))
    with listening("127.0.0.1", by_address) as one, listening("127.0.0.1", elsewhere) as two, \
            listening(path, family=socket.AF_UNIX) as three, \
            listening("127.0.0.1", port()) as nobodys:
        lend(daemon, ("x", one), ("named", two), ("y", three), ("stranger", nobodys))
        daemon.start()
        held = set(processes.descriptors(daemon.supervisor_pid).values())
        assert {inode(one), inode(two), inode(three)} <= held
        assert inode(nobodys) not in held
        assert daemon.events("listener.unused", "fd_name=stranger")
        for address in (by_address, elsewhere, path):
            clients.echo(address)
        for worker in daemon.workers("echo"):
            with open(f"/proc/{worker['pid']}/environ") as environment:
                assert "LISTEN_" not in environment.read()
        assert daemon.shut_down() == 0
        # They are lent: who waits now is served by whoever is started with them next.
        for address in (by_address, elsewhere, path):
            with clients.connect(address):
                pass
    assert os.path.exists(path)


@pytest.mark.sanitized
def test_listeners_that_are_lent_outlive_a_kill_9_of_the_supervisor(make_daemon, directory, port):
    number, path = port(), f"{directory}/lent.sock"
    daemon = make_daemon(service("echo", number, f"unix:{path}", IMAGE="dispatcher-echo"))
    daemon.expect_errors(r"supervisor\.gone")
    with listening("127.0.0.1", number) as one, listening(path, family=socket.AF_UNIX) as two:
        lend(daemon, ("x", one), ("y", two))
        daemon.start()
        with Load(number, 8) as load, Load(path, 4) as local:
            for again in (True, False):  # once they are lent again, once they are not
                daemon.wait_service(lambda one: one["done"] > 50, "the load goes on")
                daemon.process.kill()
                daemon.process.wait()
                if not again:
                    daemon.prefix, daemon.pass_fds = [], []
                daemon.start()
            results = load.stop(), local.stop()
        assert all(result["failed"] == {} for result in results), results


@pytest.mark.sanitized
def test_listeners_that_are_lent_stay_so_over_upgrades(make_daemon, directory, port):
    elsewhere, path = port(), f"{directory}/lent.sock"
    daemon = make_daemon(service("named", port(), f"unix:{path}", IMAGE="dispatcher-echo"))
    with listening("127.0.0.1", elsewhere) as one, listening(path, family=socket.AF_UNIX) as two:
        lend(daemon, ("named", one), ("y", two))
        daemon.start()
        for _ in range(2):
            daemon.order("upgrade")
        daemon.order("shutdown", "named")
        daemon.order("start", "named")
        for address in (elsewhere, path):
            clients.echo(address)
        assert daemon.shut_down() == 0
        for address in (elsewhere, path):
            with clients.connect(address):
                pass


def test_a_wrong_number_of_inherited_descriptors_is_told_and_ignored(make_daemon, port):
    number = port()
    daemon = make_daemon(service("echo", number, IMAGE="dispatcher-echo"))
    with listening("127.0.0.1", port()) as sock:
        lend(daemon, ("echo", sock), told="99999")
        daemon.start()
    assert daemon.events("config.warning", "LISTEN_FDS")
    clients.echo(number)


# --- what it is told ---


class Manager:
    """The side of the service manager: it collects what the dispatcher says."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        name = "@" + address[1:] if address.startswith("\0") else address
        self.environment, self.said = {"NOTIFY_SOCKET": name}, []

    def listen(self):
        """Everything that was ever said, a message each."""
        while True:
            try:
                self.said.append(self.sock.recv(65536).decode())
            except BlockingIOError:
                return self.said

    def await_words(self, pattern, seconds=15):
        return wait_until(lambda: [m for m in self.listen() if re.search(pattern, m, re.M)],
                          lambda: f"{pattern}: {self.said}", seconds)

    def position(self, pattern):
        return next(i for i, m in enumerate(self.listen()) if re.search(pattern, m, re.M))


@pytest.fixture
def make_manager(directory):
    made = []

    def make(address=None):
        made.append(Manager(address or str(directory / "notify")))
        return made[-1]

    yield make
    for manager in made:
        manager.sock.close()


def managed(make_daemon, manager, *sections, **environment):
    return make_daemon(*sections, environment=dict(manager.environment, **environment))


@pytest.mark.sanitized
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_readiness_status_and_end_are_told(make_daemon, make_manager, port, kind):
    number = port()
    manager = make_manager(None if kind == "path" else f"\0dispatcher-test-{number}")
    daemon = managed(make_daemon, manager, service("echo", number, IMAGE="dispatcher-echo",
                                                   MIN_PROCS=2, MAX_PROCS=2)).start()
    assert f"MAINPID={daemon.supervisor_pid}" in manager.await_words("^READY=1$")[0]
    manager.await_words("^STATUS=1 service open, 2 workers, 0 connections$")
    with clients.Held() as held:
        held.open(number)
        manager.await_words("^STATUS=1 service open, 2 workers, 1 connection$")
    assert daemon.shut_down() == 0
    manager.await_words("^STOPPING=1$")
    manager.await_words("^STATUS=shutting down: ")
    assert manager.position("^READY=1$") < manager.position("^STOPPING=1$")


def test_the_status_names_a_service_that_cannot_be_opened(make_daemon, make_manager, port):
    taken, manager = port(), make_manager()
    with listening("127.0.0.1", taken):
        daemon = managed(make_daemon, manager, service("echo", taken, IMAGE="dispatcher-echo"))
        daemon.expect_errors(r"service\.failed")
        daemon.start(ready=False)
        manager.await_words("^STATUS=echo failed .*Address already in use.*; 0 services open")
        manager.await_words("^READY=1$")
    manager.await_words("^STATUS=1 service open")


def test_without_a_manager_nobody_is_told_and_workers_never_hear_of_one(
        make_daemon, make_manager, port):
    daemon = managed(make_daemon, make_manager(), service("echo", port(), IMAGE="dispatcher-echo"),
                     WATCHDOG_USEC="60000000").start()
    for worker in daemon.workers():
        with open(f"/proc/{worker['pid']}/environ") as environment:
            assert not re.search("NOTIFY|WATCHDOG|LISTEN", environment.read())


@pytest.mark.sanitized
def test_the_watchdog_is_fed_and_an_acceptor_that_hangs_is_replaced(make_daemon, make_manager, port):
    number, manager = port(), make_manager()
    daemon = managed(make_daemon, manager, service("echo", number, IMAGE="dispatcher-echo"),
                     WATCHDOG_USEC="3000000")
    daemon.expect_errors(r"acceptor\.(hangs|exit)")
    daemon.start()
    wait_until(lambda: manager.listen().count("WATCHDOG=1") >= 2, lambda: manager.said, 15)
    hung = daemon.acceptor_pid()
    os.kill(hung, signal.SIGSTOP)
    clients.echo(number, seconds=30)
    assert not processes.alive(hung)
    assert len(daemon.events("acceptor.hangs")) == 1
    before = manager.listen().count("WATCHDOG=1")
    wait_until(lambda: manager.listen().count("WATCHDOG=1") >= before + 2, lambda: manager.said, 15)


def test_a_reload_is_told_from_its_begin_to_its_end(make_daemon, make_manager, port):
    manager = make_manager()
    daemon = managed(make_daemon, manager, service("echo", port(), IMAGE="dispatcher-echo")).start()
    manager.await_words("^READY=1$")
    assert daemon.ctl("reload").returncode == 0
    began = manager.await_words("^RELOADING=1$")[0]
    assert int(re.search(r"^MONOTONIC_USEC=(\d+)$", began, re.M)[1]) <= time.monotonic_ns() // 1000
    wait_until(lambda: "READY=1" in manager.listen()[manager.position("^RELOADING=1$"):],
               lambda: manager.said)


def test_an_upgrade_stays_the_process_that_the_manager_knows(make_daemon, make_manager, port):
    manager = make_manager()
    daemon = managed(make_daemon, manager, service("echo", port(), IMAGE="dispatcher-echo"),
                     WATCHDOG_USEC="2000000").start()
    assert len(manager.await_words(f"^MAINPID={daemon.supervisor_pid}$")) == 1
    assert daemon.ctl("upgrade").returncode == 0
    wait_until(lambda: len(manager.await_words(f"^MAINPID={daemon.supervisor_pid}$")) == 2,
               lambda: manager.said)
    fed = manager.listen().count("WATCHDOG=1")
    wait_until(lambda: manager.listen().count("WATCHDOG=1") > fed, lambda: manager.said)
    assert "STOPPING=1" not in manager.listen()


def test_a_watchdog_of_another_process_is_not_fed(make_daemon, make_manager, port):
    manager = make_manager()
    managed(make_daemon, manager, service("echo", port(), IMAGE="dispatcher-echo"),
            WATCHDOG_USEC="200000", WATCHDOG_PID="1").start()
    manager.await_words("^READY=1$")
    time.sleep(0.5)  # five times the interval
    assert "WATCHDOG=1" not in manager.listen()


def score(pid):
    with open(f"/proc/{pid}/oom_score_adj") as file:
        return int(file.read())


def scores_written(trace):
    """What each process wrote as its score, by pid, as strace saw it; also where the kernel refused."""
    line = re.compile(r'^(\d+) +write\(\d+</proc/\d+/oom_score_adj>, "(-?\d+)"')
    return {int(pid): int(value)
            for pid, value in (found.groups() for found in map(line.match, trace.splitlines()) if found)}


@pytest.mark.root
def test_the_kernel_kills_workers_for_memory_before_acceptor_and_supervisor(make_daemon, port, directory):
    """Where not even root may lower a score, in a container say, what was asked of the kernel counts."""
    trace = directory / "trace"
    daemon = make_daemon(service("echo", port(), IMAGE="dispatcher-echo"))
    daemon.prefix = ["strace", "-D", "-f", "-y", "-e", "trace=write", "-o", trace]
    daemon.start()
    expected = {daemon.supervisor_pid: -900, daemon.acceptor_pid(): -500,
                **{worker["pid"]: 0 for worker in daemon.workers()}}
    assert daemon.shut_down() == 0
    wait_until(lambda: "+++ exited with 0 +++" in trace.read_text().splitlines()[-1], "the trace has ended")
    written = scores_written(trace.read_text())
    assert {pid: written.get(pid) for pid in expected} == expected


def test_workers_are_not_spared_even_if_the_dispatcher_was_started_otherwise(make_daemon, port):
    daemon = make_daemon(service("echo", port(), IMAGE="dispatcher-echo"))
    daemon.prefix = ["/bin/sh", "-c", 'echo 500 >/proc/self/oom_score_adj; exec "$@"', "sh"]
    daemon.start()
    assert [score(worker["pid"]) for worker in daemon.workers()] == [0]


# --- the unit ---


@pytest.fixture
def unit(stage, directory):
    """The unit as it is installed, but with the programs under test."""
    text = (stage.build / "config" / "dispatcher.service").read_text()
    path = directory / "dispatcher.service"
    path.write_text(re.sub(r"^(Exec\w+=)\S*/(dispatcher\w*)", rf"\1{stage.bin}/\2", text, flags=re.M))
    return path


def read_unit(path):
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str
    parser.read(path)
    return parser


def test_systemd_finds_nothing_to_complain_of_in_the_unit(unit):
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                         text=True, check=False)
    said = [line for line in run.stderr.splitlines() if "dispatcher" in line]
    assert (run.returncode, said) == (0, []), run


def seconds(text):
    number, factor = re.fullmatch(r"(\d+)(ms|s|m)?", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, None: 1}[factor]


def test_systemd_waits_longer_for_the_end_than_the_dispatcher_does(stage, unit, make_daemon, port):
    daemon = make_daemon(service("echo", port(), IMAGE="dispatcher-echo"))
    daemon.log_path.touch()  # it is never started
    shown = subprocess.run([stage.program("dispatcher"), "-t", "-c", daemon.config_path],
                           capture_output=True, text=True, check=True).stdout
    ours = sum(seconds(re.search(rf"^{option}=(\S+)", shown, re.M)[1])
               for option in ("SHUTDOWN_TIMEOUT", "KILL_TIMEOUT"))
    assert seconds(read_unit(unit)["Service"]["TimeoutStopSec"]) > ours + 5


def test_the_unit_lets_workers_be_what_they_are(unit):
    options = read_unit(unit)["Service"]
    assert options["KillMode"] == "process" and options["OOMPolicy"] == "continue"
    assert options["RestartPreventExitStatus"] == "78"
    inherited = {"NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "SystemCallFilter",
                 "RestrictSUIDSGID", "PrivateUsers", "User", "DynamicUser", "MemoryDenyWriteExecute",
                 "SystemCallArchitectures", "RestrictNamespaces", "LockPersonality"}
    sandboxing = [name for name in options
                  if name in inherited or name.startswith(("Protect", "Private", "Restrict"))]
    assert not sandboxing
