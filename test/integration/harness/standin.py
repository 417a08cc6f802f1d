"""One adapted program under a stand-in for the dispatcher (workers/stand-in.c)."""

import json
import os
import signal
import subprocess

from .processes import wait_until


class StandIn:
    """`names` as in PORT; `command` is run with the library preloaded. In a with statement: ends it."""

    def __init__(self, stage, directory, names, *command, limit=None, ends_by_eof=False):
        words = [stage.program("stand-in"), "-p", stage.program("dispatcher-preload.so")]
        words += ["-m", str(limit)] if limit else []
        words += ["-e"] if ends_by_eof else []
        self.log = directory / f"output{len(list(directory.iterdir()))}"
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen([*words, *names, "--", *command], cwd=directory, text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output)
        self.pid = self.say("stat")["pid"]

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stat(self):
        return self.say("stat")

    def wait(self, predicate, what, seconds=10):
        wait_until(lambda: predicate(self.stat()), lambda: f"{what}: {self.stat()}\n{self.tail()}", seconds)

    def ready(self):
        self.wait(lambda seen: seen["ready"], "ready")
        return self

    def settled(self, count):
        """Waits until `count` connections were taken and each of them is done, told once."""
        self.wait(lambda seen: seen["taken"] == seen["done"] == seen["given"] == count, f"{count} done")
        assert self.stat()["lies"] == 0
        return True

    def open(self, count):
        """Waits until `count` connections are taken and not done."""
        self.wait(lambda seen: seen["taken"] - seen["done"] == count, f"{count} open")
        return True

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def vanish(self):
        """The dispatcher is gone; its program is not."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
