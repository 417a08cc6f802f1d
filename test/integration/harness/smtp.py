"""A mail server under test, its mailboxes, and clients that say exactly what they are told to."""

import contextlib
import subprocess

from . import clients
from .daemon import service


class Mailbox:
    """A Maildir that the worker's user may write to."""

    def __init__(self, path):
        self.path = path
        for part in ("new", "cur", "tmp"):
            (path / part).mkdir(parents=True)
        for one in (path, *path.iterdir()):
            one.chmod(0o777)

    def messages(self):
        return sorted(path.read_bytes() for path in (self.path / "new").iterdir())

    def only(self):
        (one,) = self.messages()
        return one.decode()

    def is_empty(self):
        return not list((self.path / "new").iterdir()) and not list((self.path / "tmp").iterdir())


class Receiver:
    """A service SMTP with one Maildir for all, unless the parameters say otherwise."""

    def __init__(self, run_daemon, directory, number, defaults=True, options=None, **parameters):
        self.port, self.box = number, Mailbox(directory / "box")
        if defaults:
            parameters = dict(HOSTNAME="mx.example.org", DOMAINS="example.org example.net",
                              MAILDIR=self.box.path) | parameters
        given = [f"{name}={value}" for name, value in parameters.items() if value is not None]
        self.daemon = run_daemon(service("smtp", number, IMAGE="dispatcher-smtp", PARAMETER=given,
                                         **(options or {})))

    def swaks(self, *words, expect=0):
        done = subprocess.run(["swaks", "--server", f"127.0.0.1:{self.port}", "--helo", "client.example.com",
                               "--from", "s@example.com", "--to", "r@example.org", *words],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def talk(self, hello=b"EHLO me"):
        with clients.connect(self.port) as sock, contextlib.closing(Talk(sock)) as talk:
            talk.expect(b"220 ")
            if hello:
                talk.ask(hello, b"250")
            yield talk


class Talk:
    """A client that says exactly what it is told to."""

    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def close(self):
        self.file.close()

    def reply(self):
        """The last line of the next reply."""
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return line

    def expect(self, *begins):
        for begin in begins:
            line = self.reply()
            assert line.startswith(begin), f"{line!r} instead of {begin!r}"
        return line

    def ask(self, line, *begins):
        self.sock.sendall(line + b"\r\n")
        return self.expect(*begins)

    def is_closed(self):
        return self.file.read() == b""
