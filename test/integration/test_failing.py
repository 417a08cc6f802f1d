"""Services whose program goes away while they run, and comes back."""

import contextlib
import os
import shutil
import signal
import time

from harness import clients
from harness.daemon import service


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def gone(image):
    """The file is not there for the length of the block."""
    image.rename(image.with_suffix(".gone"))
    try:
        yield
    finally:
        image.with_suffix(".gone").rename(image)


def run_with_own_image(run_daemon, stage, number):
    image = stage.fresh_directory() / "echo"
    shutil.copy(os.path.join(stage.bin, "dispatcher-echo"), image)
    daemon = run_daemon(service("frail", number, IMAGE=image, MIN_PROCS=2, MAX_PROCS=2))
    daemon.expect_errors("worker.spawn_failed", "service.failed", "acceptor.exit")
    return daemon, image


def wait_state(daemon, state):
    daemon.wait_service(lambda one: one["state"] == state, state, seconds=20)


def test_the_acceptor_rests_while_a_service_that_ran_has_failed(run_daemon, port, stage):
    number = port()
    daemon, image = run_with_own_image(run_daemon, stage, number)
    acceptor = daemon.acceptor_pid()
    with gone(image):
        for worker in daemon.workers():
            os.kill(worker["pid"], signal.SIGKILL)
        wait_state(daemon, "failed")
        before = cpu_seconds(acceptor)
        time.sleep(3)  # what is measured: a back-off of 2 s ends within
        assert cpu_seconds(acceptor) - before < 0.5
        assert daemon.acceptor_pid() == acceptor
    wait_state(daemon, "open")
    clients.echo(number)


def test_who_waits_for_a_failed_service_is_served_later_by_another_acceptor(run_daemon, port, stage):
    number = port()
    daemon, image = run_with_own_image(run_daemon, stage, number)
    pids = [worker["pid"] for worker in daemon.workers()]
    with contextlib.ExitStack() as stack:
        with gone(image):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            socks = [stack.enter_context(clients.connect(number, 20)) for _ in range(4)]
            daemon.wait_service(lambda one: one["connections"] == 4, "four unread offers")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait_state(daemon, "failed")
            acceptor = daemon.acceptor_pid()
            os.kill(acceptor, signal.SIGKILL)
            daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] != acceptor, "another")
        for sock in socks:
            clients.echo_on(sock)


def test_a_server_whose_library_is_missing_fails_by_name_until_it_is_there(make_daemon, port, stage):
    number, programs = port(), stage.fresh_directory()
    command = f"{stage.program('server')} poll 127.0.0.1:{number}"
    daemon = make_daemon(service("adapted", number, ADAPTER="server", COMMAND=command),
                         own=f"WORKER_DIR={programs}")
    daemon.expect_errors("worker.spawn_failed", "service.failed")
    daemon.start(ready=False)
    wait_state(daemon, "failed")
    assert "read dispatcher-preload.so: No such file" in daemon.service()["why"]
    shutil.copy(stage.program("dispatcher-preload.so"), programs)
    wait_state(daemon, "open")
    clients.echo(number)
