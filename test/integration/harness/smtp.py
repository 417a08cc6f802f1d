"""A mail server under test, its mailboxes, and clients that say exactly what they are told to."""

import contextlib
import os
import socket
import subprocess
import threading

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


def swaks(port, *words, expect=0):
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example.com",
                           "--from", "s@example.com", "--to", "r@example.org", *words],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


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
        return swaks(self.port, *words, expect=expect)

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


class NextServer:
    """Speaks SMTP or LMTP from a list: what to answer to the verbs; a verb that is None hangs, one that is
    an empty text closes."""

    def __init__(self, path, **answers):
        self.answers = {"GREETING": "220 next", "EHLO": "250-next\r\n250-SMTPUTF8\r\n250 8BITMIME",
                        "LHLO": "250-next\r\n250 SMTPUTF8", "HELO": "250 next", "MAIL": "250 2.1.0 ok",
                        "RCPT": "250 2.1.5 ok", "DATA": "354 go", "END": "250 2.0.0 queued as 42",
                        "QUIT": "221 bye"} | answers
        self.heard, self.texts, self.open = [], [], []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o777)
        self.listener.listen(50)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.open.append(sock)
                threading.Thread(target=self.serve, args=[sock], daemon=True).start()

    def say(self, sock, verb):
        answer = self.answers.get(verb, "500 what?")
        if not answer:
            if answer is None:
                return True
            sock.shutdown(socket.SHUT_RDWR)
            return False
        sock.sendall(answer.encode() + b"\r\n")
        return True

    def serve(self, sock):
        with contextlib.suppress(OSError), sock.makefile("rb") as file:
            self.say(sock, "GREETING")
            for line in file:
                self.heard.append(line.decode().rstrip("\r\n"))
                verb = line.split()[0].decode()
                if not self.say(sock, verb):
                    return
                if verb == "DATA" and (self.answers["DATA"] or "").startswith("354"):
                    text = []
                    while (line := file.readline()) not in (b".\r\n", b""):
                        text.append(line)
                    if line:
                        self.texts.append(b"".join(text))
                        self.say(sock, "END")

    def close(self):
        self.listener.close()
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
