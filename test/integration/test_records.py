"""What is known of a worker that was killed on purpose: its record in STATE_DIR."""

import os
import re
import signal

import pytest

from harness import clients, control, processes
from harness.daemon import service
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized


def rogue(number, mode="honest", **options):
    return service("rogue", number, IMAGE="rogue", PARAMETER=[f"MODE={mode}", "ONLY=1"],
                   **dict(dict(MIN_PROCS=1, MAX_PROCS=1, MAX_LIFE_CONNS=0,
                               KILL_TIMEOUT="500ms"), **options))


def records(daemon):
    where = daemon.directory / "state" / "records"
    return sorted(where.iterdir()) if where.exists() else []


def read_record(daemon, event):
    """The text of the record that a worker.record line names."""
    path = re.search(r"file=(\S+)", event)[1]
    with open(path) as file:
        return file.read()


def stop(pid):
    """Its first worker, stopped, and seen to be."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: processes.stat(pid)[0] == "T", "stopped")


def worker_pid(daemon, name):
    return next(w["pid"] for one in daemon.status()["services"] for w in one["workers"]
                if w["id"] == name)


def kill_with_record(daemon, name):
    result = daemon.order("kill", name)
    event = daemon.wait_event("worker.record", f"worker={name} ")[-1]
    assert re.search(r"file=(\S+)", event)[1] in result["text"], (event, result)
    daemon.wait_event("worker.exit", f"worker={name} ", "status=signal:KILL")
    return read_record(daemon, event)


def test_kill_leaves_a_record_with_connections_descriptors_and_stack(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number))
    with clients.Held() as held:
        own = [held.open(number).getsockname()[1] for _ in range(2)]
        text = kill_with_record(daemon, "rogue/1")
    assert text.startswith("waits for a client")
    for expected in ("worker=rogue/1 ", "why=\"?ordered by ", "image=.*/rogue", "signal=KILL",
                     r"taken=2 done=0", r"2 in all", r"thread \d+ \(rogue\): state S",
                     r"/rogue\+0x", r"3 -> socket:", "VmRSS:"):
        assert re.search(expected, text), (expected, text)
    for client in own:
        assert f"peer=127.0.0.1:{client} " in text


HANGS = {"stopped": "stopped by a signal", "spins": "spinning: ", "deadlocks": "waits in futex: deadlock?"}


@pytest.mark.parametrize("how", HANGS)
def test_the_first_line_of_a_record_tells_how_a_worker_hangs(run_daemon, port, how):
    number = port()
    daemon = run_daemon(rogue(number, "honest" if how == "stopped" else how))
    pid = worker_pid(daemon, "rogue/1")
    with clients.Held() as held:
        held.open(number, served=how == "stopped")
        if how == "stopped":
            stop(pid)
        else:
            daemon.wait_event("worker.output", "worker=rogue/1 ", "last words")
        text = kill_with_record(daemon, "rogue/1")
    assert text.startswith(HANGS[how]), text
    assert re.search(r"in the program, the innermost first:\n +\S+\+0x", text), text
    assert how == "stopped" or "last words" in text.partition("its last lines in the log")[2]


def test_who_does_not_run_is_not_killed(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number))
    with pytest.raises(control.Refused, match="there is no worker"):
        daemon.order("kill", "rogue/77")


def test_twenty_records_are_kept(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number))
    where = daemon.directory / "state" / "records"
    where.mkdir(mode=0o700)
    for i in range(25):
        (where / f"old-{i}-20200101T000000Z.txt").write_text("old\n")
        os.utime(where / f"old-{i}-20200101T000000Z.txt", (i, i))
    kill_with_record(daemon, "rogue/1")
    wait_until(lambda: len(records(daemon)) == 20, lambda: records(daemon))
    names = {path.name.rsplit("-", 1)[0] for path in records(daemon)}
    assert names == {"rogue-1"} | {f"old-{i}" for i in range(6, 25)}


def test_what_a_killed_recorder_left_is_removed(run_daemon, port):
    daemon = run_daemon(rogue(port()))
    where = daemon.directory / "state" / "records"
    where.mkdir(mode=0o700)
    for name in (".a-1-20200101T000000Z.txt.new", ".writing.txt.new", ".other"):
        (where / name).write_text("half\n")
    os.utime(where / ".a-1-20200101T000000Z.txt.new", (1, 1))
    os.utime(where / ".other", (1, 1))
    kill_with_record(daemon, "rogue/1")
    names = {path.name.rsplit("-", 1)[0] for path in records(daemon)}
    assert names == {"rogue-1", ".writing.txt.new", ".other"}


def test_a_state_directory_is_made_also_below_another_named_records(make_daemon, port):
    daemon = make_daemon(rogue(port()))
    above = daemon.directory / "records"
    above.mkdir()
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(text.replace(f"{daemon.directory}/state\n", f"{above}/state\n"))
    daemon.start()
    assert "worker=rogue/1 " in kill_with_record(daemon, "rogue/1")


def test_a_record_that_cannot_be_written_saves_nobody(run_daemon, port):
    number = port()
    daemon = run_daemon(rogue(number))
    (daemon.directory / "state" / "records").write_text("in the way")
    daemon.expect_errors("where=record")
    result = daemon.order("kill", "rogue/1")
    assert "no record" in result["text"]
    daemon.wait_event("worker.exit", "worker=rogue/1 ", "status=signal:KILL")


# --- HANG_TIMEOUT ---


def hanging(number, mode="honest", **options):
    return rogue(number, mode, **dict(dict(MAX_PROCS=2, HANG_TIMEOUT="1s", HANDOFF_TIMEOUT="300ms",
                                           START_TIMEOUT="30s"), **options))


@pytest.mark.parametrize("how", HANGS)
def test_a_worker_that_hangs_is_recorded_and_ended(run_daemon, port, how):
    number = port()
    daemon = run_daemon(hanging(number, "honest" if how == "stopped" else how))
    pid = worker_pid(daemon, "rogue/1")
    with clients.Held() as held:
        held.open(number, served=how == "stopped")
        if how == "stopped":
            stop(pid)
        event = daemon.wait_event("worker.record", "worker=rogue/1 ", seconds=20)[0]
        status = "signal:(KILL|ABRT)" if how == "stopped" else "signal:ABRT"
        daemon.wait_event("worker.exit", "worker=rogue/1 ", f"status={status}", "reason=hung",
                          "lost=1", seconds=20)
        clients.echo(number)
    text = read_record(daemon, event)
    assert text.startswith(HANGS[how]), text
    assert re.search("why=.*HANG_TIMEOUT", text) and "1 in all" in text, text
    assert re.search(r"in the program, the innermost first:\n +\S+\+0x", text), text
    assert len(daemon.events("worker.signal", "worker=rogue/1 ", "signal=ABRT", "reason=hung")) == 1


def test_who_waits_for_a_slow_client_does_not_hang(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(
        service("echo", number, IMAGE="dispatcher-echo", HANG_TIMEOUT="600ms", MAX_LIFE_CONNS=0),
        hanging(other, "spins", HANG_TIMEOUT="2400ms"))
    with clients.Held() as held:
        held.open(number)  # says nothing any more
        full = held.open(number)  # sends and never reads
        full.setblocking(False)
        try:
            while True:
                full.send(b"x" * 65536)
        except BlockingIOError:
            pass
        held.open(other, served=False)
        # by the time that the other is found to hang, these two were asked several times
        daemon.wait_event("worker.record", "worker=rogue/1 ", seconds=20)
        assert not daemon.events("worker.signal", "worker=echo/")
        assert [w["id"] for w in daemon.workers("echo")] == ["echo/1"]
        assert daemon.service("echo")["connections"] == 2


# --- MAX_MEMORY ---


def test_who_holds_too_much_memory_is_replaced_and_finishes_what_it_has(run_daemon, port):
    number, other = port(), port()
    daemon = run_daemon(
        service("greedy", number, IMAGE="rogue", PARAMETER=["MODE=leaks", "ONLY=1"], MIN_PROCS=1,
                MAX_PROCS=1, MAX_LIFE_CONNS=0, MAX_MEMORY="64M"),
        service("modest", other, IMAGE="rogue", PARAMETER=["MODE=leaks"], MIN_PROCS=1,
                MAX_PROCS=1, MAX_LIFE_CONNS=0))
    with clients.Held() as held:
        both = [held.open(number) for _ in range(4)]  # 32 MiB each
        more = [held.open(other) for _ in range(4)]
        daemon.wait_event("worker.retire", "worker=greedy/1 ", "reason=memory", seconds=25)
        clients.echo(number)  # its replacement was there first
        for sock in both + more:
            clients.echo_on(sock)
        assert not daemon.events("worker.retire", "worker=modest/")
    line = daemon.wait_event("worker.exit", "worker=greedy/1 ", "reason=memory", seconds=20)[0]
    assert "lost=0" in line
