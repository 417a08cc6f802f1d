"""dispatcher.cnf: mistakes are all told, legacy files pass, what cannot run does not harm the rest."""

import os
import re
import subprocess

import pytest

from harness import clients
from harness.daemon import service
from harness.processes import wait_until

EX_CONFIG = 78


def check(stage, path, **more):
    return subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True,
                          text=True, timeout=20, **more)


MAIN = """\
MIN_PROCS=many
MAX_PROCZ=3
<{second}
<nosuch.cnf
MIN_CONNS=10%12a

[SERVICE=one]
PORT=99999
IMAGE=/no/such/image
MAX_LIFE_TIME=5 fortnights
PORT=localhost:25:26
[SERVICE=one]
IMAGE=dispatcher-echo
"""

SECOND = """\
just words
USER=no-such-user-here
STACKSIZE=12Q
COMMAND=echo 'unfinished
MAX_CONNS=-1
"""


@pytest.mark.sanitized
def test_twelve_mistakes_in_two_files_give_twelve_messages(stage, directory):
    main, second = directory / "main.cnf", directory / "second.cnf"
    main.write_text(MAIN.format(second=second))
    second.write_text(SECOND)
    run = check(stage, main)
    assert run.returncode == EX_CONFIG, run
    told = {(m[1], int(m[2])) for m in re.finditer(r"(main|second)\.cnf:(\d+)", run.stderr + run.stdout)}
    expected = {("main", n) for n in (1, 2, 4, 5, 8, 10, 11)} | {("second", n) for n in range(1, 6)}
    assert expected <= told, (sorted(expected - told), run.stderr)
    assert "MAX_PROCS" in run.stderr, "the nearest known name"
    # And it does not start either.
    started = subprocess.run([stage.program("dispatcher"), "-c", main], capture_output=True, text=True,
                             timeout=20)
    assert started.returncode == EX_CONFIG


LEGACY = """\
! VERSION=1.1
! Global defaults
MIN_PROCS=1
MAX_PROCS=10
MIN_CONNS=30
MAX_CONNS=50
MAX_SHUTDOWN=2
MAX_LIFE_TIME=86400
MAX_LIFE_CONNS=10000
MAX_IDLE_TIME=600
HISTORICAL_TIME=0
!
[SERVICE=SMTP]
PORT=25
IMAGE=IMTA_BIN:tcp_smtp_server
LOGFILE=IMTA_LOG:tcp_smtp_server.log
DNS_VERIFY_DOMAIN=rbl.example.org
! INTERFACE_ADDRESS=
!
[SERVICE=SMTP_SUBMIT]
PORT=587
IMAGE=IMTA_BIN:tcp_smtp_server
LOGFILE=IMTA_LOG:tcp_submit_server.log
PARAMETER=CHANNEL=tcp_submit
!
[SERVICE=LMTPSS]
PORT=225
IMAGE=IMTA_BIN:tcp_lmtp_server
LOGFILE=IMTA_LOG:tcp_lmtpss_server.log
PARAMETER=CHANNEL=tcp_lmtpss
STACKSIZE=2048000
! INTERFACE_ADDRESS=
"""


def test_a_legacy_file_passes_and_says_first_what_nobody_enforces(stage, directory):
    path = directory / "legacy.cnf"
    path.write_text(LEGACY)
    run = check(stage, path)
    assert run.returncode == 0, run
    said = [line for line in run.stderr.splitlines() if line]
    assert "NOT ENFORCED" in said[0] and "DNS_VERIFY_DOMAIN" in said[0], said
    assert any("HISTORICAL_TIME" in line for line in said)


def test_the_check_prints_derived_numbers(stage, directory, port):
    path = directory / "ok.cnf"
    path.write_text(f"RUN_DIR={directory}\nSTATE_DIR={directory}\nWORKER_DIR={stage.bin}\n"
                    + service("echo", port(), IMAGE="dispatcher-echo", MAX_PROCS=7, MAX_CONNS=11))
    run = check(stage, path)
    assert run.returncode == 0, run
    assert "77" in run.stdout and "MAX_PROCS=7" in run.stdout, run.stdout


def test_what_cannot_hold_is_refused_and_says_by_how_much(stage, directory, port):
    path = directory / "big.cnf"
    path.write_text(f"RUN_DIR={directory}\nSTATE_DIR={directory}\nWORKER_DIR={stage.bin}\n"
                    + service("echo", port(), IMAGE="dispatcher-echo", MAX_PROCS=200))
    run = subprocess.run(["/bin/sh", "-c", 'ulimit -n 128; exec "$@"', "sh",
                          stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True,
                         user="nobody" if os.getuid() == 0 else None)  # root may raise the limit
    assert run.returncode == EX_CONFIG, run
    assert re.search(r"needs \d+ descriptors, which is \d+ more than the limit of 128", run.stderr), run


def test_a_failed_service_is_named_retried_and_opened_when_it_can_be(make_daemon, port, stage,
                                                                     directory):
    import shutil
    late, taken, well = port(), port(), port()
    image = directory / "late-image"
    import socket
    blocker = socket.create_server(("127.0.0.1", taken))
    daemon = make_daemon(
        service("late", late, IMAGE=image), service("taken", taken, IMAGE="dispatcher-echo"),
        service("well", well, IMAGE="dispatcher-echo"))
    daemon.expect_errors("service.failed")
    daemon.start(ready=False)
    for name in ("late", "taken"):
        daemon.wait_service(lambda one: one["state"] == "failed", "failed", name)
        daemon.wait_event("service.failed", f"service={name}")
    clients.echo(well)
    with pytest.raises(ConnectionRefusedError):  # nobody behind it: not open
        clients.connect(late)
    shutil.copy(stage.program("dispatcher-echo"), image)
    image.chmod(0o755)
    blocker.close()
    for name, number in (("late", late), ("taken", taken)):
        daemon.wait_service(lambda one: one["state"] == "open", "open after the next try", name, 15)
        wait_until(lambda: clients.echo(number) is None, "it serves")


def test_parameters_environment_directory_and_limits_reach_the_worker(run_daemon, port, directory):
    number = port()
    directory.chmod(0o755)
    script = directory / "tell"
    script.write_text("#!/bin/sh\nread line\npwd; umask; ulimit -n; nice; env; printf '%s|' \"$@\"; echo\n")
    script.chmod(0o755)
    run_daemon(service("tell", number, IMAGE="dispatcher-exec",
                       COMMAND=f"{script} 'two words' \"quo\\\"ted\" plain\\ blank",
                       ENVIRONMENT=["COLOUR=green", "EMPTY="], WORKING_DIRECTORY="/usr", UMASK="027",
                       LIMIT_NOFILE="99", NICE="3"))
    with clients.connect(number) as sock:
        own = sock.getsockname()
        sock.sendall(b"go\n")
        lines = clients.receive_all(sock).decode().splitlines()
    assert lines[:4] == ["/usr", "0027", "99", "3"], lines
    assert lines[-1] == "two words|quo\"ted|plain blank|", lines
    environment = dict(line.split("=", 1) for line in lines[4:-1])
    assert environment["COLOUR"] == "green" and environment["EMPTY"] == ""
    assert environment["PROTO"] == "TCP"
    assert environment["TCPREMOTEIP"] == environment["REMOTE_ADDR"] == "127.0.0.1"
    assert environment["TCPREMOTEPORT"] == environment["REMOTE_PORT"] == str(own[1])
    assert environment["TCPLOCALIP"] == "127.0.0.1" and environment["TCPLOCALPORT"] == str(number)
    allowed = {"COLOUR", "EMPTY", "PROTO", "TCPREMOTEIP", "REMOTE_ADDR", "TCPREMOTEPORT", "REMOTE_PORT",
               "TCPLOCALIP", "TCPLOCALPORT", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}
    assert set(environment) <= allowed, set(environment) - allowed


def changed(daemon, wanted=True):
    return daemon.wait(lambda status: status["dispatcher"]["config_changed_on_disk"] == wanted,
                       f"changed on disk: {wanted}", 10)


def test_a_file_that_changes_on_disk_is_noticed_until_it_is_read(run_daemon, port):
    daemon = run_daemon(service("one", port(), IMAGE="dispatcher-echo"))
    daemon.config_path.parent.chmod(0o700)  # none of the acceptor's business
    path, before = daemon.config_path, daemon.config_path.stat()
    changed(daemon, False)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
    changed(daemon)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed(daemon, False)
    path.write_text(path.read_text() + "! nothing but a comment\n")
    changed(daemon)
    daemon.order("reload")
    changed(daemon, False)
    path.rename(path.with_suffix(".away"))
    changed(daemon)
    path.with_suffix(".away").rename(path)
    changed(daemon, False)
