"""What every unmodified server of the matrix is to the tests: a configuration of its own in a fresh
directory, a command line that stays in front, and clients. One class per program; none of them knows
that a dispatcher runs it, and started by hand each serves its port just the same."""

import os
import socket
import subprocess

from .. import clients
from ..daemon import service

SECONDS = 20  # a client that waits longer has failed: it may wait for a replacement to start


def run(*words, seconds=30, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          errors="replace", timeout=seconds, stdin=subprocess.DEVNULL, check=False,
                          **more)


def must(*words, **more):
    done = run(*words, **more)
    assert done.returncode == 0, (done.args, done.returncode, done.stdout, done.stderr)
    return done


class Server:
    """One program. Below are its facts; a subclass has at least command() and exchange()."""

    name = None
    needs = ()  # files without which it is skipped
    options = {}  # of its section, beside COMMAND and PORT
    root = False  # does its work only as root
    clients = 4  # that load it at the same time
    life = 25  # connections after which a worker of the test is recycled
    has_children = False  # that end by themselves when it is killed, before anybody counts them
    ends_are_told_late = False  # by the kernel: who was just done when it is killed counts as lost
    sees_client = True  # has a log with the client's address

    def __init__(self, where, port, build=None):
        self.where, self.port, self.build = where, port, build
        where.chmod(0o777)
        self.prepare()

    # --- the program ---

    def prepare(self):
        """Writes what it needs."""

    def command(self):
        raise NotImplementedError

    def section(self, **more):
        return service(self.name, *self.ports(), **{"ADAPTER": "server", "COMMAND": self.command(),
                                                **self.options, **more})

    def ports(self):
        return [self.port]

    def write(self, name, text):
        path = self.where / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    # --- its clients ---

    def connect(self, source="127.0.0.1"):
        sock = socket.create_connection(("127.0.0.1", self.port), SECONDS, (source, 0))
        sock.settimeout(SECONDS)
        return sock

    def exchange(self, sock):
        """Something that only a whole server can answer; the connection stays."""
        raise NotImplementedError

    def leave(self, sock):
        """Says goodbye."""
        sock.shutdown(socket.SHUT_WR)
        clients.receive_all(sock)

    def serve(self, source="127.0.0.1"):
        """A whole connection."""
        with self.connect(source) as sock:
            self.exchange(sock)
            self.leave(sock)

    def real_client(self):
        """The same by the client that people use. Returns how many connections it made."""
        raise NotImplementedError

    def seen(self):
        """What it has logged."""
        return "".join(path.read_text(errors="replace") for path in self.where.glob("*.log"))


def is_there(path, build):
    return os.path.exists(str(path).replace("BUILD", str(build)))


def receive_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        got = sock.recv(1)
        if not got:
            raise ConnectionResetError(f"closed behind {line!r}")
        line += got
    return line


def expect(sock, start):
    """A line of a text protocol that begins so."""
    line = receive_line(sock)
    if not line.startswith(start):
        raise AssertionError(f"{line!r} instead of {start!r}")
    return line


def ask(sock, text, start):
    sock.sendall(text)
    return expect(sock, start)
