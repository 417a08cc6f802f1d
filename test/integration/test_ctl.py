"""dispatcherctl, as operators use it."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.processes import wait_until

pytestmark = pytest.mark.sanitized

SOURCE = pathlib.Path(__file__).resolve().parents[2]
VERBS = ["status", "connections", "config", "check", "restart", "shutdown", "start", "enable", "disable",
         "kill", "reload", "upgrade", "reopen", "block", "unblock", "version"]


@pytest.fixture
def number(port):
    return port()


@pytest.fixture
def daemon(run_daemon, port, number):
    return run_daemon(service("one", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2),
                      service("two", port(), IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=2))


def good(run):
    assert run.returncode == 0, run
    return run.stdout


# --- exit statuses ---

@pytest.mark.parametrize("words", [["status"], ["version"], ["reopen"], ["restart"], ["shutdown"],
                                   ["restart", "one", "--wait"], ["shutdown", "--wait"],
                                   ["start", "one"], ["reload", "--dry-run"]])
def test_nobody_there_is_status_3(stage, directory, words):
    run = subprocess.run([stage.program("dispatcherctl"), "-s", directory / "control", *words],
                         capture_output=True, text=True)
    assert run.returncode == 3 and "no dispatcher runs" in run.stderr, run


def test_a_name_that_nobody_has_fails_alone(daemon):
    run = daemon.ctl("start", "nobody", "nothing")
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.splitlines() == [f"dispatcherctl: {name}: there is no service {name}"
                                       for name in ("nobody", "nothing")]


def test_every_verb_has_its_help(stage):
    for verb in VERBS:
        run = subprocess.run([stage.program("dispatcherctl"), verb, "--help"], capture_output=True,
                             text=True)
        first, *rest = good(run).splitlines()
        assert first.startswith(f"usage: dispatcherctl [-s PATH] {verb}") and rest, verb


def test_check_says_what_the_daemon_would_say(daemon, directory):
    tested = subprocess.run([daemon.stage.program("dispatcher"), "-t", "-c", daemon.config_path],
                            capture_output=True, text=True)
    assert good(daemon.ctl("check", daemon.config_path)) == good(tested)
    wrong = directory / "wrong.cnf"
    wrong.write_text("[SERVICE=one]\nMIN_PROCS=many\n")
    run = daemon.ctl("check", wrong)
    assert run.returncode == 1 and "MIN_PROCS" in run.stderr, run


def members(value):
    """Every name in a document."""
    if isinstance(value, dict):
        return set(value).union(*map(members, value.values()))
    return set().union(*map(members, value)) if isinstance(value, list) else set()


def test_every_member_of_the_documents_stands_in_the_manual(daemon, number):
    manual = (SOURCE / "dispatcher" / "ctl" / "dispatcherctl.8.scd").read_text().replace("\\_", "_")
    daemon.order("reload", expect=0)
    good(daemon.ctl("block", "192.0.2.0/24"))
    with clients.Held() as held:
        held.open(number)
        daemon.order("restart", "one")
        connections = json.loads(good(daemon.ctl("connections", "--json")))
        found = members(daemon.status()) | members(connections)
    missing = sorted(name for name in found if f"*{name}*" not in manual)
    assert missing == []


# --- orders ---

def test_an_order_tells_its_result_in_a_line(daemon):
    assert good(daemon.ctl("reopen")) == "the log files are open again\n"


def test_an_order_outlives_the_acceptor_that_took_it(daemon):
    before = daemon.acceptor_pid()
    for name in ("acceptor", "dispatcher"):
        assert "new acceptor" in good(daemon.ctl("restart", name))
    good(daemon.ctl("upgrade"))
    assert daemon.acceptor_pid() != before


# --- restart ---

def ids(daemon, name):
    return {worker["id"] for worker in daemon.service(name)["workers"]}


def start_ctl(daemon, *words):
    return subprocess.Popen([daemon.stage.program("dispatcherctl"), "-s", daemon.control_path, *words],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_restart_without_a_name_replaces_the_workers_of_all_services(daemon):
    before = ids(daemon, "one") | ids(daemon, "two")
    said = good(daemon.ctl("restart", "--wait"))
    assert not before & (ids(daemon, "one") | ids(daemon, "two"))
    lines = said.splitlines()
    assert lines[0].startswith("one: to be replaced: one/") and lines[1].startswith("two: to be "), said


def test_restart_with_wait_returns_when_the_last_old_worker_has_gone(daemon, number):
    old, others = ids(daemon, "one"), ids(daemon, "two")
    with clients.Held() as held:
        held.open(number)
        waiting = start_ctl(daemon, "restart", "one", "--wait")
        assert waiting.stdout.readline().startswith("to be replaced: one/")
        assert "1 of 1 old workers left, 1 connections" in waiting.stdout.readline()
        daemon.wait_service(lambda one: any(w["state"] == "serving" and w["id"] not in old
                                            for w in one["workers"]), "a new one serves", "one")
        good(daemon.ctl("restart", "acceptor"))
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
    assert waiting.wait(20) == 0
    assert not old & ids(daemon, "one") and ids(daemon, "two") == others


def test_restart_of_one_worker_with_a_drain_time(daemon, number):
    with clients.Held() as held:
        sock = held.open(number)
        worker = daemon.workers("one")[0]["id"]
        began = time.monotonic()
        good(daemon.ctl("restart", worker, "--wait", "--drain", "1s"))
        assert 0.9 < time.monotonic() - began < 15
        assert clients.receive_all(sock) == b""
    assert worker not in ids(daemon, "one")


def test_restart_says_that_the_file_has_changed(daemon):
    assert "changed" not in good(daemon.ctl("restart", "one"))
    daemon.settle("one")
    time.sleep(0.01)  # the time of a file is in ticks of the kernel's clock
    daemon.config_path.write_text(daemon.config_path.read_text() + "\n")
    daemon.wait(lambda status: status["dispatcher"]["config_changed_on_disk"], "seen", 30)
    assert "restart does not read it, reload does" in good(daemon.ctl("restart", "one"))


# --- reload ---

def rewrite(daemon, old, new):
    daemon.config_path.write_text(daemon.config_path.read_text().replace(old, new))


def test_reload_tells_what_changes_and_a_dry_run_changes_nothing(daemon):
    rewrite(daemon, "MAX_PROCS=2", "MAX_PROCS=3")
    for words in (["reload", "--dry-run"], ["reload"]):
        assert daemon.service("one")["max_procs"] == 2
        said = good(daemon.ctl(*words))
        assert "one: max_procs 2 -> 3" in said and "two: max_procs 2 -> 3" in said, said
    assert daemon.service("one")["max_procs"] == 3
    assert re.search(r"^reloaded +\d{4}-", good(daemon.ctl("status")), re.M)


def test_a_reload_that_fails_says_where_and_status_remembers_it(daemon):
    daemon.expect_errors(r"config\.refused")
    before = daemon.status()["dispatcher"]["config_hash"]
    rewrite(daemon, "MAX_PROCS=2", "MAX_PROCS=many")
    run = daemon.ctl("reload")
    assert run.returncode == 1 and run.stdout == "" and "MAX_PROCS" in run.stderr, run
    status = daemon.status()
    assert status["dispatcher"]["config_hash"] == before
    assert daemon.service("one", status)["max_procs"] == 2
    assert re.search(r"! The last reload, at .*, failed", good(daemon.ctl("status")))


# --- shutdown ---

def test_shutdown_of_a_service_with_wait_leaves_the_others(daemon, number):
    with clients.Held() as held:
        held.open(number)
        waiting = start_ctl(daemon, "shutdown", "one", "--wait")
        wait_until(lambda: "1 workers left, 1 connections" in waiting.stdout.readline(),
                   "it tells how far it is")
        assert daemon.service("one")["state"] == "closing"
        assert daemon.service("two")["state"] == "open"
        assert waiting.poll() is None
    assert waiting.wait(20) == 0
    assert daemon.service("one")["state"] == "closed"
    assert re.search(r"closed by uid=0 pid=\d+ at .*; until start", good(daemon.ctl("status")))
    good(daemon.ctl("start", "one"))
    clients.echo(number)


def test_who_waits_for_a_close_is_told_that_it_was_opened_again(daemon, number):
    with clients.Held() as held:
        held.open(number)
        waiting = start_ctl(daemon, "stop", "one", "--wait")
        daemon.wait_service(lambda one: one["state"] == "closing", "it closes", "one")
        good(daemon.ctl("start", "one"))
        said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 1 and "one has been opened again" in said, said


def test_disable_and_enable_of_several(daemon, number):
    said = good(daemon.ctl("disable", "one", "two", "--wait"))
    assert [line.split()[0].rstrip(":") for line in said.splitlines()[:2]] == ["one", "two"], said
    assert good(daemon.ctl("status")).count("until enable") == 2
    run = daemon.ctl("start", "one")
    assert run.returncode == 1 and "enable" in run.stderr, run
    good(daemon.ctl("enable", "one", "two"))
    clients.echo(number)


def test_shutdown_with_wait_returns_when_the_supervisor_has_gone(daemon, number):
    with clients.Held() as held:
        held.open(number)
        waiting = start_ctl(daemon, "shutdown", "--wait")
        wait_until(lambda: "1 connections" in waiting.stdout.readline(), "it tells how far it is")
        assert waiting.poll() is None
    said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    assert said.splitlines()[-1] == "The dispatcher has ended.", said
    assert daemon.process.wait(0.5) == 0


def test_shutdown_with_a_drain_time_cuts_who_is_still_there(daemon, number):
    with clients.Held() as held:
        sock = held.open(number)
        began = time.monotonic()
        good(daemon.ctl("shutdown", "--wait", "--drain", "1s"))
        assert 0.9 < time.monotonic() - began < 15
        assert clients.receive_all(sock) == b""
    assert daemon.process.wait(5) == 0


def test_without_supervisor_status_says_so_and_orders_are_refused(daemon, number):
    daemon.expect_errors(r"supervisor\.gone")
    workers = [worker["pid"] for name in ("one", "two") for worker in daemon.workers(name)]
    daemon.process.kill()
    daemon.process.wait()
    daemon.wait(lambda status: status["dispatcher"]["supervisor_pid"] is None, "noticed")
    assert re.search(r"The supervisor is gone since \d{4}-", good(daemon.ctl("status")))
    run = daemon.ctl("restart", "one", "two")
    assert run.returncode == 1 and run.stderr.count("the supervisor is gone") == 2, run
    clients.echo(number)
    assert good(daemon.ctl("shutdown", "--wait")).endswith("The dispatcher has ended.\n")
    assert daemon.ctl("status").returncode == 3
    wait_until(lambda: not any(map(processes.alive, workers)), "the workers have gone")


def test_a_shutdown_that_is_under_way_can_be_hurried(daemon, number):
    with clients.Held() as held:
        sock = held.open(number)
        assert good(daemon.ctl("shutdown")) == "The dispatcher ends.\n"
        daemon.wait_service(lambda one: one["state"] == "closing", "it closes", "one")
        good(daemon.ctl("shutdown", "--drain", "10m"))
        began = time.monotonic()
        good(daemon.ctl("shutdown", "--wait", "--drain", "1s"))
        assert 0.9 < time.monotonic() - began < 15
        assert clients.receive_all(sock) == b""
    assert daemon.process.wait(5) == 0


# --- what workers run ---

def test_status_names_workers_whose_image_was_replaced(run_daemon, stage, directory, port):
    image = directory / "echo"
    shutil.copy(stage.program("dispatcher-echo"), image)
    daemon = run_daemon(service("one", port(), IMAGE=image, MIN_PROCS=1, MAX_PROCS=1))
    assert not daemon.workers()[0]["image_replaced"]
    shutil.copy(image, directory / "echo.new")
    os.replace(directory / "echo.new", image)
    daemon.wait_service(lambda one: one["workers"][0]["image_replaced"], "seen", seconds=30)
    assert "its image was replaced on disk: one/" in good(daemon.ctl("status"))
    good(daemon.ctl("restart", "acceptor"))
    assert daemon.workers()[0]["image_replaced"], "the next acceptor is told, too"
    good(daemon.ctl("upgrade"))
    daemon.wait_service(lambda one: one["workers"][0]["image_replaced"], "seen again", seconds=30)
    good(daemon.ctl("restart", "one", "--wait"))
    assert not daemon.workers()[0]["image_replaced"]


# --- the live view ---

def read_terminal(fd, until, seconds=10):
    """Text that was written to a terminal, as soon as it matches."""
    text, deadline = "", time.monotonic() + seconds
    while not re.search(until, text, re.S):
        assert time.monotonic() < deadline, (until, text)
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 65536).decode()
    return text


@pytest.fixture
def watching(daemon):
    """status --watch on a terminal of 80 columns: (process, the terminal's other end)."""
    main, terminal = pty.openpty()
    process = subprocess.Popen([daemon.stage.program("dispatcherctl"), "-s", daemon.control_path, "status",
                                "--watch"], stdin=terminal, stdout=terminal, stderr=terminal,
                               start_new_session=True)
    os.close(terminal)
    yield process, main
    process.kill()
    process.wait()
    os.close(main)


def test_the_live_view_shows_what_changes_and_ends_with_q(daemon, watching, number):
    process, terminal = watching
    first = read_terminal(terminal, r"one .*? 0/.*q ends")
    assert first.startswith("\x1b[?1049h")
    with clients.Held() as held:
        held.open(number)
        shown = read_terminal(terminal, r"1 open, 0 waiting, \d+ new a second.*one +open +1/")
    lines = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", first + shown).split("\r\n")
    assert max(map(len, lines)) <= 80, lines
    os.write(terminal, b"q")
    assert read_terminal(terminal, r"\x1b\[\?1049l")
    assert process.wait(5) == 0


def test_the_live_view_gives_the_terminal_back_after_a_signal(watching):
    process, terminal = watching
    read_terminal(terminal, "q ends")
    process.send_signal(signal.SIGINT)
    read_terminal(terminal, r"\x1b\[\?25h\x1b\[\?1049l")
    assert process.wait(5) == 0


# --- connections ---

def test_connections_can_be_grouped_by_source(run_daemon, port):
    number = port()
    daemon = run_daemon(service("one", number, IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1,
                                SOURCE_PREFIX="24/64"))
    with clients.Held() as held:
        for _ in range(3):
            held.open(number)
        daemon.wait_service(lambda one: one["connections"] == 3, "three are held")
        *rest, last = good(daemon.ctl("connections", "--by-source")).splitlines()
        worker = daemon.workers()[0]["id"]
        assert good(daemon.ctl("connections", worker)).splitlines()[-1] == "3 open connections"
        documents = daemon.ask("connections", "one")
    assert last == "3 open connections of 1 source", rest
    assert rest[1].split() == ["3", rest[1].split()[1], "127.0.0.0/24"]
    assert {one["source"] for one in documents} == {"127.0.0.0/24"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_tell_what_nobody_has_read(run_daemon, port, host):
    number = port()
    daemon = run_daemon(service("one", number, f"[::]:{number}", IMAGE="dispatcher-exec", MIN_PROCS=1,
                                MAX_PROCS=1, COMMAND="/bin/sleep 1000", USER="root"))
    with clients.connect((host, number)) as sock:
        sock.sendall(b"x" * 1234)
        daemon.wait_service(lambda one: one["connections"] == 1, "it is served")

        def shown():
            return json.loads(good(daemon.ctl("connections", "--json")))

        wait_until(lambda: [(c["unread"], c["unsent"]) for c in shown()] == [(1234, 0)], lambda: shown())
        line = good(daemon.ctl("connections")).splitlines()[1]
        assert line.split()[1:3] == ["1234", "0"], line
    daemon.order("restart", "one", now=True)


# --- blocks ---

def is_turned_away(address):
    """Accepted, and closed at once."""
    with clients.connect(address) as sock:
        try:
            return clients.receive_all(sock) == b""
        except ConnectionResetError:
            return True


def test_a_blocked_source_is_turned_away_by_every_acceptor_until_it_is_unblocked(daemon, number):
    with clients.Held() as held:
        before = held.open(number)
        assert good(daemon.ctl("block", "127.0.0.9/8")) == "127.0.0.0/8 is blocked\n"
        assert is_turned_away(number)
        for words in (["restart", "acceptor"], ["upgrade"]):
            good(daemon.ctl(*words))
            assert is_turned_away(number)
        clients.echo_on(before)
    status = daemon.status()
    assert [(b["prefix"], b["refused"], b["seconds_left"]) for b in status["dispatcher"]["blocks"]] == [
        ("127.0.0.0/8", 3, None)]
    assert "127.0.0.0/8 until unblock, 3 refused" in good(daemon.ctl("status"))
    assert daemon.service("one", status)["refused"] == 3
    assert len(daemon.events("connection.refused", "why=blocked", "prefix=127.0.0.0/8")) == 1
    assert good(daemon.ctl("unblock", "127.0.0.0/8")) == "127.0.0.0/8 is unblocked\n"
    clients.echo(number)
    run = daemon.ctl("unblock", "127.0.0.0/8")
    assert run.returncode == 1 and "is not blocked" in run.stderr
    assert daemon.ctl("block", "nonsense").returncode == 2


def test_a_block_ends_with_its_time(daemon, number):
    good(daemon.ctl("block", "127.0.0.1", "--for", "3s"))
    assert is_turned_away(number)
    daemon.wait(lambda status: not status["dispatcher"]["blocks"], "it is over")
    clients.echo(number)


# --- completion ---

def completed(daemon, *words):
    """What bash offers behind these words; the last one is being typed."""
    script = f"""
        source {SOURCE}/dispatcher/ctl/completion/dispatcherctl
        COMP_WORDS=({daemon.stage.program('dispatcherctl')} -s {daemon.control_path} "$@")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _dispatcherctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(["bash", "-uc", script, "bash", *words], capture_output=True, text=True)
    return good(run).split()


def test_bash_completes_verbs_options_and_names(daemon):
    assert set(VERBS) | {"stop"} <= set(completed(daemon, ""))
    assert completed(daemon, "res") == ["restart"]
    assert completed(daemon, "status", "--w") == ["--watch"]
    assert completed(daemon, "status", "t") == ["two"]
    assert completed(daemon, "status", "one", "t") == [], "it takes one name"
    assert completed(daemon, "restart", "one", "two/") == [daemon.workers("two")[0]["id"]]
    assert completed(daemon, "kill", "on") == [daemon.workers("one")[0]["id"]]
    assert completed(daemon, "restart", "--drain", "") == []
