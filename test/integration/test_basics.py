"""The dispatcher starts, serves, tells about itself, and ends in order."""

import os
import re
import signal
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.processes import wait_until

NOBODY = 65534
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)$")


def echo_service(number, **options):
    return service("echo", number, **dict(dict(IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2),
                                          **options))


@pytest.mark.sanitized
def test_it_serves_and_ends_with_status_0(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    clients.echo(number)
    assert daemon.shut_down() == 0
    with pytest.raises(ConnectionRefusedError):
        clients.connect(number)
    assert daemon.events("dispatcher.start") and daemon.events("dispatcher.stopped")


@pytest.mark.sanitized
def test_a_banner_service_speaks_and_closes(run_daemon, port):
    number = port()
    run_daemon(echo_service(number, PARAMETER="BANNER=220 ready"))
    with clients.connect(number) as sock:
        assert clients.receive_all(sock).rstrip() == b"220 ready"


@pytest.mark.sanitized
def test_unix_and_ipv6_and_wildcard_listeners_serve_alike(run_daemon, port, directory):
    path = directory / "echo.sock"
    loopback6, everywhere = port(), port()
    daemon = run_daemon(echo_service(f"unix:{path}", PORT=[f"[::1]:{loopback6}", everywhere],
                                     SOCKET_MODE="0666"))
    for address in (path, ("::1", loopback6), ("127.0.0.1", everywhere), ("::1", everywhere)):
        clients.echo(address)
    assert os.stat(path).st_mode & 0o777 == 0o666
    assert len(daemon.service()["listeners"]) == 4
    assert daemon.shut_down() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_file_is_not(run_daemon, make_daemon, directory):
    import socket
    stale, precious = directory / "stale", directory / "precious"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(stale))
    precious.write_text("mine")
    daemon = make_daemon(service("stale", f"unix:{stale}", IMAGE="dispatcher-echo"),
                         service("precious", f"unix:{precious}", IMAGE="dispatcher-echo"))
    daemon.expect_errors("service.failed service=precious")
    daemon.start(ready=False)
    daemon.wait_service(lambda one: one["state"] == "failed", "failed", "precious")
    daemon.wait_service(lambda one: one["state"] == "open" and one["settled"], "open", "stale")
    clients.echo(stale)
    assert precious.read_text() == "mine"


def test_processes_are_named_in_ps(run_daemon, port):
    daemon = run_daemon(echo_service(port()))
    worker = daemon.workers()[0]
    assert processes.command(daemon.supervisor_pid).startswith("dispatcher: supervisor")
    assert processes.command(daemon.acceptor_pid()).startswith("dispatcher: acceptor")
    assert processes.command(worker["pid"]).startswith(f"dispatcher: worker {worker['id']}")


def test_status_has_every_documented_key(run_daemon, port):
    daemon = run_daemon(echo_service(port()))
    with clients.Held() as held:
        held.open(daemon_port(daemon))
        status = daemon.status()
    assert set("version supervisor_pid acceptor_pid started config_file config_hash config_loaded "
               "config_changed_on_disk".split()) <= set(status["dispatcher"])
    one = status["services"][0]
    assert set("name state listeners min_procs max_procs min_conns max_conns connections "
               "peak_connections capacity waiting accepted handed done lost stolen_back refused rescued "
               "listen_overflows held_seconds backoff_seconds last_exit workers".split()) <= set(one)
    assert set("id pid state connections peak_connections served started retire_reason".split()) <= \
        set(one["workers"][0])
    assert status["dispatcher"]["supervisor_pid"] == daemon.supervisor_pid
    assert ISO_8601.match(status["dispatcher"]["started"]), status["dispatcher"]["started"]
    assert ISO_8601.match(one["workers"][0]["started"])
    assert one["capacity"] == one["max_procs"] * one["max_conns"]


def daemon_port(daemon):
    return int(re.search(r"PORT=127\.0\.0\.1:(\d+)", daemon.config_path.read_text())[1])


def test_dispatcherctl_shows_status_connections_and_configuration(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    with clients.Held() as held:
        own = held.open(number).getsockname()
        text = daemon.ctl("status")
        assert text.returncode == 0 and "echo" in text.stdout, text
        assert max(map(len, text.stdout.splitlines())) <= 80
        table = daemon.ctl("connections", "echo")
        assert f"127.0.0.1:{own[1]}" in table.stdout, table
    config = daemon.ctl("config", "echo")
    assert "MAX_PROCS=2" in config.stdout, config
    assert daemon.ctl("status", "--json").stdout.lstrip().startswith("{")
    unknown = daemon.ctl("config", "nosuch")
    assert unknown.returncode != 0 and unknown.stderr


def test_what_config_prints_is_a_configuration_again(run_daemon, port, stage, directory):
    daemon = run_daemon(echo_service(port()))
    again = directory / "again.cnf"
    again.write_text(daemon.ctl("config").stdout)
    check = subprocess.run([stage.program("dispatcher"), "-t", "-c", again], capture_output=True,
                           text=True)
    assert check.returncode == 0, check


@pytest.mark.sanitized
def test_shutdown_by_dispatcherctl_lets_connections_finish(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    with clients.Held() as held:
        held.open(number)
        assert daemon.ctl("shutdown").returncode == 0
        wait_until(lambda: refuses(number), "the port is closed")
        clients.echo_on(held.socks[0], b"finishing\n")
    assert daemon.process.wait(10) == 0


def refuses(number):
    try:
        clients.connect(number, 1).close()
    except (ConnectionRefusedError, TimeoutError):
        return True
    return False


def test_shutdown_has_a_deadline(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number, SHUTDOWN_TIMEOUT="1s", KILL_TIMEOUT="1s"),
                        own="SHUTDOWN_TIMEOUT=1s\nKILL_TIMEOUT=1s")
    with clients.Held() as held:
        held.open(number)
        began = time.monotonic()
        assert daemon.shut_down(seconds=10) == 0
        assert 0.9 < time.monotonic() - began < 4


def test_a_service_that_has_closed_leaves_the_acceptor_in_peace(run_daemon, port):
    """Its pool had something to do 2 s after the start: by then the service is closed."""
    held_by, closed = port(), port()
    daemon = run_daemon(echo_service(held_by),
                        service("gone", closed, IMAGE="dispatcher-echo", MAX_IDLE_TIME="2s"))
    with clients.Held() as held:
        held.open(held_by)
        os.kill(daemon.supervisor_pid, signal.SIGTERM)
        daemon.wait_service(lambda one: one["state"] == "closed", "closed", "gone")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert daemon.service("echo")["connections"] == 1
            time.sleep(0.1)
        assert daemon.shut_down(signal.SIGINT, seconds=5) == 0
    assert daemon.events("worker.exit", "worker=echo/1 ", "lost=1$")


def test_without_root_its_own_user_may_ask(make_daemon, port, directory):
    if os.getuid() != 0:
        pytest.skip("needs root")
    daemon = make_daemon(echo_service(port()))
    daemon.user = NOBODY
    for path in (daemon.directory, *daemon.directory.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    daemon.start()
    assert daemon.ctl("status", user=NOBODY, extra_groups=[]).returncode == 0
    assert daemon.ctl("status", user=NOBODY - 1, extra_groups=[]).returncode == 1


def test_a_second_start_on_the_same_run_dir_is_refused(run_daemon, port, stage):
    number = port()
    daemon = run_daemon(echo_service(number))
    second = subprocess.run([stage.program("dispatcher"), "-c", daemon.config_path],
                            capture_output=True, text=True, timeout=20)
    assert second.returncode != 0
    assert str(daemon.supervisor_pid) in second.stdout + second.stderr, second
    clients.echo(number)


def test_help_and_version(stage):
    for program in ("dispatcher", "dispatcherctl"):
        for option in ("--help", "--version"):
            run = subprocess.run([stage.program(program), option], capture_output=True, text=True)
            assert run.returncode == 0 and run.stdout, (program, option, run)


@pytest.mark.sanitized
def test_workers_inherit_exactly_their_own_descriptors(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(service("bare", number, IMAGE="rogue", PARAMETER="MODE=honest"), service("other", other, IMAGE="dispatcher-exec",
                        COMMAND="/bin/ls -l /proc/self/fd"))
    native = processes.descriptors(daemon.workers("bare")[0]["pid"])
    assert set(native) == set(range(7)), native  # standard ones; channel, page, bell, doorbell
    sockets = [number for number, link in native.items() if link.startswith("socket:")]
    assert sockets == [3], native  # and no listener
    with clients.connect(other) as sock:
        lines = clients.receive_all(sock).decode().splitlines()
    numbers = {line.split()[-3] for line in lines if "->" in line}
    assert numbers == {"0", "1", "2", "3"}, lines  # 3 is ls reading the directory


def test_a_worker_runs_as_nobody_unless_told_and_never_as_the_acceptor(run_daemon, port):
    if os.getuid() != 0:
        pytest.skip("needs root")
    daemon = run_daemon(echo_service(port()), service("rooted", port(), IMAGE="dispatcher-echo",
                                                      USER="root"))
    import pwd
    acceptor = processes.identity(daemon.acceptor_pid())[0]
    assert processes.identity(daemon.workers("echo")[0]["pid"])[0] == pwd.getpwnam("nobody").pw_uid
    assert processes.identity(daemon.workers("rooted")[0]["pid"])[0] == 0
    assert acceptor not in (0, pwd.getpwnam("nobody").pw_uid)


def test_signals_in_a_burst_do_no_harm(run_daemon, port):
    number = port()
    daemon = run_daemon(echo_service(number))
    for _ in range(200):
        os.kill(daemon.supervisor_pid, signal.SIGUSR1)
        os.kill(daemon.supervisor_pid, signal.SIGCHLD)
    clients.echo(number)
