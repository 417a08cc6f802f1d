"""Programs of Debian that were never changed for us, each as a pool of two, visited by its own kind of
clients: started, served, killed under load, recycled, counted."""

import os
import signal

import pytest

from harness import processes, servers
from harness.processes import wait_until
from harness.servers.base import is_there
from harness.timeline import Timeline
from harness.visitors import Visitors

OTHER_SOURCE = "127.0.0.9"
KILLS, RECYCLED = 1, 1  # in continuous integration


@pytest.fixture(params=servers.ALL, ids=lambda kind: kind.name)
def server(request, stage, port):
    kind, build = request.param, stage.build
    missing = [path for path in kind.needs if not is_there(path, build)]
    if missing:
        pytest.skip(f"not installed: {missing}")
    if kind.root and os.getuid() != 0:
        pytest.skip("needs root")
    return kind(stage.fresh_directory(), port(), build)


def ready_pids(one):
    return {w["pid"] for w in one["workers"] if w["state"] == "serving"}


class Story:
    """What a test does to a pool, and what is to come of it."""

    def __init__(self, daemon, server):
        self.daemon, self.server, self.made, self.kills = daemon, server, 0, 0

    def real_client(self):
        self.made += self.server.real_client()

    def address(self):
        """The program sees who really comes."""
        self.server.serve(OTHER_SOURCE)
        self.made += 1
        if self.server.sees_client:
            wait_until(lambda: OTHER_SOURCE in self.server.seen() + self.daemon.log(),
                       lambda: f"the client's address in {self.server.seen()[-2000:]}", 15)

    def hold(self):
        if not hasattr(self.server, "hold"):
            return None
        self.made += 1
        return self.server.hold()

    def hit(self, spared):
        """The busiest worker dies; its pid and those of its children. One that was just recycled does not
        count."""
        def busy(one):
            return [w for w in one["workers"]
                    if w["state"] == "serving" and w["connections"] and w["pid"] != spared]

        while True:
            one = self.daemon.wait_service(busy, "a worker is busy")
            victim = max(busy(one), key=lambda w: w["connections"])["pid"]
            kin = processes.descendants(victim)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return victim, kin

    def kill(self, visitors, spared):
        """In the middle of a load."""
        victim, kin = self.hit(spared)
        self.kills += 1  # who dies young several times is replaced later and later
        self.daemon.wait_service(lambda one: victim not in {w["pid"] for w in one["workers"]}
                                 and len(ready_pids(one)) >= 2, "it was replaced", seconds=20 if self.kills < 2 else 70)
        wait_until(lambda: not any(processes.alive(pid) for pid in kin),
                   lambda: f"left behind: {[processes.command(pid) for pid in kin]}", 15)
        visitors.wait(5)

    def holder(self):
        """The worker that has the held connection: the only one."""
        one = self.daemon.wait_service(lambda one: one["connections"] == 1, "the held one is left")
        return [w["pid"] for w in one["workers"] if w["connections"]][0]

    def recycled(self):
        return [worker for worker, why in Timeline(self.daemon.log(), self.server.name).retired.items()
                if why == "spent"]


def play(story, rounds):
    """Everything that is told of each program; the figures for the report."""
    daemon, server = story.daemon, story.server
    story.real_client()
    story.address()
    held = story.hold()
    spared = story.holder() if held else None
    visitors = Visitors(server, server.clients)
    try:
        for _ in range(rounds(KILLS)):
            story.kill(visitors, spared)
        wanted = rounds(RECYCLED) + len(story.recycled())
        wait_until(lambda: len(story.recycled()) >= wanted, lambda: f"recycled\n{daemon.tail()}", 20)
        if held:
            server.request(held)  # neither the kills nor the recycling have touched it
    finally:
        visitors.stop()
        if held:
            held.close()
    story.made += visitors.made()
    return visitors


def check(story, visitors, kills):
    one = story.daemon.wait_service(lambda one: one["settled"] and not one["connections"], "nobody is left",
                                    seconds=20)
    print(f"{one['name']}: {visitors.ok} served, {len(visitors.failed)} cut by {kills} kills, "
          f"{len(story.recycled())} recycled; status: handed {one['handed']}, done {one['done']}, "
          f"lost {one['lost']}, refused {one['refused']}")
    assert len(visitors.failed) <= kills * story.server.clients, visitors.failed
    assert len(visitors.failed) <= one["lost"] or story.server.has_children, (one, visitors.failed)
    assert one["lost"] <= kills * story.server.clients or story.server.ends_are_told_late, one
    assert one["accepted"] == one["handed"] == story.made, (story.made, one)
    assert one["done"] == story.made - one["lost"], one


def test_an_unmodified_server_is_a_pool(run_daemon, server, rounds):
    daemon = run_daemon(server.section(MIN_PROCS=2, MAX_PROCS=3, MAX_LIFE_CONNS=server.life))
    story = Story(daemon, server)
    visitors = play(story, rounds)
    check(story, visitors, rounds(KILLS))


@pytest.mark.parametrize("kind", [servers.http.NginxMaster, servers.http.HaproxyMaster, servers.others.DovecotImap],
                         ids=lambda kind: kind.name)
def test_what_killed_children_of_a_server_were_serving_is_not_counted_for_ever(run_daemon, stage, port, kind):
    """They tell nobody of their end, and the server itself lives on: the kernel's word frees them."""
    if not all(is_there(path, stage.build) for path in kind.needs) or (kind.root and os.getuid() != 0):
        pytest.skip("not installed, or needs root")
    server = kind(stage.fresh_directory(), port(), stage.build)
    daemon = run_daemon(server.section(MIN_PROCS=1, MAX_PROCS=1, KILL_TIMEOUT="1s"))
    held = [server.hold() for _ in range(3)]
    worker, = daemon.wait_service(lambda one: one["connections"] == 3, "three are served")["workers"]
    for pid in processes.descendants(worker["pid"]):
        os.kill(pid, signal.SIGKILL)
    daemon.wait_service(lambda one: one["connections"] == 0, "nobody is left", seconds=15)
    for sock in held:
        sock.close()
    wait_until(lambda: serves(server), "it serves again, by new children or as a new worker", 25)


def serves(server):
    try:
        server.serve()
        return True
    except (OSError, AssertionError):
        return False
