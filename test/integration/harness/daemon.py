"""One running dispatcher: its configuration, its status, its processes, and how it must look at the
end of every test."""

import os
import re
import signal
import subprocess

from . import control, processes
from .processes import wait_until

SANITIZER = re.compile(r"(Address|Leak|UndefinedBehavior|Thread)Sanitizer|runtime error:")
START_SECONDS = 20


def service(name, *ports, **options):
    """A section of dispatcher.cnf. A list as value repeats the option."""
    lines = [f"[SERVICE={name}]"]
    lines += [f"PORT={port if isinstance(port, str) else f'127.0.0.1:{port}'}" for port in ports]
    for option, value in options.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            lines.append(f"{option}={one}")
    return "\n".join(lines) + "\n"


class Daemon:
    """`dispatcher -c FILE` in the foreground."""

    def __init__(self, stage, directory, *sections, defaults="", own="", environment=None):
        self.stage, self.directory = stage, directory
        self.program = stage.program("dispatcher")
        self.config_path = directory / "dispatcher.cnf"
        self.log_path = directory / "output"
        self.control_path = directory / "run" / "control.sock"
        self.environment = environment or {}
        self.prefix, self.pass_fds = [], []  # what starts it, and the descriptors that that one gets
        self.user = None  # who starts it, by number; None: who runs the tests
        self.expected_errors = []
        self.unsettled = set()  # services that cannot come to rest: their counts are not checked
        self.process, self.supervisor_pid, self.baseline = None, None, None
        self.names = re.findall(r"^\[SERVICE=(.*)\]$", "\n".join(sections), re.M)
        self.write_config(defaults, own, *sections)

    def write_config(self, defaults, own, *sections):
        head = (f"RUN_DIR={self.directory}/run\nSTATE_DIR={self.directory}/state\n"
                f"CONTROL_SOCKET={self.control_path}\nLOG_DIR={self.directory}/log\n"
                f"WORKER_DIR={self.stage.bin}\n")
        for name in ("run", "state", "log"):
            (self.directory / name).mkdir(exist_ok=True)
        if own:
            own = f"[SERVICE=DISPATCHER]\n{own}\n"
        self.config_path.write_text(head + defaults + "\n" + own + "\n".join(sections))

    # --- life ---

    def start(self, ready=True):
        environment = dict(os.environ, **self.environment)
        with open(self.log_path, "ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, self.program, "-c", self.config_path],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env=environment, pass_fds=self.pass_fds,
                cwd=self.directory, user=self.user, group=self.user,
                extra_groups=None if self.user is None else [])
        self.supervisor_pid = self.process.pid
        if ready:
            self.wait(self.is_ours_and_ready, "every service open, min_procs workers ready", START_SECONDS)
            self.take_baseline()
        return self

    def run_again(self):
        """A second start of the same dispatcher, to its end."""
        return subprocess.run([self.stage.program("dispatcher"), "-c", self.config_path],
                              capture_output=True, text=True, timeout=30, check=False)

    def is_ours_and_ready(self, status):
        """Until a new dispatcher accepts, the acceptor of a killed one answers in its place."""
        return status["dispatcher"]["supervisor_pid"] == self.supervisor_pid and self.is_ready(status)

    @staticmethod
    def is_ready(status):
        return all(
            one["state"] == "open" and one["settled"]
            and sum(w["state"] == "serving" for w in one["workers"]) >= one["min_procs"]
            for one in status["services"])

    def shut_down(self, number=signal.SIGTERM, seconds=30):
        """Asks the supervisor to end; returns its exit status."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end within {seconds} s of signal {number}\n"
                                 f"{self.try_status()}\n{self.tail()}") from None

    # --- what it says ---

    def ask(self, verb, *args, seconds=10.0, **options):
        return control.ask(self.control_path, verb, *args, seconds=seconds, **options)

    def begin(self, verb, *args, **options):
        """Orders something (restart, reload, ...: what has a result); returns the id of the order.
        Options as the control socket knows them: drain_ms, now, dry_run."""
        return control.begin(self.control_path, verb, *args, **options)

    def result(self, number):
        """None while it is not known."""
        return control.result(self.control_path, number)

    def wait_result(self, number, seconds=30.0):
        return control.wait_result(self.control_path, number, seconds)

    def order(self, verb, *args, seconds=30.0, expect=0, **options):
        """Orders something and waits for its result, which is returned: verb, status, text. What
        follows in the background, as old workers that drain, is in the status."""
        ended = self.wait_result(self.begin(verb, *args, **options), seconds)
        assert ended["status"] == expect, f"{verb} {args}: {ended}\n{self.tail()}"
        return ended

    def ctl(self, *args, **more):
        """Runs dispatcherctl."""
        return subprocess.run([self.stage.program("dispatcherctl"), "-s", self.control_path, *args],
                              capture_output=True, text=True, timeout=30, **more)

    def status(self):
        return self.ask("status")

    def try_status(self):
        """None while nobody answers."""
        try:
            return self.status()
        except (OSError, ValueError):
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}\n{self.tail()}") from None
            return None

    def service(self, name=None, status=None):
        name = (name or self.names[0]).lower()
        for one in (status or self.status())["services"]:
            if one["name"].lower() == name:
                return one
        raise KeyError(name)

    def wait(self, claim, what, seconds=10.0):
        """Waits until claim(status) is true; returns that status."""
        last = {}

        def holds():
            status = self.try_status()
            if status is not None:
                last["status"] = status
            return status if status is not None and claim(status) else None

        def story():
            return f"{what}\nlast status: {last.get('status')}\nlog:\n{self.tail()}"

        return wait_until(holds, story, seconds)

    def wait_service(self, claim, what, name=None, seconds=10.0):
        """Waits until claim(service) is true; returns that service."""
        status = self.wait(lambda status: claim(self.service(name, status)), what, seconds)
        return self.service(name, status)

    def settle(self, name=None, seconds=10.0):
        """Nothing is under way in the service; returns its status."""
        return self.wait_service(lambda one: one["settled"], "settled", name, seconds)

    def loads(self, name=None):
        """Connections of each worker that is not retiring, the busiest first."""
        return sorted((w["connections"] for w in self.settle(name)["workers"]
                       if w["state"] in ("starting", "serving")), reverse=True)

    def workers(self, name=None, state="serving"):
        return [w for w in self.service(name)["workers"] if w["state"] == state]

    def acceptor_pid(self):
        return self.status()["dispatcher"]["acceptor_pid"]

    # --- its log ---

    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def events(self, event, *patterns):
        """Lines of that event that match every pattern."""
        return [line for line in self.log().splitlines() if line.split(" ")[2:3] == [event]
                and all(re.search(pattern, line) for pattern in patterns)]

    def wait_event(self, event, *patterns, count=1, seconds=10.0):
        return wait_until(
            lambda: len(found := self.events(event, *patterns)) >= count and found,
            lambda: f"{count} x {event} {patterns}\n{self.tail()}", seconds)

    def expect_errors(self, *patterns):
        """Error lines that this test provokes."""
        self.expected_errors += patterns

    # --- its processes ---

    def count_descriptors(self):
        """{workers, listeners, and descriptors of supervisor and acceptor}, as of now; without the results of
        orders, which the supervisor keeps (sixteen at most)."""
        status = self.status()
        kept = processes.descriptors(self.supervisor_pid).values()
        return {
            "workers": sum(len(one["workers"]) for one in status["services"]),
            "listeners": sum(l["open"] for one in status["services"] for l in one["listeners"]),
            "supervisor": sum(not target.startswith("/memfd:result") for target in kept),
            "acceptor": len(processes.descriptors(status["dispatcher"]["acceptor_pid"])),
        }

    def take_baseline(self):
        """Counted until it stands still: the question itself is a descriptor for a moment."""
        counts = []

        def stands_still():
            # a worker that is just being killed is recorded by a process that soon ends
            recorded = any("recorder" in processes.command(pid)
                           for pid in processes.descendants(self.supervisor_pid))
            counts.append(None if recorded else self.count_descriptors())
            return (len(counts) > 3 and counts[-1]
                    and counts[-1] == counts[-2] == counts[-3] == counts[-4])

        wait_until(stands_still, lambda: f"the descriptors stand still: {counts[-5:]}")
        self.baseline = counts[-1]

    def spare_descriptors(self, counts, per_worker):
        """Descriptors that are there for other things than workers and listeners."""
        return {who: counts[who] - per_worker[who] * counts["workers"] - counts["listeners"]
                for who in per_worker}

    # --- how every test ends ---

    def check_counts(self):
        """The ledger is consistent: nothing lost or invented, nobody there any more."""
        def quiet(status):
            return all(one["settled"] and one["connections"] == 0 for one in status["services"]
                       if one["state"] != "failed" and one["name"] not in self.unsettled)

        for one in self.wait(quiet, "no connection left")["services"]:
            if one["name"] in self.unsettled:
                continue
            assert one["handed"] == one["done"] + one["lost"], f"the counts disagree: {one}"
            assert one["accepted"] == one["handed"] + one["refused"] + one["left"], f"the counts disagree: {one}"

    def check_descriptors(self, per_worker):
        def spare():
            return self.spare_descriptors(self.count_descriptors(), per_worker)

        expected = self.spare_descriptors(self.baseline, per_worker)
        wait_until(lambda: spare() == expected,
                   lambda: f"descriptors leaked: {spare()} instead of {expected}\n"
                   f"supervisor: {processes.descriptors(self.supervisor_pid)}\n"
                   f"acceptor: {processes.descriptors(self.acceptor_pid())}", 5)

    def check_zombies(self):
        wait_until(lambda: not processes.zombies(self.supervisor_pid),
                   lambda: f"zombies: {processes.zombies(self.supervisor_pid)}", 5)

    def check_log(self):
        bad = [line for line in self.log().splitlines() if SANITIZER.search(line)]
        for line in self.log().splitlines():
            level = line.split(" ")[1:2]
            known = any(re.search(pattern, line) for pattern in self.expected_errors)
            if level in (["alert"], ["error"]) and not known:
                bad.append(line)
        assert not bad, "in the log:\n" + "\n".join(bad) + "\n" + self.tail()
