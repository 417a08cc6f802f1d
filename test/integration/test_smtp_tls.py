"""dispatcher-smtp with TLS, and as a submission server before Dovecot's passwords."""

import base64
import contextlib
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess

import pytest

from harness import certificates, clients
from harness.processes import wait_until
from harness.smtp import Mailbox, NextServer, Receiver, Talk, swaks

LISTENS = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class ByHand:
    """dispatcher-smtp that listens for itself: a port with STARTTLS, and one where TLS starts at once."""

    def __init__(self, stage, where, **parameters):
        certificates.write(where / "pair.pem", *certificates.make("mx.example.org"))
        self.log_path = where / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [stage.program("dispatcher-smtp"), "-l", "127.0.0.1:0", "-t", "127.0.0.1:0",
                 f"TLS_CERT={where}/pair.pem", "HOSTNAME=mx.example.org",
                 *[f"{name}={value}" for name, value in parameters.items()]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: len(LISTENS.findall(self.log())) == 2, self.log)
        self.port, self.tls_port = map(int, LISTENS.findall(self.log()))

    def log(self):
        return self.log_path.read_text()

    @contextlib.contextmanager
    def talk(self, tls=False):
        """In plaintext, or to the port where TLS starts at once."""
        with clients.connect(self.tls_port if tls else self.port) as sock, \
                contextlib.closing(Talk(secured(sock) if tls else sock)) as talk:
            talk.expect(b"220")
            talk.ask(b"EHLO me", b"250")
            yield talk

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log()


def secured(sock):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


@pytest.fixture
def by_hand(stage, directory):
    with contextlib.ExitStack() as stack:
        def make(**parameters):
            made = ByHand(stage, directory, **parameters)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def mx(by_hand, directory):
    made = by_hand(DOMAINS="example.org", MAILDIR=Mailbox(directory / "box").path)
    made.new = directory / "box" / "new"
    return made


@pytest.mark.sanitized
def test_a_message_comes_under_starttls_and_where_tls_starts_at_once(mx):
    said = swaks(mx.port, "--tls", "--body", "by STARTTLS")
    assert said.count("250-STARTTLS") == 1, "it is not offered again under TLS"
    swaks(mx.tls_port, "--tlsc", "--body", "at once")
    texts = [path.read_text() for path in mx.new.iterdir()]
    assert len(texts) == 2
    assert all(re.search(r"with ESMTPS id \S+\n\t\(TLSv1\.3 TLS_\w+\)\n\tfor <r@", text) for text in texts)


def test_what_stands_behind_starttls_is_never_run(mx):
    for rest in (b"EHLO evil\r\nMAIL FROM:<e@v.il>\r\n", b"R"):
        with mx.talk() as talk:
            talk.sock.sendall(b"STARTTLS\r\n" + rest)
            talk.expect(b"554 5.5.0")
            assert talk.is_closed()
    with mx.talk() as talk:
        talk.ask(b"STARTTLS", b"220")
        talk.sock.sendall(b"EHLO evil\r\nMAIL FROM:<e@v.il>\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"250" not in talk.file.read()


def test_the_state_before_starttls_is_forgotten(mx):
    with mx.talk() as talk:
        talk.ask(b"MAIL FROM:<s@example.com>", b"250")
        talk.ask(b"RCPT TO:<r@example.org>", b"250")
        talk.ask(b"STARTTLS", b"220")
        inner = Talk(secured(talk.sock))
        inner.ask(b"DATA", b"503 5.5.1 MAIL first")
        inner.ask(b"MAIL FROM:<s@example.com>", b"503 5.5.1 EHLO first")
        inner.ask(b"STARTTLS", b"503")
        inner.ask(b"EHLO me", b"250")
        inner.ask(b"MAIL FROM:<s@example.com>", b"250")
        inner.ask(b"QUIT", b"221")
    assert not list(mx.new.iterdir())


def test_a_pool_takes_mail_by_tls_over_recycling(run_daemon, directory, port):
    cert, key = certificates.make("mx.example.org")
    tls_port = port()
    smtp = Receiver(run_daemon, directory, port(), options=dict(
        TLS_PORT=f"127.0.0.1:{tls_port}", TLS_CERT=certificates.write(directory / "cert.pem", cert),
        TLS_KEY=certificates.write(directory / "key.pem", key), MAX_LIFE_CONNS=3))
    for _ in range(4):
        smtp.swaks("--tls")
        swaks(tls_port, "--tlsc")
    texts = smtp.box.messages()
    assert len(texts) == 8 and all(b" with ESMTPS id " in text for text in texts)
    smtp.daemon.wait_event("worker.exit", "reason=spent")


# --- submission --------------------------------------------------------------------------------------

class Dovecot:
    """A real one that does nothing but authenticate: user me with the password secret."""

    def __init__(self, where):
        self.path = where / "auth"
        (where / "users").write_text("me:{PLAIN}secret::::::\n")
        (where / "dovecot.conf").write_text(f"""\
protocols =
base_dir = {where}/run
state_dir = {where}/run
log_path = {where}/dovecot.log
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0
disable_plaintext_auth = no
service stats {{
  chroot =
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {self.path} {{
    mode = 0666
  }}
}}
passdb {{
  driver = passwd-file
  args = {where}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
""")
        with open(where / "dovecot.out", "wb") as out:
            self.process = subprocess.Popen(["dovecot", "-F", "-c", where / "dovecot.conf"],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(lambda: self.path.exists() and self.process.poll() is None,
                   lambda: (where / "dovecot.out").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def submission(by_hand, directory):
    """submission(): a server behind a real Dovecot and before a next server that takes everything."""
    with contextlib.ExitStack() as stack:
        def make(dovecot=True, **more):
            path = directory / "auth"
            if dovecot:
                if os.getuid() or not shutil.which("dovecot"):
                    pytest.skip("needs root and dovecot")
                stack.callback(Dovecot(directory).stop)
            next_server = NextServer(directory / "next")
            stack.callback(next_server.close)
            made = by_hand(AUTH=f"dovecot:{path}", NEXT=f"smtp:unix:{directory}/next", **more)
            made.next = next_server
            return made

        yield make


def test_only_who_has_a_password_may_send_to_anybody(submission):
    server = submission()
    for mechanism in ("PLAIN", "LOGIN"):
        swaks(server.port, "--tls", "--auth", mechanism, "-au", "me", "-ap", "secret", "--to", "x@anywhere.example")
        swaks(server.port, "--tls", "--auth", mechanism, "-au", "me", "-ap", "wrong", expect=28)
        swaks(server.port, "--auth", mechanism, "-au", "me", "-ap", "secret", expect=28)
    swaks(server.port, "--tls", expect=23)
    assert len(server.next.texts) == 2
    assert all(b" with ESMTPSA id " in text for text in server.next.texts)
    assert server.log().count("user me: 235") == 2 and "secret" not in server.log()


def test_each_way_to_say_a_password_is_understood(submission):
    server, plain = submission(), base64.b64encode(b"\0me\0secret")
    with server.talk(tls=True) as talk:
        talk.ask(b"AUTH PLAIN", b"334 ")
        talk.ask(b"*", b"501 5.7.0")
        talk.ask(b"AUTH LOGIN", b"334 ")
        talk.ask(base64.b64encode(b"me"), b"334 ")
        talk.ask(base64.b64encode(b"wrong"), b"535 5.7.8")
        talk.ask(b"AUTH PLAIN a\tOK", b"501")
        talk.ask(b"AUTH PLAIN", b"334 ")
        talk.ask(plain, b"235")
        talk.ask(b"AUTH PLAIN " + plain, b"503")
    with smtplib.SMTP_SSL("127.0.0.1", server.tls_port, context=ssl._create_unverified_context()) as session:
        session.login("me", "secret")


def test_many_may_log_in_at_once(submission):
    server = submission()
    with contextlib.ExitStack() as stack:
        talks = [stack.enter_context(server.talk(tls=True)) for _ in range(10)]
        for talk in talks:
            talk.ask(b"AUTH LOGIN", b"334 ")
        for talk in talks:
            talk.ask(base64.b64encode(b"me"), b"334 ")
            talk.ask(base64.b64encode(b"secret"), b"235")


def test_without_dovecot_nobody_gets_in_and_nobody_waits_for_ever(submission, directory):
    server = submission(dovecot=False, TIMEOUT=2)
    with server.talk(tls=True) as talk:
        talk.ask(b"AUTH PLAIN", b"454 4.7.0")
        talk.ask(b"MAIL FROM:<>", b"530 5.7.0")
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(directory / "auth"))
        hangs.listen()
        with server.talk(tls=True) as talk:
            talk.ask(b"AUTH PLAIN", b"454 4.7.0")


def test_who_is_named_like_a_field_of_dovecot_is_told_the_same_as_others(submission, directory):
    server = submission(dovecot=False)
    with socket.socket(socket.AF_UNIX) as broken:
        broken.bind(str(directory / "auth"))
        broken.listen()
        with server.talk(tls=True) as talk:
            talk.sock.sendall(b"AUTH PLAIN eA==\r\n")
            sock, _ = broken.accept()
            with sock:
                sock.sendall(b"VERSION\t1\t1\nDONE\nFAIL\t1\tuser=attempt\ttemp\n")
                talk.expect(b"454 4.7.0")
