"""Hostile clients of the control socket, in a process of its own.

As a program: storm.py PATH KIND COUNT keeps COUNT clients at once, each replaced when the dispatcher
closes it, until its standard input ends; prints one JSON object: opened (how many there have been),
closed (by the dispatcher), most (at once).
"""

import errno
import json
import resource
import selectors
import socket
import subprocess
import sys
import time

STATUS = b'{"verb":"status","args":[]}\n'
KINDS = ("idle", "garbage", "huge", "slow_reader", "slow_writer", "asks_always")
STEP_SECONDS = 0.05


class Storm:
    """The handle of a running storm; stop() gives its figures."""

    def __init__(self, path, kind, count, uid, gid):
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(path), kind, str(count)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True, user=uid, group=gid, extra_groups=[])
        assert self.process.stdout.readline() == b"all have tried\n"

    def stop(self, seconds=30):
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, "the storm itself failed"
        return json.loads(output)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Engine:
    def __init__(self, path, kind, count):
        self.path, self.kind, self.count = path, kind, count
        self.selector = selectors.DefaultSelector()
        self.clients = set()
        self.opened = self.closed = self.most = 0

    def open_one(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        error = sock.connect_ex(self.path)
        if error:
            sock.close()
            assert error in (errno.EAGAIN, errno.ECONNREFUSED), error
            return False
        self.clients.add(sock)
        self.opened += 1
        self.most = max(self.most, len(self.clients))
        self.selector.register(sock, selectors.EVENT_READ)
        self.say(sock, {"garbage": b"\0\xff{]" * 50 + b"\n", "huge": b"x" * 100000,
                        "slow_reader": STATUS, "asks_always": STATUS}.get(self.kind, b""))
        return True

    def say(self, sock, text):
        try:
            if text:
                sock.send(text)
        except BlockingIOError:
            pass
        except OSError:
            self.close(sock)

    def close(self, sock):
        if sock in self.clients:
            self.clients.remove(sock)
            self.selector.unregister(sock)
            sock.close()
            self.closed += 1

    def on_readable(self, sock):
        """A slow reader only looks whether it has been closed."""
        try:
            if self.kind == "slow_reader":
                if not sock.recv(1):
                    self.close(sock)
            elif not sock.recv(65536):
                self.close(sock)
        except OSError:
            self.close(sock)

    def step(self):
        for _ in range(self.count - len(self.clients)):
            if not self.open_one():
                break
        if self.kind == "slow_writer":
            for sock in list(self.clients):
                self.say(sock, b"{")

    def run(self):
        told, next_step = False, 0.0
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            if time.monotonic() >= next_step:
                self.step()
                next_step = time.monotonic() + STEP_SECONDS
                if not told and self.opened >= self.count:
                    told = True
                    print("all have tried", flush=True)
            for key, _ in self.selector.select(STEP_SECONDS):
                if key.fileobj is sys.stdin:
                    return dict(opened=self.opened, closed=self.closed, most=self.most)
                self.on_readable(key.fileobj)
            if self.kind == "slow_reader":
                time.sleep(0.01)


def main():
    path, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(Engine(path, kind, count).run()))


if __name__ == "__main__":
    main()
