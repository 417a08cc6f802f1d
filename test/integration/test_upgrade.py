"""The supervisor becomes the installed binary: nobody notices, or nothing has happened."""

import os
import shutil
import signal
import time

import pytest

from harness import clients, processes
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from test_programs import Git, Ssh
from test_restart import Session
from test_takeover import Clones

pytestmark = pytest.mark.sanitized


@pytest.fixture
def installed(make_daemon, stage, directory):
    """installed(section...): a running dispatcher whose program is a file of its own, to be replaced."""
    def start(*sections, **more):
        daemon = make_daemon(*sections, **more)
        daemon.program = directory / "dispatcher"
        shutil.copy(stage.program("dispatcher"), daemon.program)
        return daemon.start()

    return start


def install(daemon, source):
    """Puts another program in the place, as a package manager does."""
    fresh = daemon.program.with_suffix(".new")
    shutil.copy(source, fresh)
    fresh.chmod(0o755)
    os.rename(fresh, daemon.program)


def echo(number, **options):
    return service("echo", number, IMAGE="dispatcher-echo",
                   **dict(dict(MIN_PROCS=2, MAX_PROCS=4, MAX_LIFE_CONNS=0), **options))


def use_and_change(daemon, number, change, held=20, already=0):
    """Runs change() under load, with connections held; nobody may fail, the supervisor stays."""
    before = daemon.status()["dispatcher"]
    handed = daemon.service()["handed"]
    with clients.Held() as open_ones:
        socks = [open_ones.open(number) for _ in range(held)]
        with Load(number, 4) as load:
            daemon.wait_service(lambda one: one["handed"] > handed + held + 100, "under load")
            result = change()
            so_far = daemon.service()["handed"]
            daemon.wait_service(lambda one: one["handed"] > so_far + 100, "still under load")
            figures = load.stop()
        for sock in socks:
            clients.echo_on(sock)
    assert figures["failed"] == {} and figures["ok"] > 0, figures
    assert daemon.process.poll() is None
    assert daemon.status()["dispatcher"]["supervisor_pid"] == before["supervisor_pid"]
    one = daemon.wait_service(lambda one: one["connections"] == already, "all have left")
    assert one["handed"] == one["done"] + one["lost"] + already, one
    assert one["handed"] == handed + figures["ok"] + held, (one, figures)
    assert one["lost"] == 0
    return result, figures


def upgrade_to(daemon, program, expect=0):
    """Installs it and orders the upgrade; a new acceptor accepts when this returns."""
    starts = len(daemon.events("acceptor.start"))
    if program:
        install(daemon, program)
    result = daemon.order("upgrade", expect=expect)
    if not expect:
        daemon.wait_event("acceptor.start", count=starts + 1)
    return result


@pytest.mark.root
def test_git_and_ssh_notice_nothing_of_upgrades(installed, stage, directory, port, rounds):
    made = {}
    for name, kind in (("git", Git), ("ssh", Ssh)):
        (directory / name).mkdir(mode=0o755)
        made[name] = kind(directory / name, port())
    daemon = installed(made["git"].section(), made["ssh"].section())
    with Session(made["ssh"]) as session:
        clones = Clones(made["git"])
        for _ in range(rounds(2)):
            before = clones.count
            upgrade_to(daemon, stage.program("dispatcher"))
            wait_until(lambda: clones.count > before or clones.failure, "clones go on", 30)
        print(f"{clones.stop()} clones over {rounds(2)} upgrades")
        session.end()


def test_an_upgrade_to_the_same_program_cuts_and_refuses_nobody(installed, port, stage, rounds):
    number = port()
    daemon = installed(echo(number))
    workers = {w["id"]: w["pid"] for w in daemon.workers()}
    for _ in range(rounds(2)):
        result, figures = use_and_change(
            daemon, number, lambda: upgrade_to(daemon, stage.program("dispatcher")))
        assert "took the place" in result["text"], result
        print(f"longest {figures['longest_ms']} ms of {figures['ok']} clients")
    assert workers.items() <= {w["id"]: w["pid"] for w in daemon.workers()}.items()
    assert daemon.status()["dispatcher"]["upgraded"]
    assert len(daemon.events("dispatcher.upgraded")) == rounds(2)


def truncated(stage, path):
    path.write_bytes(stage.program("dispatcher").read_bytes()[:20000])


def another(name):
    return lambda stage, path: shutil.copy(name, path)


def a_script_that_says_it_is_fit(stage, path):
    path.write_text("#!/bin/sh\necho it knows nothing; exit 3\n")


def nothing_executable(stage, path):
    path.write_text("no program\n")


BROKEN = {"truncated": truncated, "false": another("/bin/false"), "true": another("/bin/true"),
          "script": a_script_that_says_it_is_fit, "text": nothing_executable}


@pytest.mark.parametrize("how", BROKEN)
def test_a_program_that_is_not_fit_changes_nothing(installed, port, stage, directory, how):
    number, bad = port(), directory / "bad"
    daemon = installed(echo(number))
    BROKEN[how](stage, bad)
    acceptor = daemon.acceptor_pid()
    result, _ = use_and_change(daemon, number, lambda: upgrade_to(daemon, bad, expect=1))
    assert "the present program goes on" in result["text"], result
    assert daemon.acceptor_pid() == acceptor
    upgrade_to(daemon, stage.program("dispatcher"))
    clients.echo(number)


def test_a_program_that_is_gone_changes_nothing(installed, port):
    number = port()
    daemon = installed(echo(number))
    os.unlink(daemon.program)
    result = daemon.order("upgrade", expect=1)
    assert "No such file" in result["text"] and str(daemon.program) in result["text"], result
    clients.echo(number)


def test_what_was_closed_stays_closed_and_what_failed_is_tried_again(installed, port, stage):
    one, other, third = port(), port(), port()
    daemon = installed(echo(one), service("closed", other, IMAGE="dispatcher-echo"),
                       service("disabled", third, IMAGE="dispatcher-echo"))
    daemon.order("shutdown", "closed")
    daemon.order("disable", "disabled")
    for name in ("closed", "disabled"):
        daemon.wait_service(lambda one: one["state"] == "closed", "closed", name)
    before = [(s["name"], s["state"], s.get("closed_by")) for s in daemon.status()["services"]]
    upgrade_to(daemon, stage.program("dispatcher"))
    after = [(s["name"], s["state"], s.get("closed_by")) for s in daemon.status()["services"]]
    assert before == after
    daemon.order("start", "closed")
    daemon.order("enable", "disabled")
    clients.echo(other)
    clients.echo(third)


def test_what_could_not_be_remembered_on_disk_is_known_to_the_next_program(installed, port, stage):
    one, other = port(), port()
    daemon = installed(echo(one), service("other", other, IMAGE="dispatcher-echo"))
    state, away = daemon.directory / "state", daemon.directory / "away"
    daemon.order("disable", "echo")
    daemon.wait_service(lambda s: s["state"] == "closed", "closed", "echo")
    state.rename(away)
    state.write_text("")
    assert "not remembered" in daemon.order("enable", "echo", expect=1)["text"]
    assert "not remembered" in daemon.order("disable", "other", expect=1)["text"]
    daemon.wait_service(lambda s: s["state"] == "closed", "closed", "other")
    state.unlink()
    away.rename(state)
    upgrade_to(daemon, stage.program("dispatcher"))
    assert "enable it" in daemon.order("start", "other", expect=1)["text"]
    daemon.order("restart", "echo")
    daemon.order("shutdown", "echo")
    daemon.wait_service(lambda s: s["state"] == "closed", "closed", "echo")
    daemon.order("start", "echo")
    clients.echo(one)


@pytest.mark.parametrize("milliseconds", range(0, 72, 12))
def test_a_shutdown_in_the_middle_of_an_upgrade_ends_in_order(installed, port, stage, milliseconds):
    number = port()
    daemon = installed(echo(number))
    with clients.Held() as held:
        held.open(number)
        install(daemon, stage.program("dispatcher"))
        daemon.begin("upgrade")
        time.sleep(milliseconds / 1000)  # any moment will do
        os.kill(daemon.supervisor_pid, signal.SIGTERM)
        daemon.wait_event("dispatcher.stopping", "by=SIGTERM")
    assert daemon.shut_down() == 0
    assert daemon.events("dispatcher.stopped")


def test_operations_and_log_go_on_over_an_upgrade(installed, port, stage):
    number = port()
    daemon = installed(service("talker", number, IMAGE="dispatcher-exec",
                               COMMAND="/bin/sh -c 'echo words >&2; cat'", MIN_PROCS=1, MAX_PROCS=1))
    earlier = daemon.begin("reopen")
    daemon.wait_result(earlier)
    upgrade_to(daemon, stage.program("dispatcher"))
    assert daemon.wait_result(earlier)["verb"] == "reopen"
    clients.echo(number)
    daemon.wait_event("worker.output", "worker=talker/1 ", "words")
    pid = daemon.workers()[0]["pid"]
    os.kill(pid, 9)
    daemon.wait_event("worker.exit", "worker=talker/1 ", "signal:KILL")
    clients.echo(number)
    daemon.check_zombies()


def test_after_an_upgrade_workers_live_and_die_as_before(installed, port, stage):
    number = port()
    daemon = installed(service("rogue", number, IMAGE="rogue", PARAMETER=["MODE=deadlocks", "ONLY=1"],
                               MIN_PROCS=1, MAX_PROCS=2, HANG_TIMEOUT="1s", KILL_TIMEOUT="500ms"))
    with clients.Held() as held:
        held.open(number, served=False)
        daemon.wait_event("worker.output", "worker=rogue/1 ")
        upgrade_to(daemon, stage.program("dispatcher"))
        daemon.wait_event("worker.record", "worker=rogue/1 ", "deadlock", seconds=20)
        daemon.wait_event("worker.exit", "worker=rogue/1 ", "signal:ABRT", "reason=hung", "lost=1",
                          seconds=20)
    daemon.order("restart", "rogue")
    daemon.order("reload")
    clients.echo(number)
    serials = [int(w["id"].split("/")[1]) for w in daemon.workers()]
    assert serials and min(serials) > 1, "a serial is never used twice"


@pytest.fixture
def built(stage):
    """built(name): a program that is only built by `ninja upgrades`."""
    def find(name):
        if not stage.has(name):
            pytest.skip(f"{name} is not built (ninja upgrades)")
        return stage.program(name)

    return find


def test_to_a_build_of_tomorrow_and_back_nobody_is_cut_and_counters_go_on(
        installed, port, stage, built, rounds):
    number, tomorrow = port(), built("dispatcher-next")
    daemon = installed(echo(number, PARAMETER=["X=1", "Y=two words"], LIMIT_CORE="0"))
    before = daemon.ctl("config").stdout
    workers = {w["id"]: w["pid"] for w in daemon.workers()}
    longest = 0
    with clients.Held() as held:
        sock = held.open(number)
        for _ in range(rounds(1)):
            for program, version in ((tomorrow, "tomorrow"), (stage.program("dispatcher"), "0.1.0")):
                result, figures = use_and_change(daemon, number, lambda: upgrade_to(daemon, program),
                                                 already=1)
                assert f"version {version} took the place" in result["text"], result
                told = daemon.status()["dispatcher"]
                assert told["supervisor_version"] == told["version"] == version
                longest = max(longest, figures["longest_ms"])
                clients.echo_on(sock)
                assert daemon.ctl("config").stdout == before
    print(f"longest {longest} ms")
    assert workers.items() <= {w["id"]: w["pid"] for w in daemon.workers()}.items()


@pytest.mark.parametrize("how", ["crashes", "fails", "sleeps"])
def test_a_program_that_cannot_go_on_gives_the_place_back(installed, port, stage, built, how):
    number, unfit = port(), built(f"dispatcher-{how}")
    daemon = installed(echo(number))
    starts = len(daemon.events("acceptor.start"))
    result, figures = use_and_change(daemon, number, lambda: upgrade_to(daemon, unfit, expect=1))
    assert "could not go on" in result["text"] and "the former one does" in result["text"], result
    print(f"longest {figures['longest_ms']} ms")
    daemon.wait_event("acceptor.start", count=starts + 1)
    upgrade_to(daemon, stage.program("dispatcher"))
    clients.echo(number)
