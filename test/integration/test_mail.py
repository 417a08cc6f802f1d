"""Mail filters as pools, behind a real Postfix: what it accepts is delivered and signed, whoever dies."""

import grp
import os
import pathlib
import pwd
import random
import re
import shlex
import signal
import subprocess
import time

import pytest

from harness import postfix, processes
from harness.postfix import Postfix
from harness.processes import wait_until
from harness.servers import milters

ROOT = pathlib.Path(__file__).parents[2]
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1 << 32)
SESSIONS = 8  # of the MTA at a time
MESSAGES, KILLS = 200, 3  # in continuous integration

pytestmark = pytest.mark.root  # Postfix


def exists(table, name):
    try:
        table(name)
        return True
    except KeyError:
        return False


def test_the_shipped_pool_of_opendkims_can_be_started_on_debian(stage, directory):
    if not exists(pwd.getpwnam, "opendkim"):
        pytest.skip("opendkim is not installed")
    text = (ROOT / "config" / "opendkim.cnf").read_text()
    if not exists(grp.getgrnam, "postfix"):  # Postfix is not installed: any group will do
        text = text.replace("SOCKET_GROUP=postfix", "SOCKET_GROUP=mail")
    path = directory / "opendkim.cnf"
    path.write_text(f"WORKER_DIR={stage.bin}\n" + text)
    run = subprocess.run([stage.program("dispatcher"), "-t", "-c", path], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 0 and not run.stderr, run.stderr
    for line in ("PORT=127.0.0.1:8891", "SOCKET_MODE=0660", "MIN_PROCS=2", "MAX_LIFE_CONNS=1000"):
        assert f"\n{line}\n" in run.stdout


class Mail:
    """One load of mail through Postfix and a filter: what became of it."""

    def __init__(self, where, root, port, milter_port, mark):
        where.mkdir()
        where.chmod(0o755)
        self.mark = mark  # a header that the filter gives to each message
        self.mta = Postfix(root, where, port(), port(), f"inet:127.0.0.1:{milter_port}")

    def send(self, count, happen=lambda arrived, seconds: None):
        """happen(): is called again and again while messages arrive."""
        started = time.monotonic()
        with self.mta:
            source = self.mta.source(count, SESSIONS)
            while source.poll() is None:
                passed = time.monotonic() - started
                happen(len(self.mta.sink.messages), passed)
                assert passed < 60 + count / 5, f"mail is stuck\n{self.mta.log()[-3000:]}"
                time.sleep(0.01)
            assert source.returncode == 0, (self.mta.where / "source").read_text()
            self.accepted = self.mta.accepted()
            self.deferred = count - len(self.accepted)
            wait_until(lambda: len(self.mta.sink.messages) >= len(self.accepted),
                       lambda: f"{len(self.accepted) - len(self.mta.sink.messages)} accepted messages do not "
                       f"arrive\n{self.mta.log()[-2000:]}", 30)
        self.seconds = time.monotonic() - started

    def check(self):
        got = self.mta.sink.messages
        assert set(got) == self.accepted, "what was accepted, and nothing else, arrived"
        wrong = [number for number, copies in got.items()
                 if len(copies) != 1 or copies[0].count(self.mark) != 1]
        assert not wrong, (wrong, got[wrong[0]])
        assert bool(self.deferred) == self.mta.has_deferred(), self.mta.log()[-3000:]

    def figures(self):
        return f"{len(self.accepted)} accepted, delivered, signed; {self.deferred} deferred; {self.seconds:.1f} s"


@pytest.fixture
def mail(stage, directory, port):
    """mail(port of the milter): a Postfix that asks it."""
    root = postfix.tools(stage.build)
    if not root:
        pytest.skip("Postfix is not unpacked: test/unpack-postfix DIR")
    if not os.path.exists("/usr/sbin/opendkim"):
        pytest.skip("opendkim is not installed")
    made = []

    def make(milter_port, mark="DKIM-Signature:"):
        made.append(Mail(directory / f"mail{len(made)}", root, port, milter_port, mark))
        return made[-1]

    yield make
    for one in made:
        one.mta.stop()


@pytest.fixture
def opendkim(directory, port):
    where = directory / "opendkim"
    where.mkdir()
    return milters.Opendkim(where, port())


POOL = {"MIN_PROCS": 2, "MAX_PROCS": 4, "MIN_CONNS": 4, "MAX_CONNS": 20, "HANG_TIMEOUT": "2s", "KILL_TIMEOUT": "1s"}
# Whoever dies within ten seconds is replaced later and later, so one death a second needs a larger pool.
LARGE_POOL = {**POOL, "MIN_PROCS": 14, "MAX_PROCS": 16}


class Pool:
    """Random ends for processes of the pool, as long as somebody is left."""

    def __init__(self, daemon, name):
        self.daemon, self.name, self.random, self.ends = daemon, name, random.Random(SEED), []
        self.hows, self.stopped = [signal.SIGKILL, signal.SIGSTOP], set()

    def hit(self):
        workers = [w["pid"] for w in self.daemon.workers(self.name) if w["pid"] not in self.stopped]
        if len(workers) < 2:
            return
        victim, how = self.random.choice(workers), self.random.choice(self.hows)
        self.ends.append(how.name)
        if how == signal.SIGSTOP:
            self.stopped.add(victim)
        try:
            os.kill(victim, how)
        except ProcessLookupError:
            pass  # it was just recycled

    def at_rest(self):
        for worker in self.daemon.service(self.name)["workers"]:
            if worker["pid"] in self.stopped:  # it had nothing to do: nobody calls that hung
                os.kill(worker["pid"], signal.SIGCONT)
        return self.daemon.wait_service(lambda one: one["settled"] and not one["connections"], "at rest",
                                        self.name, 20)


def by_count(moments, action):
    """Calls it when so many messages have arrived, once for each of moments."""
    left = sorted(moments)

    def happen(arrived, _seconds):
        if left and arrived >= left[0]:
            left.pop(0)
            action()

    return happen


def each_second(action):
    calls = []

    def happen(_arrived, seconds):
        if seconds > len(calls) + 1:
            calls.append(seconds)
            action()

    return happen


def moments_of(rounds):
    """When somebody dies: after so many messages; in the long form about once a second."""
    return [MESSAGES // (KILLS + 1) * number for number in range(1, rounds(1) * (KILLS + 1))]


def test_without_an_accident_no_message_is_deferred(run_daemon, opendkim, mail, rounds):
    """Not even by recycling."""
    daemon = run_daemon(opendkim.section(**POOL, MAX_LIFE_CONNS=30))
    one, count = mail(opendkim.port), rounds(MESSAGES)
    one.send(count)
    one.check()
    assert one.deferred == 0 and Pool(daemon, opendkim.name).at_rest()["lost"] == 0
    assert "reason=spent" in daemon.log()
    print(f"nobody dies: {one.figures()}")


def test_whoever_dies_what_was_accepted_is_delivered_and_signed(run_daemon, opendkim, mail, rounds):
    print(f"SEED={SEED}")
    daemon = run_daemon(opendkim.section(**(POOL if rounds(1) < 3 else LARGE_POOL)))
    pool, one, count = Pool(daemon, opendkim.name), mail(opendkim.port), rounds(MESSAGES)
    one.send(count, by_count(moments_of(rounds), pool.hit))
    one.check()
    lost = pool.at_rest()["lost"]
    print(f"{pool.ends.count('SIGKILL')} killed, {pool.ends.count('SIGSTOP')} stopped: {one.figures()}; sessions that were being served: {lost}")
    assert pool.ends and one.deferred <= lost <= len(pool.ends) * SESSIONS, (SEED, one.figures(), lost)


class Plain:
    """The same opendkim by itself; when it dies it is started again 100 ms later."""

    def __init__(self, server):
        self.server, self.ends = server, 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(shlex.split(self.server.command()), user="nobody", group="nogroup",
                                        stdin=subprocess.DEVNULL, start_new_session=True)

    def hit(self):
        self.stop()
        self.ends += 1
        time.sleep(0.1)
        self.start()

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.long
def test_a_pool_compared_with_one_opendkim_that_is_started_again(run_daemon, opendkim, mail, directory, port,
                                                                 rounds):
    daemon, count = run_daemon(opendkim.section(**LARGE_POOL)), rounds(MESSAGES)
    where = directory / "plain"
    where.mkdir()
    plain, pool = Plain(milters.Opendkim(where, port())), Pool(daemon, opendkim.name)
    pool.hows = [signal.SIGKILL]
    pooled, alone = mail(opendkim.port), mail(plain.server.port)
    try:
        alone.send(count, each_second(plain.hit))
    finally:
        plain.stop()
    pooled.send(count, each_second(pool.hit))
    alone.check()
    pooled.check()
    print(f"{count} messages, one opendkim, {plain.ends} kills: {alone.figures()}")
    print(f"{count} messages, the pool, {len(pool.ends)} kills: {pooled.figures()}")
    assert pooled.deferred <= pool.at_rest()["lost"]
    assert pooled.deferred < alone.deferred


def test_a_filter_that_hangs_is_recorded_and_replaced_and_mail_goes_on(run_daemon, opendkim, mail, rounds):
    daemon = run_daemon(opendkim.section(**POOL))
    one, victim = mail(opendkim.port), daemon.workers()[0]["pid"]
    one.send(rounds(60), by_count([10], lambda: os.kill(victim, signal.SIGSTOP)))
    one.check()
    lost = Pool(daemon, opendkim.name).at_rest()["lost"]
    assert one.deferred <= lost <= SESSIONS, (one.figures(), lost)
    if lost:  # nobody counts as hung who had nothing to do
        daemon.wait_event("worker.record", f"pid={victim}")
        assert not processes.alive(victim)
    else:
        os.kill(victim, signal.SIGCONT)


LEAK_MIB, LIFE = 4, 15
LEAK_KIB = 256  # where MAX_MEMORY is the bound


class Leaky(milters.PythonMilter):
    """A filter that keeps some MiB of each message."""

    name, leak = "leaky", LEAK_MIB << 20

    def prepare(self):
        super().prepare()
        path = self.where / "filter.py"
        path.write_text(path.read_text().replace(
            "		self.addheader(", f"		kept.append(bytearray(b'x') * {self.leak})\n		self.addheader(").replace(
            "import Milter\n", "import Milter\nkept = []\n"))


def sizes_of(daemon):
    """KiB of each process of the pool."""
    for worker in daemon.service()["workers"]:
        try:
            yield processes.pss_kib(worker["pid"])
        except (OSError, ValueError):
            pass  # it has just ended


def test_what_a_filter_leaks_is_bounded_by_recycling_it(run_daemon, directory, port, mail, rounds):
    if not os.path.exists(milters.PythonMilter.needs[0]):
        pytest.skip("python3-milter is not installed")
    where = directory / "leaky"
    where.mkdir()
    leaky, count = Leaky(where, port()), rounds(100)
    daemon = run_daemon(leaky.section(MIN_PROCS=2, MAX_PROCS=2, MAX_CONNS=4, MIN_CONNS=4, MAX_LIFE_CONNS=LIFE))
    one, sizes = mail(leaky.port, "X-Filtered:"), []
    empty = max(processes.pss_kib(w["pid"]) for w in daemon.workers())
    one.send(count, by_count(range(5, count, 5), lambda: sizes.extend(sizes_of(daemon))))
    one.check()
    retired = len(re.findall(r"worker\.retire .*reason=spent", daemon.log()))
    bound = empty + (LIFE + 4 + 4) * (LEAK_MIB << 10) + (10 << 10)  # what is offered when it retires, too
    print(f"{count} messages that leave {LEAK_MIB} MiB each: {retired} recycled, the largest process "
          f"{max(sizes) >> 10} MiB, empty {empty >> 10} MiB; {one.figures()}")
    assert one.deferred == 0 and max(sizes) <= bound, (max(sizes), bound)
    assert retired >= count // (LIFE + 8)


class Dripping(Leaky):
    leak = LEAK_KIB << 10


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists(milters.PythonMilter.needs[0]), reason="python3-milter is missing")
def test_what_a_filter_leaks_is_bounded_by_its_memory(run_daemon, directory, port, mail, rounds):
    """Looked at every five seconds, and acted upon when it is too much for the third time."""
    where = directory / "dripping"
    where.mkdir()
    leaky, count, sizes = Dripping(where, port()), rounds(MESSAGES), []
    daemon = run_daemon(leaky.section(MIN_PROCS=2, MAX_PROCS=2, MAX_CONNS=8, MIN_CONNS=8, MAX_LIFE_CONNS=0,
                                      MAX_MEMORY="40M"))
    one = mail(leaky.port, "X-Filtered:")
    one.send(count, each_second(lambda: sizes.extend(sizes_of(daemon))))
    one.check()
    retired = len(re.findall(r"worker\.retire .*reason=memory", daemon.log()))
    print(f"{count} messages that leave {LEAK_KIB} KiB each: {retired} replaced, the largest process "
          f"{max(sizes) >> 10} MiB; {one.figures()}")
    # 15 seconds at least, and one more look, at the rate of all messages: two share it
    bound = (40 << 10) + count / one.seconds * 21 * LEAK_KIB
    assert one.deferred == 0 and retired >= 2 and max(sizes) <= bound, (retired, max(sizes), bound)
