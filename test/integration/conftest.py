"""Fixtures, and the options of the command line (see README)."""

import os
import signal
import socket

import pytest

from harness import processes
from harness.daemon import Daemon, service
from harness.processes import wait_until
from harness.stage import Stage


def pytest_addoption(parser):
    parser.addoption("--build", default="build", help="the build directory to test")
    parser.addoption("--rounds", type=float, default=float(os.environ.get("ROUNDS", "1")),
                     help="multiplies the rounds of the stress tests; 10 is the long form")
    parser.addoption("--keep", action="store_true", help="keep the directory with all logs")


def pytest_configure(config):
    processes.become_subreaper()


def pytest_collection_modifyitems(config, items):
    """What takes minutes belongs to the long form alone."""
    if config.getoption("--rounds") >= 10:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_runtest_setup(item):
    if item.get_closest_marker("root") and os.getuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(scope="session")
def stage(request):
    made = Stage(request.config.getoption("--build"), request.config.getoption("--keep"))
    if not made.has("dispatcher"):
        made.remove()
        pytest.skip("this build has no dispatcher")
    yield made
    made.remove()


@pytest.fixture
def rounds(request):
    """rounds(100): how often to do what continuous integration does 100 times."""
    factor = request.config.getoption("--rounds")
    return lambda count: max(1, round(count * factor))


@pytest.fixture
def directory(stage):
    """A fresh directory with a short name: the path of a unix socket has room for 107 characters."""
    return stage.fresh_directory()


# Tests that run beside each other (pytest-xdist calls them gw0, gw1, ...) have ports of their own.
PORTS = 2000
_first_port = 20000 + PORTS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 6)
_next_port = os.getpid() * 10 % PORTS


@pytest.fixture
def port():
    """port(): a TCP port that is free, outside of the range of ephemeral ports."""

    def free():
        global _next_port
        while True:
            _next_port = (_next_port + 1) % PORTS
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", _first_port + _next_port))
                    return _first_port + _next_port
                except OSError:
                    continue

    return free


@pytest.fixture(scope="session")
def per_worker(stage):
    """How many descriptors supervisor and acceptor hold for each worker, as measured."""
    found = {}
    for procs in (1, 3):
        where = stage.fresh_directory()
        daemon = Daemon(stage, where, service("measured", f"unix:{where}/sock",
                        IMAGE="dispatcher-echo", MIN_PROCS=procs, MAX_PROCS=3)).start()
        found[procs] = daemon.baseline
        assert daemon.shut_down() == 0, daemon.tail()
    return {who: (found[3][who] - found[1][who]) // 2 for who in ("supervisor", "acceptor")}


@pytest.fixture
def make_daemon(stage, directory, per_worker):
    """make_daemon(section...): a dispatcher, not started. At the end of the test it is held against
    what every test promises: counts, descriptors, zombies, log, exit status, no stray process."""
    made = []

    def make(*sections, **more):
        where = directory / f"d{len(made)}"
        where.mkdir()
        where.chmod(0o755)
        made.append(Daemon(stage, where, *sections, **more))
        return made[-1]

    yield make
    try:
        for daemon in made:
            end_in_order(daemon, per_worker)
        wait_until(lambda: processes.reap() or not strays(),
                   lambda: f"stray processes: {strays()}", 5)
    finally:
        kill_strays()


@pytest.fixture
def run_daemon(make_daemon):
    """run_daemon(section...): a dispatcher that is ready."""
    return lambda *sections, **more: make_daemon(*sections, **more).start()


def end_in_order(daemon, per_worker):
    if daemon.process is None or daemon.process.returncode is not None:
        daemon.check_log()
        return
    if daemon.process.poll() is None:
        daemon.check_counts()
        if daemon.baseline:
            daemon.check_descriptors(per_worker)
        daemon.check_zombies()
    status = daemon.shut_down()
    daemon.check_log()
    assert status == 0, f"exit status {status}\n{daemon.tail()}"


def strays():
    return {pid: processes.command(pid) for pid in processes.descendants(os.getpid())}


def kill_strays():
    for pid in strays():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: processes.reap() or not strays(), "killed strays are gone", 5)
