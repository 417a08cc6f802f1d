"""dispatcher-notify alone: a static server, adapted by its system calls, with the dispatcher's hand as its peer."""

import os
import resource
import signal
import socket
import time

import pytest

from harness import processes
from harness.hand import Hand
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized


@pytest.fixture
def run(stage, port):
    """run(word...): a static server under dispatcher-notify, ready."""
    made = []

    def start(*words, ready=True, listeners=None, own=None, program=None, old=False, **more):
        here = listeners or [("127.0.0.1", port())]
        own = own or here[0][1]
        if not program:
            words = [f"port={own}", *filter(None, words)]
        notify = str(stage.program("dispatcher-notify"))
        hand = Hand(program or str(stage.program("static-server")), *words, listeners=here,
                    method=str(stage.program("old-kernel")) if old else notify,
                    environment={"OWN_PORT": str(own), "OLD_KERNEL_RUNS": notify}, **more)
        made.append(hand)
        return hand.wait_ready() if ready else hand

    yield start
    for hand in made:
        hand.close()


def answer(client):
    return client.makefile().readline().split()


def served(hand, count, index=0):
    """So many clients, one after the other; the tasks that answered."""
    tasks = []
    for _ in range(count):
        with hand.client(index) as client:
            tasks.append(answer(client)[1])
    return tasks


def processes_of(hand):
    """The server's processes, the first one first (whose number need not be the lowest)."""
    return processes.descendants(hand.process.pid)


def wait_for_processes(hand, count):
    wait_until(lambda: len(processes_of(hand)) == count, f"{count} processes")
    return processes_of(hand)


def is_in_accept(pid):
    """Whether its first thread waits for the answer to an accept()."""
    with open(f"/proc/{pid}/wchan", encoding="ascii") as wchan:
        return "seccomp" in wchan.read()


def wait_in_accept(*pids):
    wait_until(lambda: all(is_in_accept(pid) for pid in pids), "processes that wait in accept()")


HOW = [("",), ("epoll",), ("epoll", "early"), ("epoll", "edge"), ("epoll", "edge", "early", "one"),
       ("dup",), ("epoll", "dup"), ("epoll", "early", "dup"), ("any",), ("threads=3",), ("procs=3",),
       ("procs=2", "threads=2")]


@pytest.mark.parametrize("words", HOW, ids=" ".join)
def test_static_server_accepts_what_is_offered(run, words):
    hand = run(*words)
    for _ in range(20):
        with hand.client() as client:
            pid, task, peer, local, listener, kind, listening, nonblock = answer(client)
            assert peer == "%s:%d" % client.getsockname()
            assert local == "%s:%d" % client.getpeername()
            assert listener.endswith(local.partition(":")[2])
            assert (kind, listening, nonblock) == (str(socket.SOCK_STREAM.value), "1", "0")
    assert hand.taken == 20
    assert hand.unread == 0


@pytest.mark.parametrize("words", [("",), ("epoll",), ("threads=3",), ("procs=2", "threads=2")], ids=" ".join)
def test_kernels_without_pidfds_of_threads_do(run, words):
    hand = run(*words, old=True)
    served(hand, 10)
    assert hand.taken == 10


def test_of_two_listeners_each_gets_its_own(run, port):
    here = [("127.0.0.1", port()), ("127.0.0.1", port())]
    hand = run("-c", TWO, *[str(where[1]) for where in here], listeners=here, program=PYTHON)
    for index in (0, 1, 1, 0, 0, 1):
        with hand.client(index) as client:
            assert answer(client) == [str(here[index][1])]
    clients = [(index, hand.client(index)) for index in (1, 0, 0, 1, 1, 1, 0)]
    for index, client in clients:
        assert answer(client) == [str(here[index][1])]
        client.close()


TWO = """
import select, socket, sys
listeners = {}
poller = select.epoll()
for port in sys.argv[1:]:
    one = socket.create_server(("127.0.0.1", int(port)))
    one.setblocking(False)
    listeners[one.fileno()] = one
    poller.register(one, select.EPOLLIN | select.EPOLLET)
while True:
    for fd, _ in poller.poll():
        while True:
            try:
                conn, _ = listeners[fd].accept()
            except BlockingIOError:
                break
            conn.sendall(b"%d\\n" % listeners[fd].getsockname()[1])
            conn.close()
"""
PYTHON = "/usr/bin/python3"


def test_program_sees_no_trace_of_the_dispatcher(run):
    hand = run("-c", TRACE, "0", program=PYTHON)
    with hand.client() as client:
        seen = client.makefile().read().split()
    assert seen == ["0", "1", "2", "3"]


TRACE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["OWN_PORT"])))
fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)]
traces = [name for name in os.environ if name.startswith("DISPATCHER")]
conn, _ = listener.accept()
conn.sendall(" ".join(sorted(fds) + traces).encode())
conn.close()
listener.accept()
"""


def test_other_sockets_of_the_program_are_its_own(run, port):
    other = port()
    hand = run("-c", OTHER, str(other), program=PYTHON)
    with socket.create_connection(("127.0.0.1", other), 10) as client:
        assert answer(client) == ["other"]
    with hand.client() as client:
        assert answer(client) == ["own"]


OTHER = """
import os, socket, sys
other = socket.create_server(("127.0.0.1", int(sys.argv[1])))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", int(os.environ["OWN_PORT"])))
own = socket.create_server(("127.0.0.1", int(os.environ["OWN_PORT"])))
for name, listener in (("other", other), ("own", own)):
    conn, _ = listener.accept()
    conn.sendall(name.encode() + b"\\n")
    conn.close()
own.accept()
"""


def test_accepted_socket_has_the_options_of_the_programs_listener(run):
    hand = run("-c", OPTIONS, program=PYTHON)
    with hand.client() as client:
        assert answer(client) == ["1", "1", "77", "20000"]


OPTIONS = """
import os, socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10000)
listener.bind(("127.0.0.1", int(os.environ["OWN_PORT"])))
listener.listen()
conn, _ = listener.accept()
seen = [conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), conn.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)]
conn.sendall(" ".join(map(str, seen)).encode() + b"\\n")
conn.close()
listener.accept()
"""


def test_mapped_address_is_shown_to_a_listener_of_both_kinds(run):
    hand = run("six")
    with hand.client() as client:
        assert answer(client)[2] == "::ffff:%s:%d" % client.getsockname()


def test_connection_is_not_lost_with_a_process_that_waited_for_it(run):
    hand = run("procs=4")
    first, *others = wait_for_processes(hand, 4)
    wait_in_accept(first, *others)
    os.kill(hand.process.pid, signal.SIGSTOP)
    clients = [hand.client() for _ in range(3)]
    for pid in others[:2]:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not processes.alive(pid) or processes.stat(pid)[0] == "Z", "a killed process")
    os.kill(hand.process.pid, signal.SIGCONT)
    for client in clients:
        with client:
            assert int(answer(client)[0]) in (first, others[2])
    assert hand.taken == 3


def test_interrupted_accept_goes_on(run):
    hand = run("")
    for _ in range(20):
        program = processes_of(hand)[0]
        wait_in_accept(program)
        os.kill(program, signal.SIGSTOP)
        wait_until(lambda: processes.stat(program)[0] == "T", "a stopped process")
        client = hand.client()
        os.kill(program, signal.SIGCONT)
        with client:
            assert int(answer(client)[0]) == program
    assert (hand.taken, hand.unread) == (20, 0)


def test_connection_waits_while_the_program_has_no_descriptor_left(run):
    hand = run("threads=6", "files=8")
    clients = [hand.client() for _ in range(4)]
    assert all(answer(client) for client in clients)
    late = hand.client(timeout=1)
    with pytest.raises(TimeoutError):
        late.recv(1)
    clients.pop().close()
    late.settimeout(10)
    assert answer(late)
    for client in [*clients, late]:
        client.close()
    assert hand.taken == 5


def test_few_descriptors_do(run):
    hand = run("threads=24", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
    clients = [hand.client() for _ in range(24)]
    assert len({answer(client)[1] for client in clients}) == 24
    for client in clients:
        client.close()
    served(hand, 24)
    assert hand.taken == 48


def test_what_nobody_accepts_stays_in_the_channel(run):
    hand = run("epoll")
    program = processes_of(hand)[0]
    os.kill(program, signal.SIGSTOP)
    wait_until(lambda: processes.stat(program)[0] == "T", "a stopped process")
    clients = [hand.client() for _ in range(3)]
    before = hand.unread
    time.sleep(0.1)  # to give what must not happen its chance
    assert (hand.taken, hand.unread) == (0, before)
    os.kill(program, signal.SIGCONT)
    for client in clients:
        with client:
            assert answer(client)


def test_closed_listener_is_silent_in_the_programs_epoll_set(run):
    hand = run("epoll", "close=2")
    served(hand, 2)
    assert hand.process.wait(10) == 5, hand.process.stdout.read()


def test_line_names_the_address_that_is_no_port(run, port):
    other = port()
    hand = run(own=other, ready=False)
    wait_until(lambda: hand.line == f"adapter: listens on 127.0.0.1:{other}, which is no PORT of this service",
               lambda: hand.line)
    assert not hand.ready


def test_line_names_the_port_that_is_not_listened_on(run, port):
    here = [("127.0.0.1", port()), ("127.0.0.1", port())]
    hand = run(listeners=here, ready=False)
    wait_until(lambda: hand.line == f"adapter: does not listen on 127.0.0.1:{here[1][1]}", lambda: hand.line)
    assert not hand.ready


def test_line_says_why_there_is_no_program(run):
    hand = run(ready=False, program="/no/such")
    assert hand.process.wait(10) == 127
    assert hand.line == "adapter: cannot run /no/such: exec: No such file or directory"


@pytest.mark.parametrize("order, status", [(b"exit 3\n", 3), (b"abort\n", -signal.SIGABRT)])
def test_ends_as_the_program_ends(run, order, status):
    hand = run("")
    with hand.client() as client:
        assert answer(client)
        client.sendall(order)
        assert hand.process.wait(10) == status


def test_signals_are_passed_on(run):
    hand = run("")
    hand.process.terminate()
    assert hand.process.wait(10) == 7


def test_ends_with_a_killed_program(run):
    hand = run("")
    os.kill(processes_of(hand)[0], signal.SIGKILL)
    assert hand.process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("how", ["", "epoll"])
def test_without_a_dispatcher_it_serves_its_last_client_and_ends(run, how):
    hand = run(how, *["threads=2"] * (how != "epoll"))  # a thread of that would not wait in accept()
    client = hand.client()
    assert answer(client)
    before = processes.cpu_seconds(hand.process.pid), processes.cpu_seconds(processes_of(hand)[0])
    hand.leave()
    client.settimeout(10)
    time.sleep(1.5)  # longer than it waits between two looks
    client.sendall(b"still there?\n")
    assert client.recv(100) == b"still there?\n"
    after = processes.cpu_seconds(hand.process.pid), processes.cpu_seconds(processes_of(hand)[0])
    assert after[0] - before[0] < 0.7 and after[1] - before[1] < 0.7  # spinning would take all of 1.5
    client.close()
    assert hand.process.wait(10) == 7


def test_accept_fails_at_the_end_where_the_service_wants_it(run):
    hand = run("", style="eof")
    served(hand, 1)
    wait_in_accept(processes_of(hand)[0])
    hand.channel.shutdown(socket.SHUT_WR)
    assert hand.process.wait(10) == 9
    assert "Invalid argument" in hand.process.stdout.read()


def test_what_was_offered_before_the_end_is_accepted(run):
    hand = run("epoll", style="eof")
    program = processes_of(hand)[0]
    os.kill(program, signal.SIGSTOP)
    clients = [hand.client() for _ in range(2)]
    hand.channel.shutdown(socket.SHUT_WR)
    os.kill(program, signal.SIGCONT)
    for client in clients:
        with client:
            assert answer(client)
    assert hand.process.wait(10) == 9


@pytest.mark.root
def test_line_says_that_the_program_cannot_be_looked_at(run):
    hand = run("-c", SECRET, program=PYTHON, ready=False, user=65534, group=65534, extra_groups=[])
    assert hand.process.wait(10) == 1
    assert hand.line.startswith("adapter: does not let itself be looked at")


SECRET = """
import ctypes, os, socket
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
socket.create_server(("127.0.0.1", int(os.environ["OWN_PORT"])))
"""


def test_stopped_program_is_given_nothing(run):
    hand = run("threads=3")
    program = processes_of(hand)[0]
    wait_in_accept(program)
    os.kill(program, signal.SIGSTOP)
    threads = os.listdir(f"/proc/{program}/task")
    wait_until(lambda: all(processes.stat(int(thread))[0] == "T" for thread in threads), "a stopped process")
    clients = [hand.client() for _ in range(2)]
    time.sleep(0.1)  # to give what must not happen its chance
    assert (hand.taken, hand.unread > 0) == (0, True)
    os.kill(program, signal.SIGCONT)
    for client in clients:
        with client:
            assert answer(client)


@pytest.mark.root
def test_needs_no_rights(run):
    hand = run("epoll", user=65534, group=65534, extra_groups=[])
    served(hand, 3)
    assert hand.taken == 3
