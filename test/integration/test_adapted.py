"""Unmodified servers as workers (ADAPTER=server): python3's http.server and a small one in C."""

import os
import signal
import time

import pytest

from harness import clients, processes
from harness.clients import Held
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until


def adapted(stage, name, mode, *ports, **options):
    """A service of the C server (workers/server.c)."""
    where = " ".join(port[5:] if isinstance(port, str) else f"127.0.0.1:{port}" for port in ports)
    return service(name, *ports, ADAPTER="server", COMMAND=f"{stage.program('server')} {mode} {where}",
                   **options)


def counts(one):
    return one["accepted"], one["done"], one["lost"], one["connections"]


def wait_counts(daemon, *expected, name=None):
    """Exactly these: accepted, done, lost, open."""
    return daemon.wait_service(lambda one: counts(one) == expected, f"counts {expected}", name)


def test_a_server_that_knows_nothing_of_us_serves_and_is_counted(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=1, MAX_PROCS=1))
    clients.echo(number)
    wait_counts(daemon, 1, 1, 0, 0)


@pytest.mark.parametrize("mode", ["poll", "threads", "forks", "preforks", "raw"])
def test_every_connection_is_served_and_counted_while_workers_are_recycled(
        stage, run_daemon, port, rounds, mode):
    number, count = port(), rounds(1500)
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=2, MAX_PROCS=4,
                                MAX_LIFE_CONNS=100))
    with Load(number, 16, count) as load:
        result = load.wait()
    assert result["failed"] == {}, result
    wait_counts(daemon, count, count, 0, 0)
    assert len(daemon.events("worker.exit", "reason=spent", "lost=0")) >= 2


# --- workers that die ---


def members(daemon, pattern):
    """Living processes below the dispatcher whose command line has this word."""
    return [pid for pid in processes.descendants(daemon.supervisor_pid)
            if pattern in processes.command(pid)]


def busiest(daemon, seconds=10.0):
    """A worker that has connections, under load."""
    def serving(one):
        return [w for w in one["workers"] if w["state"] == "serving" and w["connections"]]

    busy = serving(daemon.wait_service(serving, "under load", seconds=seconds))
    return max(busy, key=lambda w: w["connections"])


@pytest.mark.sanitized
@pytest.mark.parametrize("mode", ["poll", "forks", "preforks"])
def test_only_the_connections_of_a_killed_worker_are_lost(stage, run_daemon, port, rounds, mode):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=3, MAX_PROCS=6, MAX_CONNS=4))
    with Load(number, 8) as load:
        for _ in range(rounds(5)):
            victim = busiest(daemon, 70)  # workers that end too early hold the next one up
            os.kill(victim["pid"], signal.SIGKILL)
            daemon.wait_event("worker.exit", f"pid={victim['pid']} ")
        result = load.stop()
    one = daemon.wait_service(lambda one: one["connections"] == 0, "nothing is left")
    failed = sum(result["failed"].values())
    assert failed <= one["lost"], (result, one)
    assert one["lost"] <= rounds(5) * 4, one
    assert one["accepted"] == one["done"] + one["lost"] == result["ok"] + failed, (one, result)


def test_the_kernel_tells_what_a_killed_child_cannot(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "forks", number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=4))
    with Held() as held:
        held.open(number)
        held.open(number)
        worker = daemon.workers()[0]["pid"]
        children = [pid for pid in members(daemon, "forks") if pid != worker]
        assert len(children) == 2, children
        os.kill(children[0], signal.SIGKILL)
        one = wait_counts(daemon, 2, 1, 0, 1)
        assert one["freed"] == 1, one
        assert [w["pid"] for w in one["workers"]] == [worker], "only a child of it was killed"
    wait_counts(daemon, 2, 2, 0, 0)


def test_more_ends_than_the_kernel_can_tell_at_once_are_all_found(stage, run_daemon, port):
    number, count = port(), 1500
    daemon = run_daemon(adapted(stage, "echo", "raw", number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=2000,
                                MAX_HANDOFFS=100))
    acceptor = daemon.acceptor_pid()
    with Held() as held:
        for _ in range(count):
            held.open(number)
        wait_counts(daemon, count, 0, 0, count)
        os.kill(acceptor, signal.SIGSTOP)
        held.close()
        worker = next(pid for pid in members(daemon, f"raw 127.0.0.1:{number}"))
        wait_until(lambda: len(processes.descriptors(worker)) < 50, "it has closed them")
        os.kill(acceptor, signal.SIGCONT)
    one = wait_counts(daemon, count, count, 0, 0)
    assert one["freed"] == count, one
    assert daemon.acceptor_pid() == acceptor


@pytest.mark.parametrize("mode", ["preforks", "leaver"])
def test_no_process_of_a_worker_stays_when_its_first_is_killed(stage, run_daemon, port, mode):
    number, other = port(), port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=4),
                        adapted(stage, "other", "preforks", other, MIN_PROCS=1, MAX_PROCS=1))
    clients.echo(number)
    bystanders = set(members(daemon, f"preforks 127.0.0.1:{other}"))
    before = set(members(daemon, f"{mode} 127.0.0.1:{number}"))
    assert len(before) == 5 and len(bystanders) == 5, (before, bystanders)
    os.kill(daemon.workers("echo")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: not before & set(members(daemon, str(number))),
               lambda: f"left behind: {before & set(members(daemon, str(number)))}")
    wait_until(lambda: _echoes(number), "its replacement serves")
    assert set(members(daemon, str(other))) == bystanders


def _echoes(address):
    try:
        clients.echo(address, seconds=1)
        return True
    except OSError:
        return False


# --- HANG_TIMEOUT ---


def hanging(stage, number, mode, **options):
    return adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=2, HANG_TIMEOUT="1s",
                   HANDOFF_TIMEOUT="300ms", START_TIMEOUT="30s", KILL_TIMEOUT="1s", **options)


@pytest.mark.parametrize("mode", ["stopped", "sleeps", "spins"])
def test_a_server_that_hangs_is_recorded_and_replaced(stage, run_daemon, port, mode):
    number = port()
    daemon = run_daemon(hanging(stage, number, "poll" if mode == "stopped" else mode))
    pid = daemon.workers()[0]["pid"]
    with Held() as held:
        sock = held.open(number, served=mode == "stopped")
        if mode == "stopped":
            os.kill(pid, signal.SIGSTOP)
        sock.sendall(b"nobody reads this")
        daemon.wait_event("worker.record", f"pid={pid} ", seconds=20)
        daemon.wait_event("worker.exit", f"pid={pid} ", "reason=hung", "lost=1", seconds=20)
    if mode == "stopped":
        clients.echo(number)


def test_a_server_that_waits_for_slow_clients_does_not_hang(stage, run_daemon, port):
    number, full, other = port(), port(), port()
    daemon = run_daemon(hanging(stage, number, "poll"),
                        adapted(stage, "full", "poll", full, HANG_TIMEOUT="600ms"),
                        adapted(stage, "other", "sleeps", other, HANG_TIMEOUT="3s", KILL_TIMEOUT="1s"))
    with Held() as held:
        held.open(number)  # says nothing any more
        sock = held.open(full)  # sends and never reads
        sock.setblocking(False)
        try:
            while True:
                sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        held.open(other, served=False).sendall(b"?")
        # by the time that the other is found to hang, these two were looked at several times
        daemon.wait_event("worker.record", "worker=other/1 ", seconds=20)
        assert not daemon.events("worker.signal", "worker=(echo|full)/")
        assert daemon.service("echo")["connections"] == daemon.service("full")["connections"] == 1


# --- what goes wrong with servers ---


def unfit(daemon, *patterns, seconds=10.0):
    daemon.expect_errors("worker.unfit")
    daemon.unsettled.add("echo")
    return daemon.wait_event("worker.unfit", *patterns, seconds=seconds)


@pytest.mark.parametrize("mode", ["daemon", "waits"])
def test_a_server_that_becomes_a_daemon_is_named_with_the_remedy(stage, make_daemon, port, mode):
    number = port()
    daemon = make_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=1)).start(ready=False)
    unfit(daemon, "worker=echo/1", "background", "foreground")
    daemon.wait_service(lambda one: "background" in (one["unfit"] or ""), "status shows it")
    assert "foreground" in daemon.ctl("status").stdout
    wait_until(lambda: not members(daemon, f"{mode} 127"), "no process of it stays")


def test_a_server_that_listens_elsewhere_is_named_with_its_address(stage, make_daemon, port):
    number, other = port(), port()
    daemon = make_daemon(service("echo", number, ADAPTER="server", START_TIMEOUT="1s", KILL_TIMEOUT="1s",
                                 COMMAND=f"{stage.program('server')} poll 127.0.0.1:{other}")
                         ).start(ready=False)
    unfit(daemon, "worker=echo/1", f"127.0.0.1:{other}", "PORT")
    daemon.expect_errors("worker.signal")


def test_a_server_that_serves_one_at_a_time_is_named_and_serves_on(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "single", number, MIN_PROCS=2, MAX_PROCS=2,
                                HANDOFF_TIMEOUT="200ms"))
    with Held() as held:
        held.open(number)
        held.open(number)
    with Held() as held:  # both have served one
        held.open(number)
        held.open(number)
        held.open(number, served=False)
        daemon.expect_errors("worker.unfit")
        daemon.wait_event("worker.unfit", "one connection at a time", "MAX_CONNS=1")
        held.close_one()
        assert clients.is_served(held.socks[-1])
    wait_counts(daemon, 5, 5, 0, 0)
    assert not daemon.events("worker.signal"), "nobody was killed for that"


def test_a_server_that_accepts_by_io_uring_is_named_with_the_remedy(stage, make_daemon, port):
    number = port()
    daemon = make_daemon(adapted(stage, "echo", "uring", number, MIN_PROCS=1, MAX_PROCS=1,
                                 HANDOFF_TIMEOUT="300ms", KILL_TIMEOUT="1s", SHUTDOWN_TIMEOUT="1s")
                         ).start(ready=False)
    daemon.unsettled.add("echo")
    daemon.expect_errors("worker.unfit")
    wait_until(lambda: daemon.events("worker.exit", "exit:77") or daemon.events("worker.ready"), "it began")
    if daemon.events("worker.exit", "exit:77"):
        pytest.skip("this kernel has no io_uring")
    with Held() as held:
        held.open(number, served=False)
        unfit(daemon, "worker=echo/1", "io_uring")
        daemon.wait_service(lambda one: "io_uring" in (one["unfit"] or ""), "status shows it")


@pytest.mark.parametrize("mode", ["exits", "closer", "bomb"])
def test_what_a_server_does_to_itself_harms_no_other(stage, run_daemon, port, mode):
    number, other = port(), port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=1, MAX_PROCS=2),
                        adapted(stage, "other", "poll", other, MIN_PROCS=2, MAX_PROCS=2))
    daemon.unsettled.add("echo")
    before = [w["pid"] for w in daemon.workers("other")]
    with Load(other, 4) as load:
        for _ in range(6):
            _echoes(number)
        if mode == "bomb":
            os.kill(daemon.workers("echo")[0]["pid"], signal.SIGKILL)
            daemon.wait_event("worker.exit", "worker=echo/1")
        result = load.stop()
    assert result["failed"] == {} and result["ok"] > 0, result
    assert [w["pid"] for w in daemon.workers("other")] == before
    wait_until(lambda: _echoes(number), "it serves again")
    if mode == "closer":
        assert not daemon.events("worker.exit", "worker=echo"), "it had closed nothing of ours"


# --- the dispatcher changes, or dies ---


def new_acceptor(daemon, old):
    return daemon.wait(lambda status: status["dispatcher"]["acceptor_pid"] not in (0, None, old),
                       "a new acceptor", 15)["dispatcher"]["acceptor_pid"]


def assert_none(daemon, *events):
    assert not [line for event in events for line in daemon.events(event)]


def check_nobody_noticed(daemon, result, others=0):
    total = result["ok"] + others
    assert result["failed"] == {}, result
    wait_counts(daemon, total, total, 0, 0)


@pytest.mark.parametrize("mode", ["poll", "preforks"])
def test_kill_9_of_the_acceptor_costs_no_client_anything(stage, run_daemon, port, rounds, mode):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=4, MAX_PROCS=4, MAX_CONNS=50))
    daemon.expect_errors(r"acceptor\.exit")
    with Held() as held, Load(number, 16) as load:
        held.open(number)
        for _ in range(rounds(8)):
            busiest(daemon)
            pid = daemon.acceptor_pid()
            os.kill(pid, signal.SIGKILL)
            new_acceptor(daemon, pid)
        clients.echo_on(held.socks[0], b"never cut\n")
        held.close()
        result = load.stop()
    check_nobody_noticed(daemon, result, 1)
    assert_none(daemon, "worker.signal", "worker.false_report")


def test_who_is_too_busy_to_read_is_left_alone_by_the_next_acceptor(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "single", number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=2,
                                START_TIMEOUT="1s"))
    daemon.expect_errors(r"acceptor\.exit", r"worker\.unfit")
    with Held() as held:
        held.open(number)
        held.open(number, served=False)
        daemon.wait_service(lambda one: one["workers"][0]["unread"] == 1, "it waits")
        pid = daemon.acceptor_pid()
        os.kill(pid, signal.SIGKILL)
        new_acceptor(daemon, pid)
        time.sleep(2.5)  # START_TIMEOUT, in which others must answer
        clients.echo_on(held.socks[0], b"never cut\n")
        held.close_one()
        assert clients.is_served(held.socks[-1])
    wait_counts(daemon, 2, 2, 0, 0)
    assert_none(daemon, "worker.signal")


def test_what_ends_while_no_acceptor_lives_is_counted_by_the_next(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "forks", number, MIN_PROCS=1, MAX_PROCS=1, MAX_CONNS=4))
    daemon.expect_errors(r"acceptor\.exit")
    with Held() as held:
        held.open(number)
        held.open(number)
        worker = daemon.workers()[0]["pid"]
        child = next(pid for pid in members(daemon, "forks") if pid != worker)
        acceptor = daemon.acceptor_pid()
        os.kill(acceptor, signal.SIGSTOP)
        os.kill(child, signal.SIGKILL)
        os.kill(acceptor, signal.SIGKILL)
        new_acceptor(daemon, acceptor)
        wait_counts(daemon, 2, 1, 0, 1)
    wait_counts(daemon, 2, 2, 0, 0)


@pytest.mark.parametrize("order", [["restart", "echo"], ["reload"], ["restart", "acceptor"]])
def test_orders_under_load_cost_no_client_anything(stage, run_daemon, port, rounds, order):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=2, MAX_PROCS=6))
    with Held() as held, Load(number, 8) as load:
        held.open(number)
        for turn in range(rounds(3)):
            busiest(daemon)
            if order == ["reload"]:
                text = daemon.config_path.read_text()
                daemon.config_path.write_text(text + f"ENVIRONMENT=TURN={turn}\n")
            daemon.order(*order)
            daemon.wait_service(lambda one: len(one["workers"]) <= 5, "most of the old have gone")
        clients.echo_on(held.socks[0], b"never cut\n")
        held.close()
        result = load.stop()
    check_nobody_noticed(daemon, result, 1)
    assert not daemon.events("worker.signal", "signal=KILL")


def test_a_reload_that_adds_a_port_replaces_the_workers_and_mixes_nothing_up(stage, run_daemon, port):
    one, two = port(), port()
    daemon = run_daemon(adapted(stage, "echo", "poll", one, MIN_PROCS=2, MAX_PROCS=4))
    before = {w["pid"] for w in daemon.workers()}
    with Held() as held, Load(one, 8) as load:
        held.open(one)
        busiest(daemon)
        daemon.config_path.write_text(daemon.config_path.read_text().replace(
            f"PORT=127.0.0.1:{one}", f"PORT=127.0.0.1:{one}\nPORT=127.0.0.1:{two}").replace(
            f" poll 127.0.0.1:{one}", f" poll 127.0.0.1:{one} 127.0.0.1:{two}"))
        daemon.order("reload")
        for _ in range(20):
            clients.echo(two)
        clients.echo_on(held.socks[0], b"never cut\n")
        held.close()
        result = load.stop()
    check_nobody_noticed(daemon, result, 21)
    wait_until(lambda: not before & {w["pid"] for w in daemon.service()["workers"]}, "all are new")
    daemon.config_path.write_text(daemon.config_path.read_text().replace(
        f"\nPORT=127.0.0.1:{two}", "").replace(f" 127.0.0.1:{two}", ""))
    with Load(one, 8) as load:
        daemon.order("reload")
        daemon.wait_event("listener.closed", str(two))
        result = load.stop()
    assert result["failed"] == {}, result
    assert_none(daemon, "worker.signal", "worker.false_report", "worker.unfit")


def test_a_reload_that_adds_a_port_on_which_the_server_does_not_listen_is_refused(stage, run_daemon, port):
    one, two = port(), port()
    daemon = run_daemon(adapted(stage, "echo", "poll", one, MIN_PROCS=2, START_TIMEOUT="1s"))
    daemon.expect_errors("config.refused", "worker.unfit")
    before = {w["pid"] for w in daemon.workers()}
    daemon.config_path.write_text(daemon.config_path.read_text().replace(
        f"PORT=127.0.0.1:{one}", f"PORT=127.0.0.1:{one}\nPORT=127.0.0.1:{two}"))
    refused = daemon.ctl("reload")
    assert refused.returncode == 1
    assert f"does not listen on 127.0.0.1:{two}" in refused.stderr
    clients.echo(one)
    assert {w["pid"] for w in daemon.workers()} == before


@pytest.mark.parametrize("style", ["silent", "eof"])
def test_a_server_that_retires_gets_its_stop_signal_when_it_has_nothing_left(
        stage, run_daemon, port, style):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=1, MAX_PROCS=1,
                                MAX_LIFE_CONNS=1, STOP_SIGNAL="USR1", STOP_STYLE=style))
    with Held() as held:
        held.open(number)
        daemon.wait_event("worker.retire", "worker=echo/1 ", "reason=spent")
        clients.echo(number)  # another serves
        clients.echo_on(held.socks[0])
        assert not daemon.events("worker.exit", "worker=echo/1 ")
    status = "signal:USR1" if style == "silent" else "(signal:USR1|exit:0)"
    daemon.wait_event("worker.exit", "worker=echo/1 ", f"status={status}", "lost=0")


def test_past_its_deadline_a_server_is_told_to_stop_and_then_killed(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "deaf", number, MIN_PROCS=1, MAX_PROCS=2, KILL_TIMEOUT="500ms"))
    with Held() as held:
        held.open(number)
        daemon.order("restart", "echo", drain_ms=200)
        daemon.wait_event("worker.signal", "worker=echo/1 ", "signal=TERM", "connections=1")
        daemon.wait_event("worker.signal", "worker=echo/1 ", "signal=KILL")
        daemon.wait_event("worker.exit", "worker=echo/1 ", "status=signal:KILL", "lost=1")
    daemon.order("restart", "echo")
    daemon.wait_event("worker.exit", "worker=echo/2 ", "status=signal:KILL", "lost=0")


def test_over_a_unix_socket_too(stage, run_daemon, directory, rounds):
    path = f"{directory}/echo.sock"
    daemon = run_daemon(adapted(stage, "echo", "poll", f"unix:{path}", MIN_PROCS=2, MAX_PROCS=2,
                                MAX_LIFE_CONNS=50, SOCKET_MODE="0666"))
    with Load(path, 8, rounds(500)) as load:
        result = load.wait()
    check_nobody_noticed(daemon, result)
    assert os.path.exists(path), "no server of it removes the socket of all"


@pytest.mark.parametrize("mode", ["poll", "threads"])
def test_adapted_workers_end_by_themselves_when_the_dispatcher_is_gone(stage, run_daemon, port, mode):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", mode, number, MIN_PROCS=2, MAX_PROCS=2))
    pids = [w["pid"] for w in daemon.workers()]
    daemon.expect_errors("supervisor.gone")
    with Held() as held:
        held.open(number)
        acceptor = daemon.acceptor_pid()
        os.kill(daemon.supervisor_pid, signal.SIGKILL)
        daemon.process.wait()
        os.kill(acceptor, signal.SIGKILL)
        clients.echo_on(held.socks[0], b"never cut\n")
    wait_until(lambda: processes.reap() or not any(processes.alive(pid) for pid in pids),
               "they have gone")


def test_an_upgrade_keeps_them_and_they_end_as_before(stage, make_daemon, port):
    number = port()
    daemon = make_daemon(adapted(stage, "echo", "preforks", number, MIN_PROCS=2, MAX_PROCS=4,
                                 STOP_SIGNAL="USR1"))
    daemon.start()
    before = {w["id"]: w["pid"] for w in daemon.workers()}
    with Held() as held, Load(number, 4) as load:
        held.open(number)
        busiest(daemon)
        starts = len(daemon.events("acceptor.start"))
        daemon.order("upgrade")
        daemon.wait_event("acceptor.start", count=starts + 1)
        busiest(daemon)
        clients.echo_on(held.socks[0], b"never cut\n")
        held.close()
        result = load.stop()
    check_nobody_noticed(daemon, result, 1)
    assert {w["id"]: w["pid"] for w in daemon.workers()} == before
    daemon.order("restart", "echo")
    for name, pid in before.items():
        daemon.wait_event("worker.exit", f"worker={name} ", f"pid={pid} ", "status=signal:USR1")


def test_a_new_start_behind_a_killed_supervisor_takes_the_port_over(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "poll", number, MIN_PROCS=2, MAX_PROCS=2))
    daemon.expect_errors("supervisor.gone", "takeover")
    old = [w["pid"] for w in daemon.workers()]
    with Held() as held, Load(number, 4) as load:
        held.open(number)
        os.kill(daemon.supervisor_pid, signal.SIGKILL)
        daemon.process.wait()
        daemon.start()
        busiest(daemon)
        clients.echo_on(held.socks[0], b"never cut\n")
        result = load.stop()
    assert result["failed"] == {}, result
    wait_until(lambda: processes.reap() or not any(processes.alive(pid) for pid in old),
               "the old have gone by themselves")


def test_a_service_becomes_adapted_and_native_again_under_load(stage, run_daemon, port):
    number = port()
    native = service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=2, MAX_PROCS=4)
    unmodified = adapted(stage, "echo", "poll", number, MIN_PROCS=2, MAX_PROCS=4)
    daemon = run_daemon(native)
    text = daemon.config_path.read_text()
    with Load(number, 8) as load:
        for section in (unmodified, native):
            busiest(daemon)
            daemon.config_path.write_text(text.replace(native, section))
            daemon.order("reload")
            daemon.wait_service(lambda one: len(one["workers"]) <= 4, "the old have gone")
        result = load.stop()
    check_nobody_noticed(daemon, result)
    assert_none(daemon, "worker.signal", "worker.false_report")


def test_what_no_worker_of_another_kind_can_take_over_is_lost_and_not_kept_for_ever(stage, run_daemon, port):
    number = port()
    native = service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2)
    unmodified = adapted(stage, "echo", "poll", number, MIN_PROCS=1, MAX_PROCS=2)
    daemon = run_daemon(native)
    old, = daemon.workers()
    os.kill(old["pid"], signal.SIGSTOP)
    with Held() as held:
        held.socks.append(clients.connect(number))
        daemon.wait_service(lambda one: one["workers"][0]["unread"] == 1, "it is offered")
        text = daemon.config_path.read_text()
        daemon.config_path.write_text(text.replace(native, unmodified))
        daemon.order("reload")
        os.kill(old["pid"], signal.SIGKILL)
        daemon.wait_service(lambda one: old["id"] not in [w["id"] for w in one["workers"]], "it is gone")
        assert held.socks[0].recv(1) == b""
    assert daemon.service()["lost"] == 1
    clients.echo(number)
    daemon.config_path.write_text(text)
    daemon.order("reload")
    clients.echo(number)


def test_a_service_that_is_closed_lets_its_servers_finish(stage, run_daemon, port):
    number = port()
    daemon = run_daemon(adapted(stage, "echo", "forks", number, MIN_PROCS=2, MAX_PROCS=2))
    with Held() as held:
        held.open(number)
        daemon.order("disable", "echo")
        daemon.wait_event("worker.exit", "worker=echo/", "reason=closed", "lost=0")
        clients.echo_on(held.socks[0], b"never cut\n")
    daemon.wait_event("worker.exit", "worker=echo/", "reason=closed", "lost=0", count=2)
    daemon.order("enable", "echo")
    wait_until(lambda: _echoes(number), "it serves again")
