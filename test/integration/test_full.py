"""WHEN_FULL=refuse: who waits when no worker has room, for how long, and what the others are told."""

import ftplib
import imaplib
import os
import pathlib
import poplib
import re
import shutil
import signal
import smtplib
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from harness import certificates, clients
from harness.daemon import service
from harness.full import ANSWER, TEXT, fill, full, queue_up, refusal, waiting
from harness.processes import wait_until
from test_acceptor import killed

MANUAL = pathlib.Path(__file__).parents[2] / "config/dispatcher.cnf.5.scd"


@pytest.mark.sanitized
def test_who_finds_no_room_waits_in_the_order_of_arrival_and_beyond_that_is_refused(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        assert refusal(number) == ANSWER
        one = daemon.service()
        assert (one["queue"]["now"], one["queue"]["peak"], one["refused"]) == (3, 3, 1), one
        assert (one["accepted"], one["handed"], one["connections"], one["waiting"]) == (6, 2, 5, 3), one
        shown = daemon.ask("connections", "full")
        assert [c["worker"] for c in shown].count(None) == 3, shown
        assert "(waits)" in daemon.ctl("connections", "full").stdout
        for i in range(3):  # the first leaves, so the first who waits is served, and nobody else
            held.close_one()
            waiting(daemon, 2 - i)
            assert clients.is_served(held.socks[1])
    one = daemon.wait_service(lambda one: one["done"] == 5, "all have gone")
    assert (one["lost"], one["left"], one["refused"]) == (0, 0, 1), one


def test_who_waits_longer_than_queue_timeout_is_refused(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, QUEUE_TIMEOUT="400ms"))
    with fill(number):
        with clients.connect(number) as late:
            began = time.monotonic()
            assert clients.receive_all(late) == ANSWER
            assert 0.35 < time.monotonic() - began < 5
        one = daemon.service()
        assert (one["queue"]["refused_late"], one["refused"], one["queue"]["now"]) == (1, 1, 0), one
        assert 0.4 <= one["queue"]["longest_seconds"] < 5, one


def test_a_client_that_has_sent_much_already_reads_the_refusal_to_its_end(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=0))
    with fill(number):
        for size in (1, 100, 100_000):
            assert refusal(number, b"x" * size) == ANSWER
        with clients.connect(number) as talker:  # and goes on to send behind it
            assert clients.receive_all(talker) == ANSWER
            for _ in range(5):
                talker.sendall(b"more\r\n" * 100)
                time.sleep(0.03)  # longer than the refused are looked at
            talker.shutdown(socket.SHUT_WR)
    assert daemon.service()["queue"]["refused_full"] == 4


def test_a_client_that_never_closes_is_closed_within_seconds(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=0))
    with fill(number), clients.connect(number) as silent:
        assert clients.receive_all(silent) == ANSWER
        before = len(os.listdir(f"/proc/{daemon.acceptor_pid()}/fd"))

        def is_gone():
            return len(os.listdir(f"/proc/{daemon.acceptor_pid()}/fd")) < before

        wait_until(is_gone, "the acceptor has closed it", 10)


def test_a_unix_client_that_has_sent_something_reads_the_refusal(run_daemon, directory):
    path = directory / "sock"
    daemon = run_daemon(full(f"unix:{path}", QUEUE_SIZE=0))
    with fill(path):
        assert refusal(path, b"hello\n") == ANSWER
    assert daemon.service()["refused"] == 1


def smtp(number):
    smtplib.SMTP("127.0.0.1", number, timeout=10)


def pop(number):
    poplib.POP3("127.0.0.1", number, timeout=10)


def imap(number):
    imaplib.IMAP4("127.0.0.1", number, timeout=10)


def ftp(number):
    ftplib.FTP().connect("127.0.0.1", number, timeout=10)


def http(number):
    urllib.request.urlopen(f"http://127.0.0.1:{number}/", timeout=10)


@pytest.mark.parametrize("protocol, use, error", [
    ("421 4.3.2", smtp, smtplib.SMTPConnectError), ("-ERR", pop, poplib.error_proto),
    ("* BYE", imap, imaplib.IMAP4.error), ("421 too", ftp, ftplib.error_temp),
    ("HTTP", http, urllib.error.HTTPError)])
def test_the_texts_of_the_manual_are_understood_by_clients_of_the_protocol(
        run_daemon, port, protocol, use, error):
    texts = re.findall(r"^REFUSE_TEXT=(.*)$", MANUAL.read_text(), re.M)
    text = next(one for one in texts if one.startswith(protocol))
    number = port()
    run_daemon(full(number, QUEUE_SIZE=0, REFUSE_TEXT=text))
    with fill(number), pytest.raises(error, match="(?i)busy|later|503"):
        use(number)


@pytest.mark.skipif(not shutil.which("swaks"), reason="needs swaks")
def test_swaks_is_told_421(run_daemon, port):
    number = port()
    run_daemon(full(number, QUEUE_SIZE=0))
    with fill(number):
        run = subprocess.run(["swaks", "--server", f"127.0.0.1:{number}", "--to", "a@example.org", "--from",
                              "b@example.org"], capture_output=True, text=True, timeout=30)
        assert f"<** {TEXT}" in run.stdout and run.returncode, run


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_a_text_of_several_lines_is_an_answer_that_curl_understands(run_daemon, port):
    number = port()
    answer = r"HTTP/1.1 503 Service Unavailable\nRetry-After: 7\nContent-Length: 5\n\nbusy\\"
    run_daemon(full(number, QUEUE_SIZE=0, REFUSE_TEXT=answer))
    with fill(number):
        run = subprocess.run(["curl", "-sS", "-i", "-d", "x" * 2000, f"http://127.0.0.1:{number}/"],
                             capture_output=True, timeout=20)
        assert run.returncode == 0, run.stderr
        assert run.stdout == (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n"
                              b"Content-Length: 5\r\n\r\nbusy\\"), run.stdout


def address(kind, port, directory):
    """What a service is to listen on, and what its clients connect to."""
    number = port()
    return (f"unix:{directory}/sock", directory / "sock") if kind == "unix" else (number, number)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_left_while_it_waited_costs_no_worker(run_daemon, port, directory, kind):
    listens, number = address(kind, port, directory)
    daemon = run_daemon(full(listens))
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        held.close_one(2)  # closes without a word
        if kind == "tcp":  # has said something, and resets
            held.socks[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            held.socks[2].sendall(b"gone\n")
        held.close_one(2)
        handed = daemon.service()["handed"]
        held.close_one(0)
        one = daemon.wait_service(lambda one: one["queue"]["now"] == 0, "nobody waits")
        assert (one["handed"] - handed, one["left"], one["lost"]) == (1, 2, 0), one
        clients.echo_on(held.socks[1])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_said_all_it_has_to_say_while_it_waited_is_served(run_daemon, port, directory, kind):
    listens, number = address(kind, port, directory)
    daemon = run_daemon(full(listens))
    with fill(number) as held:
        queue_up(daemon, held, number, 1)
        held.socks[2].sendall(b"my only word\n")
        held.socks[2].shutdown(socket.SHUT_WR)
        held.close_one(0)
        assert clients.receive_all(held.socks[1]) == b"my only word\n"
    assert daemon.service()["left"] == 0


def test_a_queue_full_of_clients_who_left_lets_others_in(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=20))
    with fill(number) as held:
        for _ in range(20):
            clients.connect(number).close()
        waiting(daemon, 20)
        held.open(number, served=False)
        one = waiting(daemon, 1)
        assert (one["left"], one["refused"], one["handed"]) == (20, 0, 2), one


def test_clients_of_a_pool_that_backs_off_wait_or_are_refused_alike(make_daemon, port):
    number = port()
    daemon = make_daemon(full(number, IMAGE="/bin/false", QUEUE_SIZE=1, QUEUE_TIMEOUT="1s"))
    daemon.expect_errors(r"worker\.")
    daemon.unsettled.add("full")
    daemon.start(ready=False)
    daemon.wait_event("pool.backoff")
    with clients.connect(number) as first:
        waiting(daemon, 1)
        assert refusal(number) == ANSWER
        assert clients.receive_all(first) == ANSWER
    one = daemon.wait_service(lambda one: one["refused"] == 2, "both were refused")
    assert (one["queue"]["refused_full"], one["queue"]["refused_late"]) == (1, 1), one
    assert one["accepted"] == one["refused"] and one["handed"] == 0, one
    daemon.wait_event("service.full", "refused=1", "why=no_worker_ready")


def test_a_service_that_fails_refuses_who_waits_in_time(run_daemon, directory, port, stage):
    number, image = port(), directory / "echo"
    shutil.copy(stage.program("dispatcher-echo"), image)
    daemon = run_daemon(full(number, IMAGE=image, QUEUE_TIMEOUT="2s"))
    daemon.expect_errors(r"worker\.", r"service\.failed")
    daemon.unsettled.add("full")
    with fill(number) as held:
        queue_up(daemon, held, number, 2)
        image.unlink()
        os.kill(daemon.workers()[0]["pid"], signal.SIGKILL)
        daemon.wait_service(lambda one: one["state"] == "failed", "it failed")
        daemon.expect_errors(r"acceptor\.exit")
        killed(daemon)
        assert daemon.service()["queue"]["now"] == 2
        for sock in held.socks[2:]:
            assert clients.receive_all(sock) == ANSWER
    one = daemon.service()
    assert (one["accepted"], one["refused"], one["lost"], one["waiting"]) == (4, 2, 2, 0), one


def test_a_pool_that_can_grow_does_so_for_those_who_wait(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, MIN_PROCS=0, MAX_PROCS=4, MIN_CONNS=1, MAX_CONNS=1, QUEUE_SIZE=10))
    with clients.Held() as held:
        for _ in range(4):
            held.open(number, served=False)
        for sock in held.socks:
            clients.echo_on(sock)
        assert daemon.service()["refused"] == 0


def test_without_a_queue_the_refused_still_make_the_pool_grow(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, MIN_PROCS=0, MAX_PROCS=1, QUEUE_SIZE=0))
    assert refusal(number) == ANSWER
    daemon.wait_service(lambda one: one["workers"] and one["workers"][0]["state"] == "serving", "one started")
    clients.echo(number)


def test_refusals_are_logged_once_a_minute(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=0))
    with fill(number):
        for _ in range(50):
            assert refusal(number) == ANSWER
    assert len(daemon.events("service.full")) == 1
    assert daemon.events("service.full", "service=full", "refused=1", "why=all_workers_full")


def test_who_waits_counts_for_max_conns_per_source(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, MAX_CONNS_PER_SOURCE=4))
    with fill(number) as held:
        queue_up(daemon, held, number, 2)
        assert refusal(number) == b""
        held.close_one()
        daemon.wait_service(lambda one: one["done"] == 1, "one has gone")
        held.open(number, served=False)
        waiting(daemon, 2)
    daemon.wait_service(lambda one: one["connections"] == 0, "all have gone")
    with fill(number):
        pass


def test_a_queue_that_the_machine_cannot_hold_is_refused_with_the_figure(stage, directory, port):
    for name in ("run", "state", "log"):
        (directory / name).mkdir()
    path = directory / "dispatcher.cnf"
    path.write_text(f"RUN_DIR={directory}/run\nSTATE_DIR={directory}/state\nLOG_DIR={directory}/log\n"
                    f"CONTROL_SOCKET={directory}/run/control.sock\nWORKER_DIR={stage.bin}\n"
                    + full(port(), QUEUE_SIZE=1025))
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 78 and "QUEUE_SIZE" in run.stderr, run.stderr


def test_a_pool_of_unmodified_servers_has_a_queue_as_well(run_daemon, port, stage):
    number = port()
    where = f"{stage.program('server')} poll 127.0.0.1:{number}"
    section = full(number, ADAPTER="server", COMMAND=where).replace("IMAGE=dispatcher-echo\n", "")
    daemon = run_daemon(section)
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        assert refusal(number, b"hello\n") == ANSWER
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])


def test_where_tls_starts_at_once_who_is_refused_is_told_nothing(run_daemon, directory, port):
    number = port()
    certificates.write(directory / "pair.pem", *certificates.make("localhost"))
    daemon = run_daemon(full(number, TLS_CERT=directory / "pair.pem", TLS_KEY=directory / "pair.pem",
                             QUEUE_SIZE=0).replace("PORT=", "TLS_PORT=", 1))
    with clients.Held() as held:
        for _ in range(2):
            held.open(number, served=False)
        daemon.wait_service(lambda one: one["connections"] == 2, "the worker has both")
        assert refusal(number, b"\x16\x03\x01 as a hello begins") == b""
        assert daemon.service()["refused"] == 1
