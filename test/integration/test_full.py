"""WHEN_FULL=refuse: who waits when no worker has room, for how long, and what the others are told."""

import contextlib
import ftplib
import imaplib
import os
import pathlib
import poplib
import random
import re
import shutil
import signal
import smtplib
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from harness import certificates, clients
from harness.daemon import service
from harness.processes import wait_until
from test_acceptor import killed, new_acceptor
from test_upgrade import upgrade_to

MANUAL = pathlib.Path(__file__).parents[2] / "config/dispatcher.cnf.5.scd"
TEXT = "421 4.3.2 too busy, try later"
ANSWER = TEXT.encode() + b"\r\n"


def full(number, **options):
    """One worker with two places; three more may wait."""
    return service("full", number, **{**dict(
        IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1, MIN_CONNS=2, MAX_CONNS=2, MAX_LIFE_CONNS=0,
        WHEN_FULL="refuse", BACKLOG=64, QUEUE_SIZE=3, QUEUE_TIMEOUT="60s", REFUSE_TEXT=TEXT), **options})


def waiting(daemon, count, seconds=10.0):
    return daemon.wait_service(lambda one: one["queue"] and one["queue"]["now"] == count,
                               f"{count} wait in the queue", seconds=seconds)


def queue_up(daemon, held, number, count):
    """So many more clients, each in the queue before the next one comes."""
    before = daemon.service()["queue"]["now"]
    for i in range(count):
        held.open(number, served=False)
        waiting(daemon, before + i + 1)


def refusal(address, first=b"", seconds=10.0):
    """What a client reads until the server closes; ConnectionResetError if it is not closed cleanly."""
    with clients.connect(address, seconds) as sock:
        if first:
            sock.sendall(first)
        return clients.receive_all(sock)


@contextlib.contextmanager
def fill(number, count=2):
    with clients.Held() as held:
        for _ in range(count):
            held.open(number)
        yield held


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


# --- acceptors come and go ---


@pytest.mark.sanitized
def test_kill_9_of_the_acceptor_loses_nobody_of_a_full_queue(run_daemon, port, rounds):
    number, count = port(), 100
    daemon = run_daemon(full(number, QUEUE_SIZE=count, MAX_CONNS=4, MIN_CONNS=4))
    daemon.expect_errors(r"acceptor\.exit")
    with fill(number, 4) as held:
        for _ in range(count):
            held.open(number, served=False)
        waiting(daemon, count)
        for _ in range(rounds(5)):
            killed(daemon)
            one = waiting(daemon, count)
            assert (one["lost"], one["refused"]) == (0, 0), one
        assert refusal(number) == ANSWER
        for i in range(4, count + 4):  # each in its turn
            held.close_one()
            clients.echo_on(held.socks[3], b"in order\n")
    one = daemon.wait_service(lambda one: one["connections"] == 0, "all have gone")
    assert (one["accepted"], one["done"], one["refused"], one["lost"]) == (count + 5, count + 4, 1, 0), one


def told_in_full(sock, got):
    """What was said, also where the acceptor was killed before the client had closed: the rest of what
    that sends is then answered by a reset."""
    try:
        while chunk := sock.recv(65536):
            got += chunk
    except ConnectionResetError:
        return "reset after " + got.decode()
    return got.decode()


def one_after_the_other(number, count, told):
    """Clients who each stay for a moment; what became of each is appended."""
    for i in range(count):
        text = f"client {i}\n".encode()
        try:
            with clients.connect(number, 30) as sock:
                sock.sendall(text)
                got = clients.receive_exactly(sock, len(text))
                if got != text:
                    told.append(told_in_full(sock, got))
                    continue
                time.sleep(random.random() * 0.003)
                sock.shutdown(socket.SHUT_WR)
                told.append("served" if clients.receive_all(sock) == b"" else "garbled")
        except OSError as error:
            told.append(repr(error))


@contextlib.contextmanager
def crowd(number, count, told):
    """24 clients at a time, so many each; leaving waits for all."""
    threads = [threading.Thread(target=one_after_the_other, args=(number, count, told)) for _ in range(24)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: any(thread.is_alive() for thread in threads)
    finally:
        for thread in threads:
            thread.join()


def check_told(daemon, told, expected, print_as):
    """Every client was served, or told the whole refusal; both sides count the same."""
    served, reset = told.count("served"), told.count(f"reset after {TEXT}\r\n")
    refused = told.count(TEXT + "\r\n") + reset
    one = daemon.wait_service(lambda one: one["connections"] == 0, "all have gone")
    print(f"{print_as}: {served} served, {refused} refused of {len(told)}, {reset} of them reset behind "
          f"the text; {one['rescued']} rescued")
    assert served + refused == len(told) == expected, set(told)
    assert (one["accepted"], one["lost"]) == (len(told), 0), one
    assert (one["done"], one["refused"], one["left"]) == (served, refused, 0), one


def test_under_load_no_kill_of_the_acceptor_costs_a_client_more_than_a_refusal(run_daemon, port, rounds):
    number, count, told, kills = port(), rounds(80), [], 0
    daemon = run_daemon(full(number, QUEUE_SIZE=8, MAX_CONNS=4, MIN_CONNS=4))
    daemon.expect_errors(r"acceptor\.exit")
    with crowd(number, count, told) as is_there:
        while is_there():
            time.sleep(random.random() * 0.2)  # when it strikes
            killed(daemon)
            kills += 1
    check_told(daemon, told, 24 * count, f"{kills} kills")


def test_whatever_an_operator_does_under_load_every_client_is_served_or_told(run_daemon, port, rounds):
    number, count, told, done = port(), rounds(80), [], []
    changes = {
        "size 1": lambda: reload_with(daemon, full(number, QUEUE_SIZE=1)),
        "size 20": lambda: reload_with(daemon, full(number, QUEUE_SIZE=20)),
        "late soon": lambda: reload_with(daemon, full(number, QUEUE_TIMEOUT="5ms", QUEUE_SIZE=20)),
        "wait": lambda: reload_with(daemon, full(number, WHEN_FULL="wait")),
        "more workers": lambda: reload_with(daemon, full(number, MAX_PROCS=3)),
        "new acceptor": lambda: daemon.order("restart", "dispatcher"),
        "new workers": lambda: daemon.wait_result(daemon.begin("restart", "full")),  # or one is under way
        "kill": lambda: killed(daemon),
    }
    daemon = run_daemon(full(number))
    daemon.expect_errors(r"acceptor\.exit")
    with crowd(number, count, told) as is_there:
        while is_there() or len(done) < len(changes):
            done.append(random.choice(sorted(set(changes) - set(done)) or sorted(changes)))
            changes[done[-1]]()
    reload_with(daemon, full(number))
    daemon.baseline = None  # it may have other workers than at first
    check_told(daemon, told, 24 * count, f"{len(done)} changes")


def at_each_moment(daemon, stage, moment, act):
    """Kills the acceptor at that system call, provoked by act()."""
    pid = daemon.acceptor_pid()
    with subprocess.Popen([stage.program("kill-at"), str(pid), moment], stdout=subprocess.PIPE) as killer:
        assert killer.stdout.readline() == b"ready\n"
        act()
        assert killer.wait(20) == 0
    new_acceptor(daemon, pid)


@pytest.mark.root
@pytest.mark.parametrize("moment", ["accepted", "offering", "offered", "closing"])
def test_killed_at_any_call_on_the_way_into_the_queue_nobody_is_lost(run_daemon, port, stage, moment):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=8))
    daemon.expect_errors(r"acceptor\.exit")
    with fill(number) as held:
        for i in range(3):
            at_each_moment(daemon, stage, moment, lambda: held.open(number, served=False))
            one = daemon.wait_service(lambda one, i=i: one["waiting"] == i + 1, "it waits")
            assert (one["accepted"], one["lost"], one["refused"]) == (3 + i, 0, 0), one
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])


@pytest.mark.root
@pytest.mark.parametrize("moment", ["peeked", "taken", "offering", "offered", "closing"])
def test_killed_at_any_call_on_the_way_out_of_the_queue_nobody_is_lost(run_daemon, port, stage, moment):
    number = port()
    daemon = run_daemon(full(number, QUEUE_SIZE=8))
    daemon.expect_errors(r"acceptor\.exit")
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        for i in range(3):
            at_each_moment(daemon, stage, moment, held.close_one)
            clients.echo_on(held.socks[1])
            one = daemon.wait_service(lambda one, i=i: one["done"] == i + 1, "it has gone")
            assert (one["accepted"], one["lost"], one["refused"]) == (5, 0, 0), one


# --- other configurations, other lives ---


def reload_with(daemon, section):
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(text[:text.index("[SERVICE=full]")] + section)
    daemon.order("reload")


def test_a_smaller_queue_keeps_who_is_in_it_and_lets_nobody_in(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        reload_with(daemon, full(number, QUEUE_SIZE=1))
        assert waiting(daemon, 3)["queue"]["size"] == 1
        assert refusal(number) == ANSWER
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])
    assert daemon.service()["refused"] == 1


def test_with_wait_again_who_waits_in_the_queue_is_served_before_who_waits_outside(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 2)
        reload_with(daemon, full(number, WHEN_FULL="wait"))
        waiting(daemon, 2)
        held.open(number, served=False)
        one = daemon.wait_service(lambda one: one["waiting"] == 3, "one waits outside")
        assert one["queue"]["now"] == 2, one
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])
        assert daemon.service()["queue"] is None
    reload_with(daemon, full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 1)


def test_a_service_that_began_with_wait_can_refuse_after_a_reload(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number, WHEN_FULL="wait"))
    with fill(number) as held:
        assert daemon.service()["queue"] is None
        reload_with(daemon, full(number, QUEUE_SIZE=1))
        daemon.take_baseline()  # it has a queue now
        queue_up(daemon, held, number, 1)
        assert refusal(number) == ANSWER


def test_who_waits_is_served_or_refused_by_a_service_that_is_closed(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number), service("other", port(), IMAGE="dispatcher-echo"))
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        order = daemon.begin("shutdown", "full", drain_ms=4000)
        held.close_one()
        clients.echo_on(held.socks[1])
        for sock in held.socks[2:]:
            assert clients.receive_all(sock) == ANSWER
        held.close()
        daemon.wait_result(order)
    one = daemon.wait_service(lambda one: one["state"] == "closed", "it is closed")
    assert (one["accepted"], one["done"], one["refused"], one["lost"]) == (5, 3, 2, 0), one


def test_a_restart_and_a_new_acceptor_leave_the_queue_as_it_is(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 2)
        daemon.order("restart", "dispatcher")
        waiting(daemon, 2)
        daemon.order("restart", "full")
        for sock in held.socks:  # the new worker has room
            clients.echo_on(sock)
    assert daemon.service()["refused"] == 0


def test_an_upgrade_leaves_the_queue_as_it_is(run_daemon, port):
    number = port()
    daemon = run_daemon(full(number))
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        daemon.order("upgrade")
        waiting(daemon, 3)
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])
    assert daemon.service()["refused"] == 0


def test_tomorrows_build_finds_who_waits(make_daemon, directory, port, stage):
    if not stage.has("dispatcher-next"):
        pytest.skip("meson compile upgrades was not run")
    number = port()
    daemon = make_daemon(full(number))
    daemon.program = directory / "dispatcher"
    shutil.copy(stage.program("dispatcher"), daemon.program)
    daemon.start()
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        for i, program in enumerate(("dispatcher-next", "dispatcher")):  # there, and back again
            upgrade_to(daemon, stage.program(program))
            waiting(daemon, 3 - i)
            held.close_one()
            clients.echo_on(held.socks[1])
    assert (daemon.service()["refused"], daemon.service()["lost"]) == (0, 0)


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


@pytest.mark.root
def test_without_a_supervisor_who_waits_is_served_and_the_next_dispatcher_takes_the_rest(make_daemon, port):
    number = port()
    daemon = make_daemon(full(number)).start()
    daemon.expect_errors(r"supervisor\.gone")
    with fill(number) as held:
        queue_up(daemon, held, number, 3)
        os.kill(daemon.supervisor_pid, signal.SIGKILL)
        daemon.process.wait(10)
        waiting(daemon, 3)
        daemon.start()
        for _ in range(3):
            held.close_one()
            clients.echo_on(held.socks[1])


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
