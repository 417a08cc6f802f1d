"""The supervisor becomes the installed binary: nobody notices, or nothing has happened."""

import os
import re
import shutil

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized


@pytest.fixture
def installed(make_daemon, stage, directory):
    """installed(section...): a running dispatcher whose program is a file of its own, to be replaced."""
    def start(*sections, **more):
        daemon = make_daemon(*sections, **more)
        daemon.program = directory / "dispatcher"
        shutil.copy(stage.program("dispatcher"), daemon.program)
        return daemon.start()

    return start


def install(daemon, source):
    """Puts another program in the place, as a package manager does."""
    fresh = daemon.program.with_suffix(".new")
    shutil.copy(source, fresh)
    fresh.chmod(0o755)
    os.rename(fresh, daemon.program)


def echo(number, **options):
    return service("echo", number, IMAGE="dispatcher-echo",
                   **dict(dict(MIN_PROCS=2, MAX_PROCS=4, MAX_LIFE_CONNS=0), **options))


def test_an_upgrade_to_the_same_program_cuts_and_refuses_nobody(installed, port, stage):
    number = port()
    daemon = installed(echo(number))
    before = daemon.status()["dispatcher"]
    with clients.Held() as held:
        socks = [held.open(number) for _ in range(20)]
        with Load(number, 4) as load:
            install(daemon, stage.program("dispatcher"))
            result = daemon.order("upgrade")
            wait_until(lambda: daemon.acceptor_pid() != before["acceptor_pid"], "a new acceptor")
            figures = load.stop()
        for sock in socks:
            clients.echo_on(sock)
    assert figures["failed"] == {} and figures["ok"] > 0, figures
    assert re.search("took the place", result["text"]), result
    assert daemon.process.poll() is None
    after = daemon.status()["dispatcher"]
    assert after["supervisor_pid"] == before["supervisor_pid"]
    one = daemon.wait_service(lambda one: one["connections"] == 0, "all have left")
    assert one["handed"] == one["done"] == figures["ok"] + 20, (one, figures)
