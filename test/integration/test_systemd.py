"""How a service manager starts and watches the dispatcher: sockets that it lends, what it is told, and
the unit that ships. No manager runs here: its side is played by a socket and a launcher."""

import os
import socket

import pytest

from harness import clients, processes
from harness.daemon import service

LAUNCHER = """
import os, sys
fds, names, count, told, program = sys.argv[1:6]
for at, fd in enumerate(fds.split(",")):
    os.dup2(int(fd), 100 + at)
for at, fd in enumerate(fds.split(",")):
    os.dup2(100 + at, 3 + at)
os.closerange(3 + int(count), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=told, LISTEN_FDNAMES=names)
os.execv(program, sys.argv[5:])
"""


def listening(*address, family=socket.AF_INET):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address if family == socket.AF_INET else address[0])
    sock.listen(64)
    return sock


def lend(daemon, *named, told=None):
    """Has the daemon started with these (name, socket) as descriptors 3, 4, ..., as sd_listen_fds(3).
    told: how many it is told they are, if not as many as they are."""
    daemon.pass_fds = [sock.fileno() for _, sock in named]
    daemon.prefix = ["/usr/bin/python3", "-c", LAUNCHER, ",".join(map(str, daemon.pass_fds)),
                     ":".join(name for name, _ in named), str(len(named)), told or str(len(named))]


def inode(sock):
    return os.readlink(f"/proc/self/fd/{sock.fileno()}")


@pytest.mark.sanitized
def test_inherited_listeners_are_taken_by_address_and_by_name(make_daemon, directory, port):
    by_address, elsewhere, by_name = port(), port(), port()
    path = f"{directory}/lent.sock"
    daemon = make_daemon(
        service("echo", by_address, f"unix:{path}", IMAGE="dispatcher-echo"),
        service("named", by_name, IMAGE="dispatcher-echo"))
    with listening("127.0.0.1", by_address) as one, listening("127.0.0.1", elsewhere) as two, \
            listening(path, family=socket.AF_UNIX) as three, \
            listening("127.0.0.1", port()) as nobodys:
        lend(daemon, ("x", one), ("named", two), ("y", three), ("stranger", nobodys))
        daemon.start()
        held = set(processes.descriptors(daemon.supervisor_pid).values())
        assert {inode(one), inode(two), inode(three)} <= held
        assert inode(nobodys) not in held
        assert daemon.events("listener.unused", "fd_name=stranger")
        for address in (by_address, elsewhere, path):
            clients.echo(address)
        for worker in daemon.workers("echo"):
            with open(f"/proc/{worker['pid']}/environ") as environment:
                assert "LISTEN_" not in environment.read()
        assert daemon.shut_down() == 0
        # They are lent: who waits now is served by whoever is started with them next.
        for address in (by_address, elsewhere, path):
            with clients.connect(address):
                pass
    assert os.path.exists(path)


def test_a_wrong_number_of_inherited_descriptors_is_told_and_ignored(make_daemon, port):
    number = port()
    daemon = make_daemon(service("echo", number, IMAGE="dispatcher-echo"))
    with listening("127.0.0.1", port()) as sock:
        lend(daemon, ("echo", sock), told="99999")
        daemon.start()
    assert daemon.events("config.warning", "LISTEN_FDS")
    clients.echo(number)
