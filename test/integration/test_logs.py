"""What the dispatcher and its workers write: complete, rotatable, and never a reason to stop."""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from harness import clients
from harness.daemon import service
from harness.processes import wait_until
from harness.timeline import parse

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "
                  r"(debug|info|notice|warning|error|alert) [a-z]+(\.[a-z_]+)? ?")


def talker(number, text, **options):
    """A service whose worker writes a line to stderr for each connection."""
    return service("talker", number, IMAGE="dispatcher-exec",
                   COMMAND=f"/bin/sh -c 'echo {text} >&2; cat'", **options)


def test_every_line_has_time_level_and_event(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo"))
    clients.echo(number)
    assert daemon.shut_down() == 0
    odd = [line for line in daemon.log().splitlines() if not LINE.match(line)]
    assert not odd
    for event in ("dispatcher.start", "acceptor.start", "service.open", "worker.spawn",
                  "worker.ready", "worker.retire", "worker.exit", "service.closed",
                  "dispatcher.stopping", "dispatcher.stopped"):
        assert daemon.events(event), event


def test_log_connections_tells_each_end(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", LOG_CONNECTIONS=1))
    with clients.Held() as held:
        own = held.open(number).getsockname()
    line = daemon.wait_event("connection.end", "service=echo")[0]
    keys = parse(line)[1]
    assert keys["peer"] == f"127.0.0.1:{own[1]}"
    assert keys["listener"].strip('"') == f"127.0.0.1:{number}"
    assert keys["worker"] == "echo/1" and keys["duration_ms"].isdigit()


def test_output_of_workers_goes_to_the_log_with_their_name(run_daemon, port):
    number = port()
    daemon = run_daemon(talker(number, "words of a worker"))
    clients.echo(number)
    line = daemon.wait_event("worker.output", "worker=talker/1")[0]
    assert "words of a worker" in line


def test_a_log_file_is_written_and_opened_again_at_usr1(run_daemon, port, directory):
    number = port()
    daemon = run_daemon(talker(number, "remarkable", LOGFILE="IMTA_LOG:talker.log"))
    path = daemon.directory / "log" / "talker.log"
    clients.echo(number)
    wait_until(lambda: path.exists() and "remarkable" in path.read_text(), "a line in the file")
    moved = path.with_suffix(".1")
    os.rename(path, moved)
    os.kill(daemon.supervisor_pid, signal.SIGUSR1)
    wait_until(path.exists, "a new file")
    before = moved.read_text()
    clients.echo(number)
    wait_until(lambda: "remarkable" in path.read_text(), "a line in the new file")
    assert moved.read_text() == before


def test_no_line_is_lost_in_a_rotation_under_load(run_daemon, port):
    number, count = port(), 200
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", LOG_CONNECTIONS=1),
                        own="LOGFILE=IMTA_LOG:all.log")
    path = daemon.directory / "log" / "all.log"
    for turn in range(count):
        clients.echo(number)
        if turn % 50 == 25:
            os.rename(path, path.with_suffix(f".{turn}"))
            os.kill(daemon.supervisor_pid, signal.SIGUSR1)
            wait_until(path.exists, "a new file")
    daemon.wait_service(lambda one: one["done"] == count, "all are done")

    def lines():
        return sum(file.read_text().count(" connection.end ")
                   for file in path.parent.iterdir() if file.name.startswith("all."))

    wait_until(lambda: lines() == count, lambda: f"{lines()} of {count} lines")


def test_a_file_that_was_moved_is_followed_though_nobody_says_so(run_daemon, port, rounds):
    number, most = port(), 3000
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", LOG_CONNECTIONS=1,
                                LOGFILE="IMTA_LOG:service.log"), own="LOGFILE=IMTA_LOG:all.log")
    folder, count = daemon.directory / "log", 0
    for turn in range(rounds(1)):
        for name in ("all", "service"):
            os.rename(folder / f"{name}.log", folder / f"{name}.{turn}")
        until = count + most
        while not all((folder / f"{name}.log").exists() for name in ("all", "service")):
            assert count < until, "a new file, within 10 s or so"
            clients.echo(number)
            count += 1
            time.sleep(0.005)
    clients.echo(number)
    daemon.wait_service(lambda one: one["done"] == count + 1, "all are done")

    def lines(of):
        return sum(file.read_text().count(" connection.end ") for file in folder.glob(f"{of}.*"))

    wait_until(lambda: lines("all") == count + 1, lambda: f"{lines('all')} of {count + 1} lines")
    assert lines("service") == 0


def test_every_worker_is_asked_once_to_open_its_own_log_again(run_daemon, port):
    number = port()
    daemon = run_daemon(service("bare", number, IMAGE="rogue", PARAMETER="MODE=honest", MIN_PROCS=1,
                                MAX_PROCS=3))
    with clients.Held() as held:
        held.open(number)
        daemon.order("restart", "bare")  # the old one drains, and is asked as well
        daemon.wait_service(lambda one: len(one["workers"]) == 2, "the old one beside the new one")
        for times in (1, 2):
            daemon.order("reopen")
            for worker in ("bare/1", "bare/2"):
                daemon.wait_event("worker.output", f"worker={worker} ", "log again", count=times)
        acceptor = daemon.acceptor_pid()
        daemon.order("restart", "acceptor")
        daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] != acceptor, "another acceptor")
        daemon.settle()
        daemon.order("reopen")
        for worker in ("bare/1", "bare/2"):
            daemon.wait_event("worker.output", f"worker={worker} ", "log again", count=3)
        assert len(daemon.events("worker.output", "log again")) == 6


def test_a_log_file_that_cannot_be_opened_again_is_named(run_daemon, port):
    daemon = run_daemon(service("echo", port(), IMAGE="dispatcher-echo", LOGFILE="IMTA_LOG:echo.log"))
    path = daemon.directory / "log" / "echo.log"
    path.unlink()
    path.mkdir()
    assert str(path) in daemon.order("reopen", expect=1)["text"]
    path.rmdir()
    daemon.order("reopen")
    assert path.is_file()


@contextlib.contextmanager
def small_disk(path):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.root
def test_a_full_disk_stops_nobody_and_lost_lines_are_counted(run_daemon, port, directory):
    number = port()
    with small_disk(directory / "disk") as disk:
        daemon = run_daemon(talker(number, "x" * 200, LOGFILE=disk / "talker.log"))
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
        for _ in range(20):
            clients.echo(number)
        ballast.unlink()
        clients.echo(number)

        def told():
            clients.echo(number)
            return "log.dropped" in (disk / "talker.log").read_text() + daemon.log()

        wait_until(told, "the number of lost lines is told")
        assert daemon.shut_down() == 0


def test_debug_topics_are_logged_when_asked(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo"), own="DEBUG=-1")
    clients.echo(number)
    for topic in ("handoff", "process", "channel", "statistics"):
        daemon.wait_event("debug", f"topic={topic}")


def test_only_the_topics_that_were_asked_for_are_logged(run_daemon, port):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo"), own="DEBUG=16%4000")
    clients.echo(number)
    daemon.wait_event("debug", "topic=handoff")
    assert len(daemon.events("debug")) == len(daemon.events("debug", "topic=handoff"))
