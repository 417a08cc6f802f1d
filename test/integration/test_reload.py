"""reload: another configuration as one transaction, under load."""

import os
import shutil
import signal
import socket
import time

import pytest

from harness import clients, processes
from harness.clients import Held
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from test_programs import Git, Ssh
from test_restart import Session

pytestmark = pytest.mark.sanitized

HELD = 30


def echo(number, name="echo", **more):
    ports = number if isinstance(number, (list, tuple)) else [number]
    options = dict(IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=6, MIN_CONNS=20, MAX_CONNS=60,
                   MAX_LIFE_CONNS=0)
    return service(name, *ports, **{**options, **more})


def rewrite(daemon, *sections):
    daemon.write_config("", "", *sections)


def reload(daemon, *sections, **options):
    rewrite(daemon, *sections)
    return daemon.order("reload", **options)["text"]


def serials(daemon, name="echo", state="serving"):
    return {w["id"] for w in daemon.service(name)["workers"] if w["state"] == state}


class Busy:
    """Continuous short connections and held ones; at the end nobody has noticed anything."""

    def __init__(self, port, held=HELD):
        self.load, self.held = Load(port, 4), Held()
        self.socks = [self.held.open(port) for _ in range(held)]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        result = self.load.stop()
        if kind is None:
            for sock in self.socks:
                clients.echo_on(sock, b"still there\n")
        self.held.close()
        assert kind or not result["failed"], result
        assert kind or result["ok"], result
        self.result = result


def refuses(number):
    try:
        clients.connect(number, 0.2).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False


def what_is_in_force(daemon):
    """All that a reload that is refused must not change."""
    status = daemon.status()
    return (status["dispatcher"]["config_hash"], status["dispatcher"]["acceptor_pid"],
            [(one["name"], one["state"], one["max_procs"], [w["id"] for w in one["workers"]],
              [listener["address"] for listener in one["listeners"]])
             for one in status["services"]])


def refused(daemon, *sections, **options):
    """Returns what the operator is told."""
    rewrite(daemon, *sections)
    daemon.expect_errors("config.refused", "worker.spawn_failed")
    before = what_is_in_force(daemon)
    text = daemon.order("reload", expect=1, **options)["text"]
    assert what_is_in_force(daemon) == before, text
    return text


def test_new_limits_are_in_force_and_no_worker_is_touched(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number))
    with Busy(number):
        before = serials(daemon)
        text = reload(daemon, echo(number, MAX_PROCS=9, MIN_CONNS=25))
        assert "max_procs 6 -> 9, min_conns 20 -> 25, no worker is touched" in text, text
        one = daemon.service()
        assert (one["max_procs"], one["min_conns"]) == (9, 25)
        assert before <= serials(daemon)
    assert daemon.status()["dispatcher"]["last_reload"]["status"] == 0


def test_workers_that_live_hear_of_new_limits_before_their_next_connection(run_daemon, port):
    number = port()
    daemon = run_daemon(service("cat", number, COMMAND="/bin/cat"))
    clients.echo(number)
    before = serials(daemon, "cat")
    text = reload(daemon, service("cat", number, COMMAND="/bin/cat", CONNECTION_TIMEOUT="1s"))
    assert "connection_timeout 0 -> 1s, no worker is touched" in text, text
    with clients.connect(number) as sock:
        clients.echo_on(sock)
        try:
            assert clients.receive_all(sock) == b""  # its time is over
        except ConnectionResetError:
            pass
    assert serials(daemon, "cat") == before


def test_workers_of_a_changed_service_are_replaced_and_only_those(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number), echo(other, "other"))
    with Busy(number), Busy(other, 3):
        before, untouched = serials(daemon), serials(daemon, "other")
        reload(daemon, echo(number, PARAMETER="COLOUR=blue"), echo(other, "other"))
        daemon.wait_service(lambda one: not before & {w["id"] for w in one["workers"]
                                                      if w["state"] == "serving"}, "all replaced",
                            "echo")
        assert untouched <= serials(daemon, "other")


def test_a_port_comes_and_goes_again(run_daemon, port):
    number, added = port(), port()
    daemon = run_daemon(echo(number))
    with Busy(number):
        before = serials(daemon)
        reload(daemon, echo([number, added]))
        clients.echo(added)
        assert before <= serials(daemon)
        with Held() as held:
            sock = held.open(added)
            reload(daemon, echo(number))
            wait_until(lambda: refuses(added), "the port is closed")
            clients.echo_on(sock, b"still there\n")
        assert [one["address"] for one in daemon.service()["listeners"]] == [f"127.0.0.1:{number}"]


def test_a_port_moves_by_two_reloads_back_to_back(run_daemon, port):
    first, moved, third = port(), port(), port()
    daemon = run_daemon(echo([first, moved]), echo(third, "other"))
    for _ in range(3):
        reload(daemon, echo(first), echo(third, "other"))
        reload(daemon, echo(first), echo([third, moved], "other"))
        clients.echo(moved)
        reload(daemon, echo(first), echo(third, "other"))
        reload(daemon, echo([first, moved]), echo(third, "other"))
        clients.echo(moved)


def test_a_service_comes_and_goes_again(run_daemon, port):
    number, added = port(), port()
    daemon = run_daemon(echo(number))
    with Busy(number), Held() as held:
        reload(daemon, echo(added, "added"), echo(number))
        clients.echo(added)
        sock = held.open(added)
        reload(daemon, echo(number))
        wait_until(lambda: refuses(added), "the port is closed")
        assert daemon.service("added")["state"] == "closing"
        clients.echo_on(sock, b"the last one\n")
        held.close_one()
        daemon.wait(lambda status: [one["name"] for one in status["services"]] == ["echo"],
                    "the service is gone with its last connection")


def test_what_went_comes_back_at_once(run_daemon, port, rounds):
    """A port that is still being given up is waited for."""
    number, extra, other = port(), port(), port()
    daemon = run_daemon(echo([number, extra]), echo(other, "other"))
    with Busy(number), Held() as held:
        socks = []
        for _ in range(rounds(3)):
            socks += [held.open(extra), held.open(other)]
            reload(daemon, echo(number))
            reload(daemon, echo([number, extra]), echo(other, "other"))
            clients.echo(extra)
            clients.echo(other)
            while len(socks) > 6:  # or there are too many old workers
                sock = socks.pop(0)
                clients.echo_on(sock, b"still there\n")
                held.socks.remove(sock)
                sock.close()
        for sock in socks:
            clients.echo_on(sock, b"still there\n")
    daemon.wait_service(lambda one: not any(w["state"] == "retiring" for w in one["workers"]),
                        "the old ones are gone", "other")


@pytest.mark.parametrize("wrong, told", [
    ("[SERVICE=echo]\nPORT=1\nIMAGE=/nowhere\n", "/nowhere"),
    ("MAX_PROCS=many\n", "MAX_PROCS"),
    ("nonsense\nMAX_PROC=3\n", "MAX_PROC"),
])
def test_a_wrong_file_changes_nothing(run_daemon, port, wrong, told):
    number = port()
    daemon = run_daemon(echo(number))
    with Busy(number, 5):
        text = refused(daemon, wrong)
    assert told in text and "nothing has changed" in text, text
    assert daemon.status()["dispatcher"]["last_reload"]["status"] == 1


def test_a_worker_that_never_gets_ready_changes_nothing(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number))
    with Busy(number, 5):
        text = refused(daemon, echo(number, MAX_PROCS=9),
                       echo(other, "mute", IMAGE="rogue", PARAMETER="MODE=never_ready",
                            START_TIMEOUT="1s"))
        assert "mute: a worker for trial was not ready within 1.0 s" in text, text
        assert refuses(other)


def test_a_worker_that_dies_at_once_changes_nothing(run_daemon, port, directory):
    number = port()
    image = directory / "ends"
    image.write_text("#!/bin/sh\nexit 3\n")
    image.chmod(0o755)
    daemon = run_daemon(echo(number))
    with Busy(number, 5):
        text = refused(daemon, echo(number, IMAGE=image))
    assert "echo: a worker for trial ended before it was ready (exit:3); the log has what it wrote" in text, text


def test_an_address_in_use_changes_nothing_and_is_named(run_daemon, port):
    number, free, taken = port(), port(), port()
    daemon = run_daemon(echo(number))
    with socket.create_server(("127.0.0.1", taken)), Busy(number, 5):
        text = refused(daemon, echo([number, free, taken]))
        assert f"echo: cannot listen on 127.0.0.1:{taken}" in text, text
        assert f"process {os.getpid()} does" in text, text
        assert refuses(free)


def test_a_dry_run_tells_the_words_and_changes_nothing(run_daemon, port):
    number, added = port(), port()
    daemon = run_daemon(echo(number))
    before = what_is_in_force(daemon)
    text = reload(daemon, echo([number, added], MAX_PROCS=7), dry_run=True)
    assert "max_procs 6 -> 7" in text, text
    assert what_is_in_force(daemon) == before
    assert refuses(added)
    assert daemon.status()["dispatcher"]["last_reload"] is None
    daemon.wait(lambda status: status["dispatcher"]["config_changed_on_disk"], "it is noticed")


def test_a_second_reload_is_refused_while_one_is_under_way(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number))
    rewrite(daemon, echo(number), echo(other, "mute", IMAGE="rogue",
                                       PARAMETER="MODE=never_ready", START_TIMEOUT="2s"))
    daemon.expect_errors("config.refused", "worker.spawn_failed")
    first = daemon.begin("reload")
    wait_until(lambda: daemon.events("worker.spawn", "worker=mute/1"), "it is under way")
    assert "under way" in daemon.order("reload", expect=1)["text"]
    assert daemon.wait_result(first)["status"] == 1


def test_no_service_is_opened_or_closed_while_other_tables_are_prepared(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number))
    rewrite(daemon, echo(number), echo(other, "mute", IMAGE="rogue",
                                       PARAMETER="MODE=never_ready", START_TIMEOUT="3s"))
    daemon.expect_errors("config.refused", "worker.spawn_failed")
    first = daemon.begin("reload")
    wait_until(lambda: daemon.events("worker.spawn", "worker=mute/1"), "it is under way")
    for verb in ("start", "shutdown", "enable", "disable"):
        assert "a reload is under way: try again" in daemon.order(verb, "echo", expect=1)["text"]
    assert daemon.wait_result(first)["status"] == 1
    clients.echo(number)
    daemon.order("disable", "echo")


def test_a_service_that_fails_while_other_tables_are_prepared_is_opened_as_a_whole(
        run_daemon, port, directory, stage):
    number, added, slow = port(), port(), port()
    image, away = directory / "image", directory / "away"
    shutil.copy(stage.program("dispatcher-echo"), image)
    daemon = run_daemon(echo(number, IMAGE=image, MIN_PROCS=1, MAX_PROCS=1))
    rewrite(daemon, echo([number, added], IMAGE=image, MIN_PROCS=1, MAX_PROCS=1),
            echo(slow, "slow", IMAGE="rogue", START_TIMEOUT="30s",
                 PARAMETER=["MODE=slow_start", "MILLISECONDS=2000"]))
    daemon.expect_errors("service.failed", "worker.spawn_failed")
    first = daemon.begin("reload")
    wait_until(lambda: daemon.events("worker.spawn", "worker=slow/1"), "it is under way")
    image.rename(away)
    os.kill(daemon.workers("echo")[0]["pid"], signal.SIGKILL)
    daemon.wait_event("service.failed", "service=echo")
    away.rename(image)
    assert daemon.wait_result(first)["status"] == 0
    daemon.wait_service(lambda one: one["state"] == "open", "it is open again", "echo", 20)
    clients.echo(number)
    clients.echo(added)


def test_a_shutdown_abandons_a_reload(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number))
    rewrite(daemon, echo(number), echo(other, "mute", IMAGE="rogue",
                                       PARAMETER="MODE=never_ready", START_TIMEOUT="30s"))
    daemon.expect_errors("config.refused", "worker.spawn_failed")
    daemon.begin("reload")
    wait_until(lambda: daemon.events("worker.spawn", "worker=mute/1"), "it is under way")
    assert daemon.shut_down(seconds=10) == 0


def test_fewer_workers_than_live_retire_and_finish_what_they_serve(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number, MIN_PROCS=6, MIN_CONNS=1))
    with Busy(number, 60):
        text = reload(daemon, echo(number, MIN_PROCS=1, MAX_PROCS=2, MIN_CONNS=1))
        assert "no worker is touched" in text, text
        daemon.wait_event("worker.retire", "reason=surplus", count=2)
    daemon.wait_service(lambda one: len(one["workers"]) <= 2, "the others have gone", seconds=20)
    reload(daemon, echo(number, MIN_PROCS=6))
    daemon.wait(daemon.is_ready, "six again")


def test_new_workers_without_a_free_place_come_when_old_ones_have_gone(run_daemon, port):
    number = port()
    many = dict(MIN_PROCS=20, MIN_CONNS=20, MAX_CONNS=20)
    daemon = run_daemon(echo(number, MAX_PROCS=20, **many))
    daemon.wait_service(lambda one: len(daemon.workers()) == 20, "20 workers")
    before = serials(daemon)
    reload(daemon, echo(number, MIN_PROCS=1, MAX_PROCS=2, MAX_SHUTDOWN=1, PARAMETER="OTHER=1"))
    clients.echo(number)
    daemon.wait_service(lambda one: serials(daemon) and not serials(daemon) & before, "new workers")
    clients.echo(number)


def test_a_service_that_is_off_in_the_file_closes_and_opens_again(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number), echo(other, "other"))
    with Busy(number, 5), Held() as held:
        sock = held.open(other)
        reload(daemon, echo(number), echo(other, "other", ENABLE=0))
        wait_until(lambda: refuses(other), "its port is closed")
        clients.echo_on(sock, b"still there\n")
        reload(daemon, echo(number), echo(other, "other"))
        clients.echo(other)
        clients.echo_on(sock, b"still there\n")


def test_more_old_workers_than_may_drain_are_refused_by_name(run_daemon, port):
    number = port()
    limits = dict(MIN_PROCS=1, MAX_PROCS=1)
    daemon = run_daemon(echo(number, **limits))
    with Busy(number, 1):
        old, = serials(daemon)
        reload(daemon, echo(number, PARAMETER="A=1", **limits))
        daemon.wait_service(lambda one: any(w["state"] == "retiring" for w in one["workers"]), "it drains")
        text = refused(daemon, echo(number, PARAMETER="A=2", **limits))
        assert "echo: 1 workers of it still finish what they serve" in text and old in text, text
    daemon.wait_service(lambda one: len(one["workers"]) == 1, "the old one is gone")
    reload(daemon, echo(number, PARAMETER="A=2", **limits))


def test_what_an_operator_closed_stays_closed(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(echo(number), echo(other, "other"))
    daemon.order("shutdown", "other")
    daemon.wait_service(lambda one: one["state"] == "closed", "closed", "other")
    reload(daemon, echo(number), echo(other, "other", MAX_PROCS=9))
    assert daemon.service("other")["state"] == "closed"
    assert refuses(other)
    daemon.order("start", "other")
    clients.echo(other)


def test_log_files_change_with_the_configuration(run_daemon, port, directory):
    number = port()
    daemon = run_daemon(echo(number))
    log = directory / "echo.log"
    reload(daemon, echo(number, LOGFILE=log))
    wait_until(log.exists, "its log file")
    assert str(log) in processes.descriptors(daemon.supervisor_pid).values()
    reload(daemon, echo(number))
    wait_until(lambda: str(log) not in processes.descriptors(daemon.supervisor_pid).values(), "closed")
    clients.echo(number)


def test_hup_reloads(run_daemon, port):
    number = port()
    daemon = run_daemon(echo(number))
    rewrite(daemon, echo(number, MAX_PROCS=9))
    os.kill(daemon.supervisor_pid, signal.SIGHUP)
    daemon.wait_event("config.reloaded", "max_procs 6 -> 9")
    assert daemon.service()["max_procs"] == 9


def test_services_change_places(run_daemon, port):
    """Their indexes change, their workers, connections and counters stay with them."""
    names = ["a", "b", "c"]
    numbers = {name: port() for name in names}
    daemon = run_daemon(*[echo(numbers[name], name) for name in names])
    with Busy(numbers["a"], 3), Busy(numbers["b"], 5), Busy(numbers["c"], 7):
        before = {name: serials(daemon, name) for name in names}
        for order in (["c", "a", "b"], ["b", "c", "a"], ["a", "b", "c"]):
            reload(daemon, *[echo(numbers[name], name) for name in order])
            status = daemon.status()
            assert [one["name"] for one in status["services"]] == order
            for name in names:
                assert before[name] <= {w["id"] for w in daemon.service(name, status)["workers"]}


def test_an_acceptor_that_is_killed_meanwhile_costs_nothing(run_daemon, port, rounds):
    number = port()
    daemon = run_daemon(echo(number))
    daemon.expect_errors("acceptor.exit")
    killed = 0
    with Busy(number, 20):
        for i in range(rounds(10)):
            rewrite(daemon, echo(number, MAX_PROCS=7 + i % 2, PARAMETER=f"ROUND={i}"))
            pid = daemon.acceptor_pid()
            reload_id = daemon.begin("reload")
            time.sleep(i % 10 * 0.005)
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass  # it was replaced already
            assert daemon.wait_result(reload_id)["status"] == 0
            assert daemon.service()["max_procs"] == 7 + i % 2
    assert killed


@pytest.mark.root
def test_an_ssh_session_and_clones_survive_five_reloads(run_daemon, directory, port):
    made = []
    for kind in (Ssh, Git):
        where = directory / kind.__name__.lower()
        where.mkdir(mode=0o755)
        made.append(kind(where, port()))
    ssh, git = made
    options = dict(MIN_PROCS=1, MAX_PROCS=2, MAX_LIFE_CONNS=0)
    daemon = run_daemon(ssh.section(**options), git.section())
    with Session(ssh) as session:
        for turn in range(5):
            reload(daemon, ssh.section(**options, NICE=turn + 1), git.section())
            daemon.wait(daemon.is_ready, "new workers serve")
            git.use(f"clone{turn}")
            ssh.use(f"turn{turn}")
        assert serials(daemon, "ssh", "retiring")
        session.end()
    daemon.wait_service(lambda one: not [w for w in one["workers"] if w["state"] == "retiring"],
                        "the old ones are gone", "ssh")


def test_continuous_load_notices_no_reload(run_daemon, port, rounds, stage, directory):
    """All kinds of changes in turn, again and again; the long form holds 1,000 connections."""
    number, extra, other = port(), port(), port()
    image = directory / "another-echo"
    shutil.copy(stage.program("dispatcher-echo"), image)

    def busy_one(ports, **more):
        return echo(ports, **{**dict(MAX_PROCS=200), **more})

    daemon = run_daemon(busy_one(number))
    variants = [
        [busy_one(number, MAX_PROCS=199)],
        [busy_one([number, extra])],
        [busy_one([number, extra]), echo(other, "other")],
        [echo(other, "other"), busy_one(number, PARAMETER="COLOUR=blue")],
        [busy_one(number, IMAGE=image)],
    ]
    with Busy(number, min(1000, rounds(100))) as busy:
        for i in range(rounds(10)):
            reload(daemon, *variants[i % len(variants)])
        reload(daemon, busy_one(number))
        daemon.wait(lambda status: [one["name"] for one in status["services"]] == ["echo"],
                    "nothing else is left", 30)
    print("\n", busy.result)
