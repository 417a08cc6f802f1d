"""A load of mail by Postfix's own smtp-source, and what became of each message.

smtp-source gives up with the first reply that it did not expect, so each session is a process of its
own. It prints every reply: that to a message names the file that it was stored as.
"""

import os
import re
import subprocess
import threading

import pytest

MESSAGES_A_SESSION = 20


def smtp_source(stage):
    """Its path and environment; without Postfix the test is skipped."""
    root = stage.build / "postfix" / "usr"
    if not (root / "sbin" / "smtp-source").exists():
        pytest.skip("no Postfix: test/unpack-postfix")
    return root / "sbin" / "smtp-source", dict(os.environ, LD_LIBRARY_PATH=str(root / "lib" / "postfix"))


class MailLoad:
    """`sessions` at once, each begun anew when it ends, until `count` messages have been answered."""

    def __init__(self, stage, port, sessions, count, size=3000):
        self.program, self.environment = smtp_source(stage)
        self.words = ["-v", "-d", "-s", "1", "-l", str(size), "-f", "s@example.com", "-t", "r@example.org"]
        self.port, self.count = port, count
        self.stored, self.cut, self.ended = [], 0, 0  # names; sessions that broke, and all
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.session, daemon=True) for _ in range(sessions)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()

    def is_running(self):
        return any(thread.is_alive() for thread in self.threads)

    def session(self):
        while len(self.stored) < self.count:
            run = subprocess.run([self.program, *self.words, "-m", str(MESSAGES_A_SESSION),
                                  f"127.0.0.1:{self.port}"],
                                 env=self.environment, capture_output=True, text=True, timeout=300, check=False)
            stored = re.findall(r"<<< 250 2\.0\.0 Stored as (\S+)", run.stdout + run.stderr)
            with self.lock:
                self.stored += stored
                self.cut += run.returncode != 0
                self.ended += 1
