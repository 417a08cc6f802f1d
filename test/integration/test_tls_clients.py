"""TLS as clients see it: sessions that resume whatever happens to workers, STARTTLS, programs under TLS."""

import base64
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from harness import clients, processes, secure
from harness.daemon import service
from harness.processes import wait_until
from test_programs import Git, Rsync, must

WORKERS = 8
versions = pytest.mark.parametrize("version", ["1.2", "1.3"])


def tls_echo(number, pair, **options):
    return service("echo", IMAGE="dispatcher-echo", TLS_PORT=f"127.0.0.1:{number}",
                   **{**dict(MIN_PROCS=WORKERS, MAX_PROCS=WORKERS, MAX_CONNS=60, MAX_LIFE_CONNS=0), **pair, **options})


def visit_all(client, number, count):
    """So many visits, a few of them open at a time, so that every worker of the pool gets some."""
    held = []
    for _ in range(count):
        held.append(client.open(number))
        if len(held) == WORKERS:
            secure.say_goodbye(held[0])
            held.pop(0).close()
    for sock in held:
        secure.say_goodbye(sock)
        sock.close()


@pytest.mark.sanitized
@versions
def test_a_client_resumes_with_every_worker_of_the_pool(run_daemon, directory, port, rounds, version):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki")))
    client = secure.Client(version)
    count = rounds(100)
    visit_all(client, number, count)
    assert (client.visits, client.resumed) == (count, count - 1)
    assert all(w["served"] > count // WORKERS // 4 for w in daemon.workers())


@versions
def test_s_client_resumes_from_one_process_to_the_next(run_daemon, directory, port, version):
    number, file = port(), directory / "session"
    run_daemon(tls_echo(number, secure.make_pair(directory / "pki")))
    option = f"-tls{version.replace('.', '_')}"
    assert "\nNew, " in secure.s_client(number, option, "-sess_out", file)
    for _ in range(5):
        assert "\nReused, " in secure.s_client(number, option, "-sess_in", file, "-sess_out", file)


def restart(daemon):
    daemon.order("restart", "echo")


def reload(daemon):
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(text.replace("MAX_CONNS=60", "MAX_CONNS=61"))
    daemon.order("reload")


def kill_acceptor(daemon):
    daemon.expect_errors(r"acceptor\.exit")
    starts = len(daemon.events("acceptor.start"))
    os.kill(daemon.acceptor_pid(), signal.SIGKILL)
    daemon.wait_event("acceptor.start", count=starts + 1)


def upgrade(daemon):
    starts = len(daemon.events("acceptor.start"))
    daemon.order("upgrade")
    daemon.wait_event("acceptor.start", count=starts + 1)


@pytest.mark.parametrize("change", [restart, reload, kill_acceptor, upgrade])
def test_sessions_outlive(run_daemon, directory, port, change):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=3, MAX_PROCS=4))
    agents = [secure.Client(version) for version in secure.VERSIONS]
    for agent in agents:
        visit_all(agent, number, WORKERS)
    change(daemon)
    daemon.wait(daemon.is_ready, "ready again")
    for agent in agents:
        visit_all(agent, number, 2 * WORKERS)
        assert agent.resumed == agent.visits - 1


def test_sessions_outlive_the_recycling_of_workers(run_daemon, directory, port):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=2, MAX_PROCS=2,
                                 MAX_LIFE_CONNS=10))
    client = secure.Client("1.3")
    visit_all(client, number, 60)
    assert client.resumed == client.visits - 1
    assert len(daemon.events("worker.ready")) > 4


def test_a_ticket_is_taken_after_one_rotation_and_refused_after_three(run_daemon, directory, port):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=1, MAX_PROCS=1,
                                 TLS_TICKET_LIFETIME="2s"))
    agents, old = ([secure.Client(version) for version in secure.VERSIONS] for _ in range(2))
    for one in agents + old:
        one.visit(number)
    time.sleep(2.1)  # one rotation, or two
    assert all(one.visit(number) for one in agents)
    time.sleep(4.1)  # three, or four, since the tickets of the others
    assert not any(one.visit(number) for one in old)
    assert daemon.process.poll() is None


@pytest.mark.root
def test_of_an_old_ticket_key_nothing_is_left_in_any_process(run_daemon, directory, port):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=2, MAX_PROCS=2,
                                 TLS_TICKET_LIFETIME="1s"))
    client = secure.Client("1.3")
    with client.open(number) as kept:  # so that an old worker stays
        worker = next(w["pid"] for w in daemon.settle()["workers"] if w["connections"])
        first = wait_until(lambda: secure.ticket_keys(worker), "the worker has ticket keys")[0]
        daemon.begin("restart", "echo")
        visit_all(client, number, 4)
        wait_until(lambda: (keys := secure.ticket_keys(worker)) and first not in keys, "it was rotated out", 15)
        everybody = [daemon.supervisor_pid, *processes.descendants(daemon.supervisor_pid)]
        assert len(everybody) >= 4
        wait_until(lambda: not any(secure.count_in_memory(pid, first) for pid in everybody if processes.alive(pid)),
                   "nobody has it", 5)
        clients.echo_on(kept)


@pytest.mark.root
def test_the_private_key_is_in_no_process_but_those_that_serve_with_it(run_daemon, directory, port):
    number = port()
    pair = secure.make_pair(directory / "pki")
    daemon = run_daemon(tls_echo(number, pair, MIN_PROCS=1, MAX_PROCS=1),
                        service("plain", port(), IMAGE="dispatcher-echo", MIN_PROCS=1, MAX_PROCS=1))
    secure.Client("1.3").visit(number)
    text = pair["TLS_KEY"].read_bytes()
    body = base64.b64decode(b"".join(text.splitlines()[1:-1]))
    at = body.index(b"\x02\x01\x01\x04\x20") + 5  # ECPrivateKey: version, then the number itself
    forms = [body[at:at + 32], body[at:at + 32][::-1], text.splitlines()[1]]

    def has(pid):
        return any(secure.count_in_memory(pid, form) for form in forms)

    assert has(daemon.workers("echo")[0]["pid"])
    assert not has(daemon.acceptor_pid())
    assert not has(daemon.workers("plain")[0]["pid"])
    for pid in [daemon.acceptor_pid(), *(w["pid"] for name in ("echo", "plain") for w in daemon.workers(name))]:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            assert b"PRIVATE KEY" not in environment.read()


@versions
def test_much_data_goes_both_ways(run_daemon, directory, port, version):
    number = port()
    run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=1))
    data = os.urandom(2_000_000)
    with secure.Client(version).open(number) as sock:
        assert secure.echo(sock, data) == data


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
def test_sslscan_finds_only_what_is_strong(run_daemon, directory, port):
    number = port()
    run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=2))
    said = must("sslscan", "--no-colour", f"127.0.0.1:{number}").stdout
    for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert f"{old} disabled" in re.sub(" +", " ", said), said
    assert "Session renegotiation not supported" in said
    ciphers = re.findall(r"^(?:Preferred|Accepted) +(TLSv1\.[23]) +(\d+) bits +(\S+)", said, re.M)
    assert {version for version, _, _ in ciphers} == {"TLSv1.2", "TLSv1.3"}
    assert all(int(bits) >= 128 and re.search("GCM|CHACHA20", name) for _, bits, name in ciphers), ciphers
    assert all(name.startswith(("TLS_", "ECDHE-")) for _, _, name in ciphers), ciphers


def test_half_a_hello_and_floods_of_bad_bytes_harm_nobody(run_daemon, directory, port):
    number = port()
    daemon = run_daemon(tls_echo(number, secure.make_pair(directory / "pki"), MIN_PROCS=2, MAX_PROCS=2,
                                 TLS_HANDSHAKE_TIMEOUT="1s"))
    client = secure.Client("1.3")
    with clients.Held() as half:
        for _ in range(40):
            half.open(number, served=False).sendall(b"\x16\x03\x01\x02\x00\x01")
        for _ in range(100):
            with clients.connect(number) as sock:
                sock.sendall(os.urandom(64))
        visit_all(client, number, 20)
        for sock in half.socks:
            sock.settimeout(10)
            assert clients.receive_all(sock) == b""
    daemon.wait_service(lambda one: one["connections"] == 0, "all have gone")
    assert client.resumed == client.visits - 1
    assert 1 <= len([line for line in daemon.log().splitlines() if "no TLS with" in line]) <= 4


# --- STARTTLS ---

def smtp(run_daemon, directory, port):
    number = port()
    mail = directory / "mail"
    mail.mkdir(mode=0o777)
    mail.chmod(0o777)
    run_daemon(service("smtp", number, IMAGE="dispatcher-smtp", MIN_PROCS=1, PARAMETER=[
        "HOSTNAME=mx.example.org", "DOMAINS=example.org", f"MAILDIR={mail}/%u", "MAILDIR_CREATE=1"],
        **secure.make_pair(directory / "pki", "mx.example.org")))
    return number


def ask_starttls(number, behind=b""):
    """The connection and its lines, when STARTTLS (and something behind it) has been sent."""
    sock = clients.connect(number)
    lines = sock.makefile("rb")
    assert lines.readline().startswith(b"220 ")
    sock.sendall(b"EHLO me\r\n")
    while (line := lines.readline()).startswith(b"250-"):
        pass
    assert line.startswith(b"250 ")
    sock.sendall(b"STARTTLS\r\n" + behind)
    return sock, lines


@pytest.mark.sanitized
def test_a_command_behind_starttls_is_never_obeyed(run_daemon, directory, port):
    number = smtp(run_daemon, directory, port)
    sock, lines = ask_starttls(number, b"MAIL FROM:<attacker@example.com>\r\n")
    with sock:
        try:
            assert lines.readline()[:1] in (b"2", b"5", b"")
            tls = secure.Client("1.3").wrap(sock)
        except (OSError, ssl.SSLError):
            return  # refused: no handshake at all
        tls.sendall(b"EHLO me\r\n")
        assert tls.recv(1000).startswith(b"250-mx.example.org")


def test_swaks_delivers_under_starttls(run_daemon, directory, port):
    number = smtp(run_daemon, directory, port)
    sent = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(number), "--tls", "--to", "me@example.org",
                           "--from", "you@example.com"], capture_output=True, text=True, timeout=30, check=False)
    assert sent.returncode == 0, sent.stdout
    assert len(list((directory / "mail" / "me" / "new").iterdir())) == 1


# --- programs that know nothing of TLS ---

def under_tls(section, number, pair):
    lines = section.replace(f"PORT=127.0.0.1:{number}\n", f"TLS_PORT=127.0.0.1:{number}\n")
    return lines + "".join(f"{name}={value}\n" for name, value in pair.items())


@pytest.mark.root
def test_git_clones_under_tls(run_daemon, directory, port):
    git = Git(directory, port())
    run_daemon(under_tls(git.section(), git.port, secure.make_pair(directory / "pki")))
    proxy = directory / "proxy"
    proxy.write_text("#!/bin/sh\nexec openssl s_client -quiet -connect $1:$2 2>/dev/null\n")
    proxy.chmod(0o755)
    for name in ("first", "second"):
        # In version 2 the server waits for an end that s_client does not pass on.
        must("git", "-c", "protocol.version=0", "clone", "-q", f"git://127.0.0.1:{git.port}/project.git", directory / name,
             env=dict(os.environ, HOME=str(directory), GIT_CONFIG_NOSYSTEM="1", GIT_PROXY_COMMAND=str(proxy)))
        assert (directory / name / "file").read_text() == "content\n"


@pytest.mark.root
def test_rsync_copies_under_tls(run_daemon, directory, port):
    rsync = Rsync(directory, port())
    run_daemon(under_tls(rsync.section(), rsync.port, secure.make_pair(directory / "pki")))
    must("rsync", "rsync://127.0.0.1/files/data", directory / "copy", env=dict(
        os.environ, RSYNC_CONNECT_PROG=f"openssl s_client -quiet -connect 127.0.0.1:{rsync.port} 2>/dev/null"))
    assert (directory / "copy").read_bytes() == rsync.data


def test_a_program_is_told_of_the_client_in_its_environment(run_daemon, directory, port):
    number = port()
    run_daemon(service("env", IMAGE="dispatcher-exec", COMMAND="/usr/bin/env", TLS_PORT=f"127.0.0.1:{number}",
                       **secure.make_pair(directory / "pki")))
    with secure.Client("1.3").wrap(clients.connect(number), "www.example.org") as sock:
        said = clients.receive_all(sock).decode().splitlines()
        local = socket.getnameinfo(sock.getsockname(), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    assert {"SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=TLS_AES_256_GCM_SHA384", "SSL_TLS_SNI_SERVERNAME=www.example.org",
            "PROTO=TCP", f"TCPREMOTEPORT={local[1]}"} <= set(said)
