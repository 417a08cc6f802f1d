"""Workers that lie, block or do not obey. Each misbehaves as the first worker of a service whose other
workers are honest, beside a service of other workers: nobody else and no count may be harmed."""

import os

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.fuse import SilentFile
from harness.load import Load
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized


def rogue(number, mode, *parameters, **options):
    """The first worker is rogue, its successors and its neighbours are honest."""
    return service("rogue", number, IMAGE="rogue",
                   PARAMETER=[f"MODE={mode}", "ONLY=1", *parameters],
                   **dict(dict(MIN_PROCS=2, MAX_PROCS=2, KILL_TIMEOUT="500ms", HANDOFF_TIMEOUT="300ms",
                               MAX_LIFE_CONNS=0), **options))


def run_beside(run_daemon, port, *sections, seconds_of_load=0.0, during=None):
    """Runs sections beside an honest service under load; its clients must all succeed."""
    well = port()
    daemon = run_daemon(*sections, service("well", well, IMAGE="dispatcher-echo", MIN_PROCS=2,
                                           MAX_PROCS=2, MAX_LIFE_CONNS=0))
    with Load(well, 8) as load:
        outcome = during(daemon)
        result = load.stop()
    assert result["failed"] == {} and result["ok"] > 0, result
    assert not daemon.events("worker.exit", "worker=well/")
    one = daemon.wait_service(lambda one: one["connections"] == 0, "nobody is left", "well")
    assert one["done"] == one["handed"] == result["ok"], (one, result)
    return daemon, outcome


def use_both(number, count=40, seconds=10):
    """As use(), while a client that says nothing is held at each of the two workers: one after the other
    they could all go to the same."""
    with clients.Held() as held:
        for _ in range(2):
            held.open(number, served=False)
        return use(number, count, seconds)


def use(number, count=40, seconds=10):
    """Clients one after the other; how many an honest worker served."""
    served = 0
    for _ in range(count):
        with clients.connect(number, seconds) as sock:
            try:
                clients.echo_on(sock)
                served += 1
            except (ConnectionError, TimeoutError):
                pass
    return served


LIARS = ["overclaims_done", "overclaims_taken", "claims_foreign", "claims_no_slot", "claims_twice",
         "goes_back", "noise"]


@pytest.mark.parametrize("mode", LIARS)
def test_a_false_report_is_not_believed_and_its_worker_ends(run_daemon, port, mode):
    number = port()

    def during(daemon):
        with clients.Held() as held:
            for _ in range(3):  # somebody else's, which no lie may end
                held.open(number, served=False)
            use(number)
            daemon.wait_event("worker.exit", "worker=rogue/1 ", seconds=20)
        return use(number, 10)

    daemon, served = run_beside(run_daemon, port, rogue(number, mode), during=during)
    assert daemon.events("worker.false_report", "worker=rogue/1 ")
    assert served == 10
    daemon.wait_service(lambda one: len(one["workers"]) == 2 and one["settled"], "replaced", "rogue")


@pytest.mark.parametrize("mode", ["never_reads", "closes_channel"])
def test_offers_that_are_never_read_are_served_by_another(run_daemon, port, mode):
    number = port()
    daemon, served = run_beside(run_daemon, port, rogue(number, mode, START_TIMEOUT="2s"),
                                during=lambda _: use_both(number, 20))
    assert served == 20
    one = daemon.wait_service(lambda one: one["stolen_back"] > 0, "the unread was stolen", "rogue")
    assert one["lost"] == 0
    daemon.wait_event("worker.exit", "worker=rogue/1 ", "reason=hung")


@pytest.mark.parametrize("mode", ["hoards", "hoards_and_answers"])
def test_a_worker_that_keeps_offers_to_itself_harms_only_their_clients(run_daemon, port, mode):
    number = port()
    daemon, served = run_beside(run_daemon, port, rogue(number, mode, START_TIMEOUT="2s"),
                                during=lambda _: use_both(number, 20, 4))
    assert served >= 20 - 5, "few offers went to it before it was suspect"
    daemon.wait_event("worker.exit", "worker=rogue/1 ")
    assert len(daemon.events("worker.stolen_back", "worker=rogue/1 ")) < 5


@pytest.mark.root
def test_memory_that_never_answers_blocks_neither_thief_nor_acceptor(run_daemon, port, directory):
    number, where = port(), directory / "silent"
    where.mkdir()
    silent = SilentFile(where)

    def during(daemon):
        with clients.Held() as held:
            for count in range(1, 5):  # one by one: each of the two gets some
                held.open(number, served=False)
                daemon.wait_service(lambda one: one["handed"] == count, "it was offered", "rogue")
            assert silent.asked.wait(10), "the worker never received into the mapping"
            daemon.wait_event("worker.signal", "worker=rogue/1 ", "signal=(9|KILL)", seconds=20)
            served = use(number, 20)
        silent.unmount()  # only now can the kernel end it
        daemon.wait_event("worker.exit", "worker=rogue/1 ", seconds=20)
        return served

    try:
        _, served = run_beside(run_daemon, port, rogue(number, "silent_memory", f"FILE={silent.path}",
                                                       USER="root"), during=during)
        assert served == 20
    finally:
        silent.unmount()


def test_a_descriptor_cannot_be_passed_to_the_acceptor(run_daemon, port):
    number = port()
    daemon, served = run_beside(run_daemon, port, rogue(number, "passes_descriptor"),
                                during=lambda _: use_both(number, 20))
    daemon.wait_event("worker.output", "worker=rogue/1 ", "passed nothing")
    assert served == 20


@pytest.mark.parametrize("mode", ["drains_bell", "blocks_bell", "closes_bell"])
def test_an_abused_doorbell_harms_no_count(run_daemon, port, mode):
    number = port()
    daemon, served = run_beside(run_daemon, port, rogue(number, mode),
                                during=lambda _: use_both(number))
    assert served == 40
    one = daemon.wait_service(lambda one: one["done"] == 42, "every end was noticed", "rogue")
    assert (one["connections"], one["lost"]) == (0, 0)


def test_a_doorbell_that_never_stops_costs_a_bounded_share(run_daemon, port):
    number = port()

    def during(daemon):
        served = use_both(number)
        daemon.status()
        return served

    _, served = run_beside(run_daemon, port, rogue(number, "rings_always"), during=during)
    assert served == 40


def test_the_page_cannot_be_shrunk(run_daemon, port):
    number = port()
    daemon, _ = run_beside(run_daemon, port, rogue(number, "shrinks_page"),
                           during=lambda _: use_both(number))
    daemon.wait_event("worker.output", "worker=rogue/1 ", "cannot shrink")


def test_who_ignores_term_is_killed_when_the_deadline_has_passed(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number, "ignores_term", SHUTDOWN_TIMEOUT="500ms"),
                        own="SHUTDOWN_TIMEOUT=500ms\nKILL_TIMEOUT=500ms")
    use(number, 5)
    assert daemon.shut_down(seconds=15) == 0
    assert daemon.events("worker.signal", "worker=rogue/1 ", "signal=(9|KILL)")


def test_a_kill_reaches_the_children_of_a_worker(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number, "leaves_child", SHUTDOWN_TIMEOUT="500ms"),
                        own="SHUTDOWN_TIMEOUT=500ms\nKILL_TIMEOUT=500ms")
    pid = next(w["pid"] for w in daemon.workers() if w["id"] == "rogue/1")
    child = wait_until(lambda: processes.descendants(pid), "it has a child")[0]
    assert daemon.shut_down(seconds=15) == 0
    wait_until(lambda: not processes.alive(child), "the child has gone too")
