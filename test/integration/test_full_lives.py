"""Who waits in a queue while acceptors, settings, supervisors and programs change."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import clients
from harness.daemon import service
from harness.full import ANSWER, TEXT, fill, full, queue_up, refusal, waiting
from test_acceptor import killed, new_acceptor
from test_upgrade import upgrade_to


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


@pytest.mark.root
def test_who_was_saved_by_the_next_acceptor_keeps_nobody_waiting_for_longer(run_daemon, port, stage):
    number = port()
    daemon = run_daemon(full(number, QUEUE_TIMEOUT="2s"))
    daemon.expect_errors(r"acceptor\.exit")
    with fill(number) as held:
        queue_up(daemon, held, number, 1)
        time.sleep(1)  # so much earlier is the time of the first over
        at_each_moment(daemon, stage, "accepted", lambda: held.open(number, served=False))
        assert clients.receive_all(held.socks[2]) == ANSWER
        assert daemon.service()["waiting"] == 1
        assert clients.receive_all(held.socks[3]) == ANSWER


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
