"""Signals to the supervisor, a second start, and what it leaves behind."""

import os
import signal
import subprocess

import pytest

from harness.clients import Held, connect, echo, is_served, receive_all
from harness.daemon import service
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized


def positions(daemon, event, key=""):
    """Where in the log this event of whom key names stands."""
    return [at for at, line in enumerate(daemon.log().splitlines())
            if line.split(" ")[2] == event and key in line]


@pytest.fixture
def daemon(run_daemon, port):
    daemon = run_daemon(*(service(name, port(), IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=3)
                          for name in ("one", "two")))
    daemon.port = int(daemon.service("one")["listeners"][0]["address"].rpartition(":")[2])
    return daemon


def test_int_ends_everything_now_and_tells_of_every_worker_and_service(daemon):
    with Held() as held:
        for _ in range(4):
            held.open(daemon.port)
        assert daemon.shut_down(signal.SIGINT, seconds=10) == 0
        for sock in held.socks:
            try:
                assert receive_all(sock) == b""
            except ConnectionResetError:
                pass
    assert len(daemon.events("worker.exit")) == 4
    assert len(daemon.events("service.closed")) == 2
    assert not daemon.events("worker.signal", "reason=drain-timeout")
    assert len(daemon.events("worker.exit", "reason=closed")) == 4


def test_the_dispatcher_s_own_time_bounds_a_shutdown_of_everything(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", SHUTDOWN_TIMEOUT=0),
                        own="SHUTDOWN_TIMEOUT=500ms")
    with Held() as held:
        held.open(number)
        assert daemon.shut_down(signal.SIGTERM, seconds=10) == 0
    assert daemon.events("worker.signal", "signal=TERM")


def test_int_needs_no_acceptor(daemon):
    daemon.expect_errors("acceptor.exit")
    os.kill(daemon.acceptor_pid(), signal.SIGSTOP)
    assert daemon.shut_down(signal.SIGINT, seconds=10) == 0
    assert daemon.events("dispatcher.stopped")


def test_int_hurries_a_shutdown_that_drains(daemon):
    with Held() as held:
        held.open(daemon.port)
        os.kill(daemon.supervisor_pid, signal.SIGTERM)
        daemon.wait_event("dispatcher.stopping", "by=SIGTERM")
        assert is_served(held.socks[0])
        assert daemon.process.poll() is None
        assert daemon.shut_down(signal.SIGINT, seconds=10) == 0
    assert max(positions(daemon, "worker.exit")) < max(positions(daemon, "service.closed"))


def test_term_lets_everybody_finish(daemon):
    sock = connect(daemon.port)
    assert is_served(sock)
    os.kill(daemon.supervisor_pid, signal.SIGTERM)
    daemon.wait_event("dispatcher.stopping", "by=SIGTERM")
    wait_until(lambda: refused(daemon.port), "the port is closed")
    assert is_served(sock)
    sock.close()
    assert daemon.process.wait(10) == 0
    assert all("lost=0" in line for line in daemon.events("worker.exit"))


def refused(port):
    try:
        connect(port, 3).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_second_start_says_who_runs_and_touches_nothing(daemon):
    run = daemon.directory / "run"

    def look():
        return sorted((path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in run.iterdir())

    before, log = look(), daemon.log()
    second = subprocess.run([daemon.stage.program("dispatcher"), "-c", daemon.config_path],
                            capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert second.returncode == 1
    assert f"already running as process {daemon.supervisor_pid} ({run})" in second.stderr
    assert look() == before and daemon.log() == log
    assert (run / "dispatcher.pid").read_text() == f"{daemon.supervisor_pid}\n"
    echo(daemon.port)


def test_what_was_killed_leaves_a_lock_that_keeps_nobody_out(daemon):
    daemon.expect_errors("supervisor.gone")
    acceptor = daemon.acceptor_pid()
    os.kill(daemon.supervisor_pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    assert daemon.supervisor_pid != acceptor
    assert (daemon.directory / "run" / "dispatcher.pid").read_text() == f"{daemon.supervisor_pid}\n"
    echo(daemon.port)
