"""One service closed and opened again, while the others go on: shutdown, start, disable, enable."""

import os
import re
import shutil
import signal
import time

import pytest

from harness import processes
from harness.clients import Held, connect, echo, is_served
from harness.daemon import service
from harness.load import Load

pytestmark = pytest.mark.sanitized


def two(port, **options):
    """Sections of two echo services, and their ports."""
    ports = [port(), port()]
    return ports, [service(name, number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=3, **options)
                   for name, number in zip(("one", "two"), ports)]


def refused(port):
    try:
        connect(port, 3).close()
        return False
    except ConnectionRefusedError:
        return True


def wait_state(daemon, name, state, seconds=10.0):
    return daemon.wait_service(lambda one: one["state"] == state, state, name, seconds)


def test_a_service_closes_and_opens_under_load_and_the_other_notices_nothing(run_daemon, port, rounds):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    with Load(ports[1], 8) as other, Load(ports[0], 8) as own:
        daemon.wait_service(lambda one: one["done"] > 10, "under load", "one")
        for number in range(rounds(5)):
            with Held() as held:
                held.open(ports[0])
                daemon.order("shutdown", "one")
                processes.wait_until(lambda: refused(ports[0]), "the port is closed", 10)
                assert is_served(held.socks[0]), "a client that was served is served on"
                assert daemon.service("one")["closed_until"] == "start"
            if number % 2:
                wait_state(daemon, "one", "closed")
            daemon.order("start", "one")
            echo(ports[0])
        result, others = own.stop(), other.stop()
    assert set(result["failed"]) <= {"Connection refused"}, result
    assert result["ok"] and others["ok"] and not others["failed"], others
    print(f"closed one: {result}; the other: {others}")


def test_only_a_shutdown_has_a_deadline_that_nobody_asked_for(run_daemon, port):
    ports, sections = two(port, SHUTDOWN_TIMEOUT="1s")
    daemon = run_daemon(*sections)
    with Held() as held:
        for number in ports:
            held.open(number)
        daemon.order("disable", "two")
        daemon.order("shutdown", "one")
        wait_state(daemon, "one", "closed")  # its deadline cut the one that was held
        retiring, = [w for w in daemon.service("two")["workers"] if w["connections"]]
        assert retiring["state"] == "retiring" and retiring["deadline_seconds"] is None, retiring
        assert is_served(held.socks[1])


def test_a_service_at_a_path_closes_and_opens_under_load(run_daemon, directory, rounds):
    path = directory / "sock"
    daemon = run_daemon(service("one", f"unix:{path}", IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=3))
    with Load(path, 8) as own, Held() as held:
        held.open(path)
        daemon.wait_service(lambda one: one["done"] > 10, "under load")
        for _ in range(rounds(5)):
            daemon.order("shutdown", "one")
            assert is_served(held.socks[0])
            daemon.order("start", "one")
            echo(path)
        result = own.stop()
    assert set(result["failed"]) <= {"No such file or directory", "Connection refused"}, result
    assert result["ok"], result


def test_a_close_goes_on_under_the_next_acceptor(run_daemon, port, rounds):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    daemon.expect_errors("acceptor.exit")
    with Load(ports[1], 4) as other, Load(ports[0], 4) as own, Held() as held:
        held.open(ports[0])
        daemon.wait_service(lambda one: one["done"] > 10, "under load", "one")
        for number in range(rounds(5)):
            acceptor = daemon.acceptor_pid()
            order = daemon.begin("shutdown", "one")
            time.sleep(0.02 * (number % 5))  # before, during and behind the giving up of the ports
            os.kill(acceptor, signal.SIGKILL)
            ended = daemon.wait_result(daemon.begin("shutdown", "one", id=order))
            assert ended["status"] == 0, ended
            daemon.order("start", "one")
            echo(ports[0])
            assert is_served(held.socks[0])
        result, others = own.stop(), other.stop()
    assert set(result["failed"]) <= {"Connection refused"}, result
    assert result["ok"] and others["ok"] and not others["failed"], others
    print(f"closed one: {result}; the other: {others}")


def test_ports_given_up_under_one_acceptor_are_opened_again_under_the_next(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    daemon.expect_errors("acceptor.exit")
    with Held() as held:
        held.open(ports[0])
        daemon.order("shutdown", "one")
        processes.wait_until(
            lambda: not any(l["open"] for l in daemon.service("one")["listeners"]), "the port is given up")
        os.kill(daemon.acceptor_pid(), signal.SIGKILL)
        daemon.order("start", "one")  # the next acceptor has never heard of a listener
        echo(ports[0])
        assert is_served(held.socks[0])


def test_a_service_is_opened_again_while_its_old_workers_drain(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    with Held() as held:
        for _ in range(3):
            held.open(ports[0])
            daemon.order("shutdown", "one")
            daemon.order("start", "one")
            echo(ports[0])
            assert all(is_served(sock) for sock in held.socks)
        states = [w["state"] for w in daemon.service("one")["workers"]]
        assert states.count("retiring") == 3, states
        daemon.order("shutdown", "one")
        answer = daemon.order("start", "one", expect=1)
        assert "still finish" in answer["text"] and "--now" in answer["text"], answer
        daemon.order("shutdown", "one", now=True)
        wait_state(daemon, "one", "closed")
    daemon.order("start", "one")
    daemon.wait_service(lambda one: len(one["workers"]) == 1, "the old workers are gone", "one")


def test_a_close_with_a_deadline_cuts_who_is_left(run_daemon, port):
    ports, sections = two(port, KILL_TIMEOUT="2s")
    daemon = run_daemon(*sections)
    with Held() as held:
        held.open(ports[0])
        held.open(ports[1])
        begun = time.monotonic()
        assert "within" in daemon.order("shutdown", "one", drain_ms=500)["text"]
        wait_state(daemon, "one", "closed")
        assert 0.5 <= time.monotonic() - begun < 0.5 + 2 + 2 + 3
        assert is_served(held.socks[1])
    daemon.wait_event("worker.signal", "worker=one/", "reason=closed", "signal=TERM")


def test_a_later_order_may_hurry_a_close_that_is_under_way(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    with Held() as held:
        held.open(ports[0])
        daemon.order("shutdown", "one")
        assert "closing already" in daemon.order("shutdown", "one")["text"]
        assert is_served(held.socks[0])
        daemon.order("shutdown", "one", now=True)
        wait_state(daemon, "one", "closed")


def test_who_closed_a_service_is_known_and_a_crash_opens_nothing(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    daemon.order("shutdown", "one")
    before = wait_state(daemon, "one", "closed")
    assert re.fullmatch(r"uid=\d+ pid=\d+", before["closed_by"]) and before["closed_at"]
    acceptor = daemon.acceptor_pid()
    daemon.expect_errors("acceptor.exit")
    os.kill(acceptor, signal.SIGKILL)
    daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] != acceptor
                and daemon.service("two", status)["settled"], "another acceptor")
    after = daemon.service("one")
    assert [after[key] for key in ("state", "closed_by", "closed_at", "closed_until")] \
        == ["closed", before["closed_by"], before["closed_at"], "start"]
    assert refused(ports[0])
    echo(ports[1])
    assert "before, it was closed by uid" in daemon.order("shutdown", "one")["text"]
    daemon.order("start", "one")
    echo(ports[0])
    assert daemon.service("one")["closed_by"] is None


def test_no_reload_restart_or_upgrade_opens_what_was_closed(run_daemon, port):
    ports, sections = two(port)
    moved = port()
    daemon = run_daemon(*sections)
    daemon.order("shutdown", "one")
    wait_state(daemon, "one", "closed")
    daemon.order("disable", "two")
    wait_state(daemon, "two", "closed")
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(text.replace(f":{ports[0]}\n", f":{moved}\n").replace(
        "MAX_PROCS=3", "MAX_PROCS=4") + service("new", port(), IMAGE="dispatcher-echo"))
    for verb, *words in (["reload"], ["restart", "acceptor"], ["upgrade"]):
        daemon.order(verb, *words)
        wait_state(daemon, "new", "open")
        for name, until in (("one", "start"), ("two", "enable")):
            one = daemon.service(name)
            assert (one["state"], one["closed_until"], one["max_procs"]) == ("closed", until, 4), (verb, one)
        assert refused(ports[0]) and refused(moved) and refused(ports[1])
    assert daemon.order("restart", "one", expect=1)
    daemon.order("start", "one")
    daemon.order("enable", "two")
    echo(moved)
    echo(ports[1])


def test_a_shutdown_ends_with_a_new_start_and_a_disable_does_not(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    daemon.order("shutdown", "one")
    daemon.order("disable", "two")
    assert daemon.shut_down() == 0
    daemon.start(ready=False)
    wait_state(daemon, "one", "open")
    assert wait_state(daemon, "two", "closed")["closed_until"] == "enable"
    echo(ports[0])
    assert refused(ports[1])
    answer = daemon.order("start", "two", expect=1)
    assert re.search(r"two was disabled by uid=\d+ pid=\d+ at \d{4}-.*; enable it", answer["text"])
    daemon.order("enable", "two")
    echo(ports[1])
    assert (daemon.directory / "state" / "disabled").read_text() == ""


def test_a_name_that_no_service_has_is_told_and_kept(make_daemon, port):
    ports, sections = two(port)
    daemon = make_daemon(*sections)
    remembered = daemon.directory / "state" / "disabled"
    remembered.write_text("two\nformer @1700000000000 by hand\n")
    daemon.start(ready=False)
    daemon.settle("one")
    assert daemon.service("two")["closed_until"] == "enable"
    assert daemon.service("two")["closed_by"] == "unknown"
    daemon.wait_event("config.warning", "there is no service former")
    daemon.order("enable", "two")
    assert remembered.read_text() == "former @1700000000000 by hand\n"


def test_two_who_start_a_closing_service_are_both_answered(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    with Held() as held:
        held.open(ports[0])
        orders = [daemon.begin("shutdown", "one"), daemon.begin("start", "one"), daemon.begin("start", "one")]
        texts = [daemon.wait_result(order)["text"] for order in orders]
        assert "is closing" in texts[0] and all("one is open" in text for text in texts[1:]), texts
        orders = [daemon.begin("shutdown", "one"), daemon.begin("start", "one"), daemon.begin("disable", "one")]
        ended = [daemon.wait_result(order) for order in orders]
        assert ended[0]["status"] == ended[2]["status"] == 0, ended
        assert "one: closed again" == ended[1]["text"] or ended[1]["status"] == 0, ended
        assert daemon.service("one")["state"] == "closing"
        assert is_served(held.socks[0])


def test_what_cannot_be_remembered_is_closed_all_the_same(run_daemon, port):
    ports, sections = two(port)
    daemon = run_daemon(*sections)
    (daemon.directory / "state").rmdir()
    (daemon.directory / "state").write_text("")
    answer = daemon.order("disable", "one", expect=1)
    assert "not remembered" in answer["text"] and "one is clos" in answer["text"]
    wait_state(daemon, "one", "closed")
    assert refused(ports[0])
    answer = daemon.order("enable", "one", expect=1)
    assert "one is open" in answer["text"] and "not remembered" in answer["text"]
    echo(ports[0])


def test_the_file_wins_and_is_named_with_its_line(make_daemon, port):
    off = service("off", port(), IMAGE="dispatcher-echo", ENABLE=0)
    daemon = make_daemon(service("on", port(), IMAGE="dispatcher-echo"), off).start(ready=False)
    daemon.settle("on")
    line = daemon.config_path.read_text().splitlines().index("ENABLE=0") + 1
    for verb in ("start", "enable"):
        text = daemon.order(verb, "off", expect=1)["text"]
        assert f"{daemon.config_path}:{line}" in text, text
    assert daemon.service("off")["closed_until"] == "configuration"


def test_a_failed_service_is_tried_at_once(make_daemon, port, stage):
    number = port()
    daemon = make_daemon(service("on", port(), IMAGE="dispatcher-echo"))
    image = daemon.directory / "late"
    daemon.write_config("", "", service("late", number, IMAGE=image))
    daemon.expect_errors("service.failed")
    daemon.start(ready=False)
    wait_state(daemon, "late", "failed")
    answer = daemon.order("start", "late", expect=1)
    assert str(image) in answer["text"], answer
    shutil.copy(stage.program("dispatcher-echo"), image)
    assert daemon.order("start", "late")["text"] == "late is open"
    echo(number)


def test_the_end_of_a_worker_is_logged_once_though_the_acceptor_changes(make_daemon, port, stage):
    number = port()
    daemon = make_daemon()
    image = daemon.directory / "echo"
    shutil.copy(stage.program("dispatcher-echo"), image)
    daemon.write_config("", "", service("one", number, IMAGE=image, MIN_PROCS=1, MAX_PROCS=1,
                                        HANDOFF_TIMEOUT="1h"))
    daemon.expect_errors("service.failed", "worker.spawn_failed", "acceptor.exit")
    daemon.start(ready=False)
    worker = wait_state(daemon, "one", "open") and daemon.settle("one")["workers"][0]
    os.kill(worker["pid"], signal.SIGSTOP)
    with Held() as held:
        sock = held.open(number, served=False)
        daemon.wait_service(lambda one: sum(w["unread"] for w in one["workers"]) == 1, "unread", "one")
        image.rename(daemon.directory / "away")
        os.kill(worker["pid"], signal.SIGKILL)
        wait_state(daemon, "one", "failed")
        acceptor = daemon.acceptor_pid()
        os.kill(acceptor, signal.SIGKILL)
        daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] != acceptor, "another acceptor")
        (daemon.directory / "away").rename(image)
        daemon.order("start", "one")
        assert is_served(sock)
    assert len(daemon.events("worker.exit", "worker=one/1 ")) == 1, daemon.tail()


def test_a_service_that_backs_off_is_tried_at_once(make_daemon, port):
    daemon = make_daemon(service("ill", port(), IMAGE="/bin/false", MIN_PROCS=1, MAX_PROCS=1))
    daemon.unsettled.add("ill")
    daemon.start(ready=False)
    before = daemon.wait_service(lambda one: one["backoff_seconds"] > 5, "a long back-off", seconds=20)
    daemon.order("start", "ill")
    daemon.wait_service(lambda one: one["spawns"] > before["spawns"], "another try", seconds=4)
