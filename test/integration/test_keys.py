"""Certificates and keys: what is wrong with them and where, how new ones come into force, who has them."""

import hashlib
import os
import re
import shutil
import signal
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from harness import certificates, clients, processes, secure
from harness.daemon import service
from harness.processes import descriptors, wait_until
from test_upgrade import install

EX_CONFIG = 78


def tls_echo(number, pair, **options):
    return service("echo", IMAGE="dispatcher-echo", TLS_PORT=f"127.0.0.1:{number}", **{**pair, **options})


def seen(number, name=None):
    """Which certificate a client sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(clients.connect(number), server_hostname=name) as sock:
        clients.echo_on(sock)
        return hashlib.sha256(sock.getpeercert(True)).hexdigest()


def print_of(cert):
    return hashlib.sha256(cert.public_bytes(serialization.Encoding.DER)).hexdigest()


class Pair:
    """A certificate and its key in two files, which renew() replaces."""

    def __init__(self, directory, name="localhost", **more):
        directory.mkdir(exist_ok=True)
        self.cert_path, self.key_path, self.name = directory / f"{name}.pem", directory / f"{name}.key", name
        self.renew(**more)

    def renew(self, **more):
        self.cert, self.key = certificates.make(self.name, **more)
        certificates.write(self.cert_path, self.cert)
        certificates.write(self.key_path, self.key)
        return print_of(self.cert)

    @property
    def options(self):
        return {"TLS_CERT": self.cert_path, "TLS_KEY": self.key_path}


@pytest.fixture
def pair(directory):
    return Pair(directory / "pki")


def pids(daemon):
    return [w["pid"] for w in daemon.workers()]


# --- what is wrong ---


class Check:
    """`dispatcher -t` of one service with these options of TLS."""

    def __init__(self, stage, directory):
        self.stage, self.path, self.pki = stage, directory / "checked.cnf", directory / "pki"
        self.pki.mkdir(exist_ok=True)

    def told(self, *lines, expect=EX_CONFIG):
        head = [f"WORKER_DIR={self.stage.bin}", "[SERVICE=echo]", "IMAGE=dispatcher-echo", "PORT=127.0.0.1:7",
                "USER=nobody" if os.getuid() == 0 else ""]
        self.path.write_text("\n".join(head + [str(line) for line in lines]) + "\n")
        run = subprocess.run([self.stage.program("dispatcher"), "-t", "-c", self.path], capture_output=True,
                             text=True, timeout=30)
        assert run.returncode == expect, run.stderr
        return re.sub(rf"(?m)^.*?{self.path.name}:(\d+): ", lambda m: f"{int(m[1]) - len(head)}: ", run.stderr)


@pytest.fixture
def check(stage, directory):
    return Check(stage, directory)


def test_everything_wrong_is_told_at_once_with_its_line(check):
    good, other = Pair(check.pki, "good"), Pair(check.pki, "other")
    rsa = Pair(check.pki, "rsa", kind="rsa")
    told = check.told(f"TLS_CERT={good.cert_path}", f"TLS_CERT={rsa.cert_path}",
                      f"TLS_KEY={other.key_path}", f"TLS_KEY={check.pki}/missing.key",
                      f"TLS_SNI=mail.example.org {other.cert_path} {other.key_path}",
                      "TLS_CIPHERS=ECDHE+AESGCM:AES999", "TLS_CIPHERSUITES=TLS_AES_128_GCM_SHA999",
                      "TLS_GROUPS=X25519:P-999", f"TLS_CLIENT_CA={good.key_path}", "TLS_CLIENT_AUTH=require")
    assert f"3: {other.key_path} is not the key of the certificate in {good.cert_path}\n" in told
    assert f"4: {check.pki}/missing.key cannot be opened: No such file or directory\n" in told
    assert f"5: {other.cert_path} is not for mail.example.org but for: other\n" in told
    assert "6: TLS_CIPHERS: OpenSSL knows no AES999" in told
    assert "7: TLS_CIPHERSUITES: OpenSSL knows no TLS_AES_128_GCM_SHA999" in told
    assert "8: TLS_GROUPS: OpenSSL knows no P-999" in told
    assert f"9: {good.key_path} holds no certificate that can be read" in told


def test_dates_are_told(check):
    old, early = Pair(check.pki, "old", days=(-9, -1)), Pair(check.pki, "early", days=(1, 9))
    for one, words in ((old, "ended on"), (early, "begins on")):
        told = check.told(f"TLS_CERT={one.cert_path}", f"TLS_KEY={one.key_path}")
        assert re.search(rf"^1: {one.cert_path}: the certificate of \S+ {words} \d{{4}}-\d\d-\d\d;", told), told


def test_a_chain_stands_in_order(check):
    top, middle = certificates.make("top", ca=True), None
    middle = certificates.make("middle", issuer=top, ca=True)
    leaf = certificates.make("leaf", issuer=middle)
    key = certificates.write(check.pki / "key", leaf[1])
    chains = {"": [leaf, middle, top], "certificate 2": [leaf, top, middle],
              "the key belongs to certificate 2": [middle, leaf, top]}
    for words, chain in chains.items():
        path = certificates.write(check.pki / "chain", *[cert for cert, _ in chain])
        told = check.told(f"TLS_CERT={path}", f"TLS_KEY={key}", expect=EX_CONFIG if words else 0)
        assert words in told


def test_a_file_with_a_key_is_guarded(check, pair):
    lines = (f"TLS_CERT={pair.cert_path}", f"TLS_KEY={pair.key_path}")
    check.told(*lines, expect=0)
    pair.key_path.chmod(0o644)
    assert "2: " + f"{pair.key_path} can be read by everybody; chmod o-r it" in check.told(*lines)
    pair.key_path.chmod(0o620)
    assert "can be written by its group" in check.told(*lines)
    pair.key_path.chmod(0o640)
    check.told(*lines, expect=0)
    pair.key_path.unlink()
    os.mkfifo(pair.key_path, 0o600)
    assert "is no regular file" in check.told(*lines)


@pytest.mark.root
def test_a_key_that_another_user_could_change_is_refused(check, pair):
    os.chown(pair.key_path, 12, 12)
    told = check.told(f"TLS_CERT={pair.cert_path}", f"TLS_KEY={pair.key_path}")
    assert "belongs to user 12, who could change the key; chown it to root" in told


def test_a_key_with_a_passphrase_is_told_as_such(check, pair):
    pem = pair.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.BestAvailableEncryption(b"secret"))
    pair.key_path.write_bytes(pem)
    told = check.told(f"TLS_CERT={pair.cert_path}", f"TLS_KEY={pair.key_path}")
    assert "has a passphrase, and nobody is there to say it" in told


def test_of_two_certificates_for_the_same_clients_the_kinds_differ(check):
    one, two, rsa = Pair(check.pki, "one"), Pair(check.pki, "two"), Pair(check.pki, "rsa", kind="rsa")
    lines = [f"TLS_CERT={one.cert_path}", f"TLS_KEY={one.key_path}"]
    check.told(*lines, f"TLS_CERT={rsa.cert_path}", f"TLS_KEY={rsa.key_path}", expect=0)
    told = check.told(*lines, f"TLS_CERT={two.cert_path}", f"TLS_KEY={two.key_path}")
    assert "3: " + f"{two.cert_path} is the second certificate with a key of kind EC for everybody" in told


def test_nothing_starts_with_a_key_that_is_none(make_daemon, directory, port, pair):
    pair.key_path.write_bytes(b"no key\n")
    daemon = make_daemon(tls_echo(port(), pair.options))
    daemon.expect_errors(r"config\.error")
    daemon.start(ready=False)
    assert daemon.process.wait(20) == EX_CONFIG
    assert daemon.events("config.error", r"holds no key that can be read")
    daemon.process = None


@pytest.mark.sanitized
def test_what_has_ended_is_used_at_the_start_but_not_taken_anew(run_daemon, port, pair):
    number, used = port(), pair.renew(days=(-9, -1))
    daemon = run_daemon(tls_echo(number, pair.options))
    assert daemon.events("config.warning", r"ended on")
    assert seen(number) == used
    daemon.order("reload")  # nothing is worse than before
    pair.renew(days=(-9, -2))
    daemon.expect_errors(r"config\.refused")
    assert "ended on" in daemon.order("reload", tls=True, expect=1)["text"]
    assert seen(number) == used


class Stand:
    """A dispatcher that has, beside it, a dispatcher-keys which does what words (shell) say, then what it
    ought to."""

    def __init__(self, stage, directory):
        self.real, self.bin = stage.program("dispatcher-keys"), directory / "beside"
        self.bin.mkdir()
        shutil.copy(stage.program("dispatcher"), self.bin / "dispatcher")
        self.does(":")

    def does(self, words):
        script = self.bin / "dispatcher-keys"
        (self.bin / "next").write_text(f'#!/bin/sh\n{words}\nexec {self.real} "$@"\n')
        (self.bin / "next").chmod(0o755)
        (self.bin / "next").rename(script)


@pytest.fixture
def stand(stage, directory):
    return Stand(stage, directory)


def test_a_reader_that_hangs_harms_nobody(make_daemon, stand, port, pair):
    number = port()
    daemon = make_daemon(tls_echo(number, pair.options))
    daemon.program = stand.bin / "dispatcher"
    daemon.expect_errors(r"config\.refused")
    daemon.start()
    used = print_of(pair.cert)
    pair.renew()
    stand.does("exec sleep 333")
    order = daemon.begin("reload", tls=True)
    hangs = wait_until(lambda: [pid for pid in processes.descendants(daemon.supervisor_pid)
                                if processes.command(pid).startswith("sleep 333")], lambda: "it hangs")
    assert "another reload is under way" in daemon.order("reload", expect=1)["text"]
    assert seen(number) == used
    os.kill(hangs[0], signal.SIGALRM)  # as it does itself after a minute
    assert "ended by signal:" in daemon.wait_result(order)["text"]
    stand.does("exit 3")
    assert "is of another version than the dispatcher that runs" in daemon.order("reload", expect=1)["text"]
    stand.does("exec sleep 333")
    daemon.begin("reload", tls=True)
    assert daemon.shut_down() == 0


def test_without_the_program_tls_does_not_start(make_daemon, stand, port, pair):
    daemon = make_daemon(tls_echo(port(), pair.options))
    daemon.program = stand.bin / "dispatcher"
    (stand.bin / "dispatcher-keys").unlink()
    daemon.expect_errors(r"config\.error")
    daemon.start(ready=False)
    assert daemon.process.wait(20) == EX_CONFIG
    assert daemon.events("config.error", "TLS needs the program dispatcher-keys")
    daemon.process = None


# --- new ones ---


@pytest.mark.sanitized
@pytest.mark.parametrize("options", [{"tls": True}, {}])
def test_new_certificates_reach_workers_that_run(run_daemon, port, pair, options):
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options, MIN_PROCS=3))
    before, first = pids(daemon), print_of(pair.cert)
    client = secure.Client("1.3")
    with client.open(number) as held:
        assert "nothing changes" in daemon.order("reload", **options)["text"]
        assert seen(number) == first
        second = pair.renew()
        assert "certificates or options for echo" in daemon.order("reload", **options)["text"]
        wait_until(lambda: all(seen(number) == second for _ in range(6)), lambda: "all use the new one")
        assert pids(daemon) == before and second != first
        clients.echo_on(held)
    daemon.wait_event("tls.changed", "services=echo")


@pytest.mark.sanitized
def test_a_bad_pair_is_refused_and_the_old_one_stays(run_daemon, port, pair):
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options))
    before, used = pids(daemon), print_of(pair.cert)
    daemon.expect_errors(r"config\.refused")
    certificates.write(pair.key_path, certificates.new_key())
    for options in ({"tls": True}, {}):
        text = daemon.order("reload", expect=1, **options)["text"]
        assert re.search(r"dispatcher\.cnf:\d+: .* is not the key of the certificate in ", text)
        assert "nothing has changed" in text
        assert (seen(number), pids(daemon)) == (used, before)
    assert daemon.service()["tls"]["certificates"][0]["newer_on_disk"] is False  # only its key is
    second = pair.renew()
    daemon.order("reload", tls=True)
    wait_until(lambda: seen(number) == second, lambda: "the new pair is in force")
    assert pids(daemon) == before


def test_only_says_what_a_reload_of_certificates_would_change(run_daemon, port, pair):
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options))
    used = print_of(pair.cert)
    pair.renew()
    for options in ({"tls": True}, {}):
        assert "for echo" in daemon.order("reload", dry_run=True, **options)["text"]
        assert seen(number) == used


def test_what_certbot_does_is_followed(run_daemon, port, directory):
    """Links in live/ lead to files in archive/ that are new each time; its hook is reload --tls."""
    number, live = port(), directory / "live"
    live.mkdir()

    def renew(version):
        new = Pair(directory / f"archive{version}")
        for name, path in (("fullchain.pem", new.cert_path), ("privkey.pem", new.key_path)):
            (live / "next").symlink_to(path)
            (live / "next").rename(live / name)
        return print_of(new.cert)

    first = renew(1)
    daemon = run_daemon(tls_echo(number, {"TLS_CERT": live / "fullchain.pem", "TLS_KEY": live / "privkey.pem"}))
    assert seen(number) == first
    second = renew(2)
    daemon.wait_service(lambda s: s["tls"]["certificates"][0]["newer_on_disk"], "it is seen to be newer")
    assert daemon.ctl("reload", "--tls").returncode == 0
    wait_until(lambda: seen(number) == second, lambda: "the new one is in force")
    daemon.wait_service(lambda s: not s["tls"]["certificates"][0]["newer_on_disk"], "it is what was read")


def test_each_name_has_its_certificate(run_daemon, port, directory, pair):
    number, mail = port(), Pair(directory / "pki", "mail.example.org")
    star = Pair(directory / "pki", "*.example.org")
    names = [f"{one.name} {one.cert_path} {one.key_path}" for one in (star, mail)]
    run_daemon(tls_echo(number, pair.options, TLS_SNI=names))
    assert seen(number) == seen(number, "elsewhere.org") == print_of(pair.cert)
    assert seen(number, "mail.example.org") == print_of(mail.cert)
    assert seen(number, "Other.Example.org") == print_of(star.cert)


def test_a_port_turns_to_tls_by_new_workers(run_daemon, port, pair):
    number = port()
    daemon = run_daemon(service("echo", number, IMAGE="dispatcher-echo", **pair.options))
    before = pids(daemon)
    clients.echo(number)
    text = daemon.config_path.read_text().replace(f"\nPORT=127.0.0.1:{number}", f"\nTLS_PORT=127.0.0.1:{number}")
    daemon.config_path.write_text(text)
    assert f"tls port 127.0.0.1:{number} was plain" in daemon.order("reload")["text"]
    assert seen(number) == print_of(pair.cert)
    assert daemon.service()["listeners"][0]["tls"] is True
    daemon.wait(lambda s: not set(before) & set(pids(daemon)), "the old workers have gone")


@pytest.mark.root
def test_who_was_robbed_of_them_gets_them_again(run_daemon, port, pair):
    """What is unread when others take over the clients of a worker that hangs is dropped by the thief."""
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options, MIN_PROCS=2, HANDOFF_TIMEOUT="300ms"))
    daemon.config_path.write_text(daemon.config_path.read_text().replace("MIN_PROCS=2", "MIN_PROCS=1"))
    daemon.order("reload")  # nobody else is started for one that hangs
    victim = pids(daemon)[0]
    os.kill(victim, signal.SIGSTOP)
    second = pair.renew()
    daemon.order("reload", tls=True)
    held = clients.Held()
    with held:
        for _ in range(100):
            held.enter_context(secure.Client("1.3").open(number))
            if any(w["suspect"] for w in daemon.service()["workers"]):
                break
        os.kill(victim, signal.SIGCONT)
        daemon.wait_service(lambda s: not any(w["suspect"] for w in s["workers"]), "it reads again")
        wait_until(lambda: all(seen(number) == second for _ in range(8)), lambda: "it has the new one", 20)
        assert victim in pids(daemon), daemon.tail()


# --- ticket keys ---


@pytest.mark.root
def test_retiring_workers_and_an_upgrade_have_the_same_ticket_keys(run_daemon, port, pair):
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options, TLS_TICKET_LIFETIME="2s"))
    old = pids(daemon)[0]
    with secure.Client("1.3").open(number) as held:
        daemon.order("restart", "echo")
        daemon.wait(lambda s: set(pids(daemon)) - {old}, "another one serves")
        young = pids(daemon)[0]
        first = secure.ticket_keys(old)
        assert first and len(secure.ticket_keys(young)) <= 3
        daemon.order("upgrade")
        wait_until(lambda: first[0] not in secure.ticket_keys(old), lambda: "it was rotated three times", 40)
        wait_until(lambda: secure.ticket_keys(old) == secure.ticket_keys(young), lambda: "both have the same keys")
        assert len(secure.ticket_keys(old)) == 3
        clients.echo_on(held)
        assert old in [w["pid"] for w in daemon.service()["workers"]]
    daemon.wait_service(lambda s: s["tls"]["ticket_generation"] > 3, "it is told")


def test_tickets_are_rotated_on_time_over_reloads_and_upgrades(run_daemon, port, pair):
    daemon = run_daemon(tls_echo(port(), pair.options, TLS_TICKET_LIFETIME="1s"))
    daemon.wait_event("tls.tickets")
    daemon.order("upgrade")
    pair.renew()
    daemon.order("reload")
    daemon.wait_event("tls.tickets", count=len(daemon.events("tls.tickets")) + 2, seconds=20)
    generations = [int(re.search(r"generation=(\d+)", line)[1]) for line in daemon.events("tls.tickets")]
    assert generations == sorted(set(generations)) and generations[0] > 1


def test_certificates_and_sessions_go_to_a_build_of_tomorrow_and_back(make_daemon, stage, stand, port, pair):
    """Its settings have another layout; so the reader of today is no use to it."""
    if not stage.has("dispatcher-next"):
        pytest.skip("no build of tomorrow: compile upgrades")
    number, client = port(), secure.Client("1.3")
    daemon = make_daemon(tls_echo(number, pair.options, MAX_LIFE_CONNS=0))
    daemon.program = stand.bin / "dispatcher"
    daemon.expect_errors(r"config\.refused")
    daemon.start()
    before, used = pids(daemon), print_of(pair.cert)
    client.visit(number)
    for program, status in (("dispatcher-next", 1), ("dispatcher", 0)):
        install(daemon, stage.program(program))
        daemon.order("upgrade")
        daemon.wait(lambda s: s["dispatcher"]["upgraded"], "the acceptor is new")
        assert client.visit(number) and seen(number) == used
        assert daemon.service()["tls"]["certificates"][0]["file"] == str(pair.cert_path)
        text = daemon.order("reload", tls=True, expect=status)["text"]
        assert ("another version" if status else "nothing changes") in text
    assert pids(daemon) == before
    second = pair.renew()
    daemon.order("reload", tls=True)
    wait_until(lambda: seen(number) == second, lambda: "the new one is in force")


# --- who has them ---


@pytest.mark.root
def test_the_user_of_a_worker_cannot_read_the_key_and_the_acceptor_never_has_it(run_daemon, port, pair):
    number = port()
    daemon = run_daemon(tls_echo(number, pair.options, USER="games"))
    assert seen(number) == print_of(pair.cert)
    run = subprocess.run(["cat", pair.key_path], user="games", capture_output=True)
    assert run.returncode and b"Permission denied" in run.stderr
    second = pair.renew()
    daemon.order("reload", tls=True)
    wait_until(lambda: seen(number) == second, lambda: "the new one is in force")
    held = descriptors(daemon.acceptor_pid()).values()
    assert not [name for name in held if re.search(r"memfd:(tls|tickets)", name)]
    held = descriptors(daemon.supervisor_pid).values()
    assert len([name for name in held if re.search(r"memfd:(tls|tickets)", name)]) == 2


# --- the end ---


def test_the_log_warns_before_a_certificate_ends_and_status_tells_when(run_daemon, port, pair, directory):
    pair.renew(days=(-1, 10))
    later = Pair(directory / "pki", "later", days=(-1, 40))
    daemon = run_daemon(tls_echo(port(), pair.options,
                                 TLS_SNI=f"later {later.cert_path} {later.key_path}"))
    daemon.wait_event("tls.expires", "service=echo", f"file={pair.cert_path}", r"days=9\b")
    daemon.order("reload")
    assert len(daemon.events("tls.expires")) == 1
    told = daemon.service()["tls"]["certificates"]
    assert [(one["file"], one["names"]) for one in told] == [
        (str(pair.cert_path), "localhost"), (str(later.cert_path), "later")]
    assert told[0]["not_after"] == pair.cert.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told[0]["not_after"][:10] in daemon.ctl("status", "echo").stdout
    overview = re.sub(r"\s+", " ", daemon.ctl("status").stdout)
    assert f"the certificate {pair.cert_path} ends on {told[0]['not_after'][:10]}" in overview
    assert str(later.cert_path) not in overview
