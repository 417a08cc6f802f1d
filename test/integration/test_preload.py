"""The preloaded library alone: programs with habits of their own, under a stand-in for the dispatcher."""

import contextlib
import os
import signal
import socket
import threading

import pytest

from harness import clients, processes
from harness.processes import wait_until
from harness.standin import StandIn


@pytest.fixture
def adapt(stage, directory):
    """adapt(HABIT, name...): a program with this habit, adapted and ready."""
    with contextlib.ExitStack() as made:
        def run(habit, *names, **more):
            command = [stage.program("unaware"), habit, *names]
            return made.enter_context(StandIn(stage, directory, names, *command, **more)).ready()
        yield run


@pytest.fixture
def name(port):
    return lambda: f"127.0.0.1:{port()}"


def address(name):
    host, _, number = name.rpartition(":")
    return name[5:] if name.startswith("unix:") else (host.strip("[]"), int(number))


def line_of(sock):
    return sock.makefile("r").readline().split()


def visit(where, count=1):
    """`count` clients one after another; what each was told."""
    told = []
    for _ in range(count):
        with clients.connect(address(where)) as sock:
            told.append(line_of(sock))
            sock.shutdown(socket.SHUT_WR)
            assert clients.receive_all(sock) == b""
    return told


def visit_at_once(where, count, each=5):
    threads = [threading.Thread(target=visit, args=(where, each)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("habit", ["plain", "forks", "raw-forks", "clones", "execs", "threads", "dups", "early",
                                   "child-closes", "passes", "passes-to-other", "hands-on", "gives", "closes-all",
                                   "long-path", "full"])
def test_every_connection_is_counted_once_and_done_once(adapt, name, habit):
    where = name()
    program = adapt(habit, where)
    visit(where, 20)
    assert program.settled(20)


@pytest.mark.parametrize("habit", ["forks", "clones", "execs", "threads", "passes", "passes-to-other"])
def test_a_connection_counts_as_long_as_somebody_holds_it(adapt, name, habit):
    where = name()
    program = adapt(habit, where)
    with clients.connect(address(where)) as sock:
        assert line_of(sock)
        assert program.open(1)
    assert program.settled(1)


@pytest.mark.parametrize("habit", ["forks", "threads", "forking-threads", "passes"])
def test_counts_are_right_after_many_clients_at_once(adapt, name, habit, rounds):
    where = name()
    program = adapt(habit, where)
    each = rounds(10)
    visit_at_once(where, 8, each)
    assert program.settled(8 * each)


def test_the_program_sees_the_client_and_its_own_address(adapt, name):
    where = name()
    adapt("plain", where)
    with clients.connect(address(where)) as sock:
        label, peer, own = line_of(sock)
        assert (label, own) == ("plain", where)
        assert peer == "%s:%d" % sock.getsockname()


def test_a_dual_listener_shows_ipv4_clients_as_an_ipv6_socket_does(stage, directory, port):
    number = port()
    names = [f"0.0.0.0:{number}", f"[::]:{number}"]
    command = [stage.program("unaware"), "plain", f"[::]:{number}"]
    with StandIn(stage, directory, names, *command) as program:
        program.ready()
        with clients.connect(("127.0.0.1", number)) as sock:
            assert line_of(sock)[1:] == [f"[::ffff:127.0.0.1]:{sock.getsockname()[1]}",
                                         f"[::ffff:127.0.0.1]:{number}"]
        with clients.connect(("::1", number)) as sock:
            assert line_of(sock)[2] == f"[::1]:{number}"
        assert program.settled(2)


def test_a_child_that_takes_a_connection_is_adapted_though_its_environment_was_empty(adapt, name):
    where = name()
    adapt("execs", where)
    assert visit(where)[0][0] == "preloaded"


def test_a_shell_of_the_program_sees_nothing_of_the_adapter(adapt, name):
    where = name()
    program = adapt("shells", where)
    assert visit(where)[0][0] == "none,none"
    assert program.settled(1)


@pytest.mark.parametrize("habit", ["two", "edges", "pair", "exclusive"])
def test_each_listener_gets_its_own_clients(adapt, name, habit):
    first, second = name(), name()
    program = adapt(habit, first, second)
    with contextlib.ExitStack() as held:
        for turn in range(20):
            where, label = [(first, "first"), (second, "second"), (second, "second")][turn % 3]
            sock = held.enter_context(clients.connect(address(where)))
            assert line_of(sock)[0] == label
            if habit in ("pair", "exclusive"):  # each of few serves one at a time
                sock.close()
                program.open(0)
    assert program.settled(20)


@pytest.mark.parametrize("habit", ["edges", "exclusive"])
def test_nobody_waits_when_clients_of_both_listeners_come_at_once(adapt, name, habit, rounds):
    first, second = name(), name()
    program, told = adapt(habit, first, second), []
    each = rounds(20)
    threads = [threading.Thread(target=lambda where=where: told.extend(visit(where, each)))
               for where in (first, second) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 8 * each
    assert program.settled(8 * each)


def test_a_closed_listener_does_not_wake_the_program(adapt, name):
    where = name()
    program = adapt("closes", where)
    with clients.connect(address(where)) as served, clients.connect(address(where)):
        replies = served.makefile("r")
        assert replies.readline().split()[0] == "closes"
        program.wait(lambda seen: seen["given"] == 2, "an offer that nobody takes")
        for turn in range(1, 4):
            served.sendall(b"?")
            assert replies.readline() == f"{turn}\n"


def test_a_full_table_of_descriptors_loses_no_client(adapt, name):
    where = name()
    program = adapt("limit", where)
    with contextlib.ExitStack() as held:
        socks = [held.enter_context(clients.connect(address(where))) for _ in range(20)]
        program.wait(lambda seen: seen["given"] == 20, "all are offered")
        for sock in socks:
            assert line_of(sock)[0] == "kept"
            sock.close()
        program.wait(lambda seen: seen["taken"] == 20 and not seen["lies"], "all are taken")


def test_a_listener_looks_and_bequeaths_as_a_real_one(adapt, name):
    where = name()
    adapt("options", where)
    assert visit(where)[0][0] == f"{where},1,1,1,0,1,1"


def test_a_unix_path_is_absent_until_the_program_binds_it(adapt, directory):
    where = f"unix:{directory}/sock"
    program = adapt("path", where)
    assert visit(where, 3)[0][0] == "path"
    assert program.settled(3)
    assert os.stat(directory / "sock").st_uid == 0 or os.getuid() != 0


def test_it_says_which_address_is_no_port(stage, directory, name):
    where, other = name(), name()
    with StandIn(stage, directory, [where], stage.program("unaware"), "elsewhere", where, other) as program:
        program.wait(lambda seen: seen["line"], "a line")
        assert program.stat()["line"] == f"adapter: listens on {other}, which is no PORT of this service"
        assert not program.stat()["ready"]


def test_it_says_where_nobody_listens(stage, directory, name):
    names = [name(), name(), name()]
    with StandIn(stage, directory, names, stage.program("unaware"), "two", *names[:2]) as program:
        program.wait(lambda seen: seen["line"] == f"adapter: does not listen on {names[2]}", "the third")
        assert not program.stat()["ready"]


def visit_until_killed(where, label, count, told):
    """`count` clients; a killed server may cut them, but nobody else's greeting comes."""
    for _ in range(count):
        with clients.connect(address(where)) as sock:
            with contextlib.suppress(ConnectionResetError):
                line = line_of(sock)
                told.append(not line or line[0] == label)


def test_killed_children_hold_nobody_up(adapt, name, rounds):
    first, second = name(), name()
    program, told, kills = adapt("preforks", first, second, limit=4000), [], rounds(30)
    threads = [threading.Thread(target=visit_until_killed, args=(where, label, 20 * kills, told))
               for where, label in ((first, "first"), (second, "second")) * 2]
    for thread in threads:
        thread.start()
    for turn in range(kills):
        victims = wait_until(lambda: processes.descendants(program.pid), "children")
        with contextlib.suppress(ProcessLookupError):
            os.kill(victims[turn % len(victims)], signal.SIGKILL)
        seen = program.stat()["taken"]
        # Who is killed between reading an offer and telling it has one less taken.
        program.wait(lambda now, seen=seen: now["taken"] >= min(seen + 5, 79 * kills), "it goes on")
    for thread in threads:
        thread.join()
    assert len(told) >= 80 * kills - 4 * kills and all(told)
    assert visit(first)[0][0] == "first" and visit(second)[0][0] == "second"
    assert program.stat()["lies"] == 0


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("habit", ["early", "threads"])
def test_when_the_dispatcher_is_gone_it_serves_to_the_end_and_then_ends(adapt, name, habit):
    where = name()
    program = adapt(habit, where)
    with clients.connect(address(where)) as sock:
        assert line_of(sock)
        program.vanish()
        before = cpu_of(program.pid)
        with pytest.raises(TimeoutError):
            sock.settimeout(0.5)
            sock.recv(1)
        assert cpu_of(program.pid) - before < 10  # of 50: it does not spin
        assert processes.alive(program.pid)
    wait_until(lambda: not processes.alive(program.pid), "ends", 10)
    assert os.WTERMSIG(os.waitpid(program.pid, 0)[1]) == signal.SIGTERM


def test_who_listens_anew_when_the_dispatcher_is_gone_waits_in_peace(adapt, name):
    where = name()
    program = adapt("again", where)
    with clients.connect(address(where)) as sock:
        assert line_of(sock)
        program.vanish()
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        before = cpu_of(program.pid)
        sock.send(b"x")
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert cpu_of(program.pid) - before < 10  # of 50: it does not spin
    wait_until(lambda: not processes.alive(program.pid), "ends", 10)
    os.waitpid(program.pid, 0)


def test_who_was_told_that_a_client_waits_is_not_kept_in_accept_when_the_dispatcher_is_gone(adapt, name):
    program = adapt("looks", name())
    program.vanish()
    wait_until(lambda: not processes.alive(program.pid), "sees the TERM", 10)
    assert os.waitpid(program.pid, 0)[1] == 0


def test_end_of_file_ends_accept_where_the_service_wants_it(adapt, name):
    where = name()
    program = adapt("plain", where, ends_by_eof=True)
    visit(where, 2)
    program.say("eof")
    program.wait(lambda seen: seen["status"] >= 0, "ends")
    assert "accept: Invalid argument" in program.tail()


def test_python_http_server(stage, directory, name):
    where = name()
    host, number = address(where)
    command = ["/usr/bin/python3", "-m", "http.server", "--bind", host, str(number)]
    with StandIn(stage, directory, [where], *command) as program:
        program.ready()
        for _ in range(10):
            with clients.connect((host, number)) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert clients.receive_all(sock).startswith(b"HTTP/1.0 200")
        assert program.settled(10)
        assert '127.0.0.1 - - ' in program.tail()
