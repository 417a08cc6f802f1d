"""Unmodified programs of Debian as workers: git daemon, rsync, sshd, exim4, all under one dispatcher."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness import clients
from harness.daemon import service
from harness.load import Load
from harness.processes import wait_until
from harness.timeline import Timeline

pytestmark = pytest.mark.root  # sshd, exim4 and a repository of another owner need it

REMOTE_USER = "root"


def run(*words, seconds=30, **more):
    return subprocess.run(words, capture_output=True, text=True, timeout=seconds, **more)


def must(*words, **more):
    done = run(*words, **more)
    assert done.returncode == 0, done
    return done


class Git:
    """A repository that belongs to another user than the one that serves it."""

    def __init__(self, where, port):
        self.where, self.port = where, port
        self.tree = where / "srv" / "project.git"
        work = where / "work"
        home = dict(os.environ, HOME=str(where), GIT_CONFIG_NOSYSTEM="1")
        must("git", "init", "-q", work, env=home)
        (work / "file").write_text("content\n")
        must("git", "-C", work, "add", "file", env=home)
        must("git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q",
             "-m", "first", env=home)
        must("git", "clone", "-q", "--bare", work, self.tree, env=home)
        must("chown", "-R", "daemon:daemon", self.tree)
        config = where / "gitconfig"
        config.write_text("[safe]\n\tdirectory = *\n")
        config.chmod(0o644)

    def section(self):
        return service("git", self.port, IMAGE="dispatcher-exec", USER="nobody",
                       ENVIRONMENT=[f"GIT_CONFIG_GLOBAL={self.where}/gitconfig", "HOME=/nonexistent"],
                       COMMAND=f"/usr/bin/git daemon --inetd --verbose --log-destination=stderr --export-all "
                       f"--base-path={self.where}/srv")

    def use(self, name):
        target = self.where / name
        must("git", "clone", "-q", f"git://127.0.0.1:{self.port}/project.git", target,
             env=dict(os.environ, HOME=str(self.where), GIT_CONFIG_NOSYSTEM="1"))
        assert (target / "file").read_text() == "content\n"


class Rsync:
    def __init__(self, where, port):
        self.where, self.port = where, port
        (where / "files").mkdir()
        self.data = os.urandom(300000)
        (where / "files" / "data").write_bytes(self.data)
        (where / "rsyncd.conf").write_text(
            f"use chroot = no\nlog file = /dev/stderr\n[files]\npath = {where}/files\nread only = yes\n")

    def section(self):
        return service("rsync", self.port, IMAGE="dispatcher-exec", USER="nobody",
                       COMMAND=f"/usr/bin/rsync --daemon --config={self.where}/rsyncd.conf")

    def use(self, name):
        target = self.where / name
        must("rsync", f"rsync://127.0.0.1:{self.port}/files/data", target)
        assert target.read_bytes() == self.data


class Ssh:
    def __init__(self, where, port):
        self.where, self.port = where, port
        where.chmod(0o700)
        for name in ("host", "client"):
            must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", where / name)
        shutil.copy(where / "client.pub", where / "authorized_keys")
        (where / "sshd_config").write_text(
            f"HostKey {where}/host\nAuthorizedKeysFile {where}/authorized_keys\nPidFile none\n"
            "UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "StrictModes no\n")
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def section(self, **more):
        return service("ssh", self.port, IMAGE="dispatcher-exec", USER="root",
                       COMMAND=f"/usr/sbin/sshd -i -e -f {self.where}/sshd_config", **more)

    def words(self, command):
        return ["ssh", "-F", "none", "-i", str(self.where / "client"), "-p", str(self.port), "-o",
                "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.where}/known", "-o",
                "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
                f"{REMOTE_USER}@127.0.0.1", command]

    def use(self, name):
        assert must(*self.words(f"echo hello {name}")).stdout == f"hello {name}\n"


class Exim:
    def __init__(self, where, port):
        self.where, self.port = where, port
        where.chmod(0o755)
        for name in ("spool", "log", "mail"):
            (where / name).mkdir()
            must("chown", "-R", "Debian-exim:Debian-exim", where / name)
        config = where / "exim.conf"
        config.write_text(f"""\
primary_hostname = test.example.org
spool_directory = {where}/spool
log_file_path = {where}/log/%slog
domainlist local_domains = example.org
acl_smtp_rcpt = accept_all
never_users =
keep_environment =
tls_advertise_hosts =
host_lookup =
begin acl
accept_all:
  accept
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = file
begin transports
file:
  driver = appendfile
  file = {where}/mail/box
  user = Debian-exim
  create_directory
""")
        config.chmod(0o644)

    def section(self):
        return service("smtp", self.port, IMAGE="dispatcher-exec", USER="root",
                       COMMAND=f"/usr/sbin/exim4 -C {self.where}/exim.conf -odf -bs")

    def use(self, name):
        must("swaks", "--server", f"127.0.0.1:{self.port}", "--from", "me@example.org", "--to",
             f"{name}@example.org", "--body", f"mail for {name}", "--hide-all")
        box = self.where / "mail" / "box"
        wait_until(lambda: box.exists() and f"mail for {name}" in box.read_text(), "delivered")


@pytest.fixture
def programs(directory, port):
    """make(class): a program with files of its own below the test's directory."""
    def make(kind):
        where = directory / kind.__name__.lower()
        where.mkdir(mode=0o755)
        return kind(where, port())

    return make


def test_git_clone_through_git_daemon(run_daemon, programs):
    git = programs(Git)
    daemon = run_daemon(git.section())
    git.use("clone")
    daemon.wait_event("worker.output", "worker=git/1", r"127\.0\.0\.1")


def test_download_through_rsync_daemon(run_daemon, programs):
    rsync = programs(Rsync)
    run_daemon(rsync.section())
    rsync.use("copy")


def test_login_through_sshd(run_daemon, programs):
    ssh = programs(Ssh)
    run_daemon(ssh.section())
    ssh.use("you")


def test_mail_through_exim(run_daemon, programs):
    exim = programs(Exim)
    run_daemon(exim.section())
    exim.use("you")


def test_all_four_at_once_while_echo_is_under_load(run_daemon, programs, port):
    number = port()
    four = [programs(kind) for kind in (Git, Rsync, Ssh, Exim)]
    daemon = run_daemon(*[one.section() for one in four],
                        service("echo", number, IMAGE="dispatcher-echo", MIN_PROCS=4, MAX_PROCS=4))
    from concurrent.futures import ThreadPoolExecutor
    with Load(number, 32) as load, ThreadPoolExecutor() as threads:
        for turn in range(3):
            for done in [threads.submit(one.use, f"turn{turn}") for one in four]:
                done.result()
        result = load.stop()
    assert result["failed"] == {} and result["ok"] > 100, result
    for one in daemon.wait(lambda status: all(one["connections"] == 0 for one in status["services"]),
                           "all are closed")["services"]:
        assert one["lost"] == 0, one
        assert one["name"] == "echo" or one["done"] == 3, one


def test_an_ssh_session_outlives_ten_recyclings_of_everything_around_it(run_daemon, programs):
    ssh = programs(Ssh)
    daemon = run_daemon(ssh.section(MIN_PROCS=1, MAX_PROCS=2, MAX_LIFE_CONNS=1, MAX_SHUTDOWN=2))
    session = subprocess.Popen(ssh.words("echo begun; read line; echo $line"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert session.stdout.readline() == "begun\n"
        while len(daemon.events("worker.exit", "worker=ssh/")) < 10:
            with clients.connect(ssh.port) as sock:
                assert sock.recv(100).startswith(b"SSH-2.0")
        output, _ = session.communicate("still here\n", timeout=10)
        assert output == "still here\n"
    finally:
        session.kill()
        session.wait()
    assert {keys["lost"] for keys in Timeline(daemon.log(), "ssh").exits.values()} == {"0"}


def test_a_program_that_ignores_its_client_is_ended_by_connection_timeout(run_daemon, port):
    number = port()
    daemon = run_daemon(service("sleepy", number, IMAGE="dispatcher-exec", COMMAND="/bin/sleep 600",
                                CONNECTION_TIMEOUT="1s"))
    began = time.monotonic()
    with clients.connect(number) as sock:
        assert clients.receive_all(sock) == b""
    assert 0.5 < time.monotonic() - began < 5
    daemon.wait_service(lambda one: one["done"] == 1, "it is done")
