"""dispatcher-smtp in trouble: full disks, mailboxes that cannot be written, servers that hang or refuse."""

import contextlib
import subprocess

import pytest

from harness.processes import wait_until
from harness.smtp import Mailbox, NextServer, Receiver


@pytest.fixture
def receiver(run_daemon, directory, port):
    return lambda **more: Receiver(run_daemon, directory, port(), **more)


@contextlib.contextmanager
def tmpfs(path, size):
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=False,
                             capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.root
def test_a_full_disk_is_452_and_mail_comes_again_when_there_is_room(receiver, directory):
    with tmpfs(directory / "small", "256k") as where:
        box = Mailbox(where / "box")
        smtp = receiver(MAILDIR=box.path)
        smtp.swaks("--body", "fits")
        with smtp.talk() as talk:
            talk.ask(b"MAIL FROM:<>", b"250")
            talk.ask(b"RCPT TO:<r@example.org>", b"250")
            talk.ask(b"DATA", b"354")
            talk.ask((b"x" * 70 + b"\r\n") * 6000 + b".", b"452 4.3.1")
            assert not list((box.path / "tmp").iterdir())
            filler = where / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            talk.ask(b"MAIL FROM:<>", b"250")
            talk.ask(b"RCPT TO:<r@example.org>", b"250")
            talk.ask(b"BDAT 5000 LAST\r\n" + (b"x" * 98 + b"\r\n") * 49 + b"x" * 98, b"452 4.3.1")
            assert len(box.messages()) == 1
            filler.unlink()
            talk.ask(b"MAIL FROM:<>", b"250")
            talk.ask(b"RCPT TO:<r@example.org>", b"250")
            talk.ask(b"DATA", b"354")
            talk.ask(b"fits again\r\n.", b"250")
        assert len(box.messages()) == 2 and not list((box.path / "tmp").iterdir())


def test_a_maildir_that_cannot_be_written_is_451(receiver):
    smtp = receiver()
    (smtp.box.path / "tmp").chmod(0o500)
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<r@example.org>", b"250")
        talk.ask(b"DATA", b"451 4.3.0")
        (smtp.box.path / "tmp").chmod(0o777)
        (smtp.box.path / "new").chmod(0o500)
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"451 4.3.0")
    assert smtp.box.is_empty()


@pytest.mark.root
def test_a_file_system_that_is_read_only_is_451(receiver, directory):
    with tmpfs(directory / "small", "256k") as where:
        box = Mailbox(where / "box")
        smtp = receiver(MAILDIR=box.path)
        subprocess.run(["mount", "-o", "remount,ro", where], check=True)
        smtp.swaks(expect=25)
        subprocess.run(["mount", "-o", "remount,rw", where], check=True)
        smtp.swaks()
        assert len(box.messages()) == 1


# --- the next server ---------------------------------------------------------------------------------

@pytest.fixture
def next_server(directory):
    made = []

    def make(**answers):
        made.append(NextServer(directory / f"next{len(made)}", **answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_message_is_passed_on_whole_and_answered_as_the_next_server_answers(
        receiver, next_server, directory):
    server = next_server()
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/next0")
    said = smtp.swaks("--body", ".dotted\n..twice\nend", "--to", "a@example.org,b@example.net")
    assert "250 2.0.0 queued as 42" in said
    text = server.texts[0]
    assert text.startswith(b"Received: from client.example.com ([127.0.0.1])\r\n\tby mx.example.org")
    assert b"\r\n..dotted\r\n...twice\r\nend\r\n" in text and b"\n" not in text.replace(b"\r\n", b"")
    assert server.heard[1:4] == ["MAIL FROM:<s@example.com>", "RCPT TO:<a@example.org>",
                                 "RCPT TO:<b@example.net>"]


def test_what_the_next_server_refuses_is_refused(receiver, next_server, directory):
    server = next_server(RCPT="550 5.1.1 nobody here")
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/next0")
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"550 5.1.1 nobody here")
        talk.ask(b"RCPT TO:<b@elsewhere.org>", b"550 5.7.1")
        server.answers |= {"RCPT": "250 ok", "DATA": "452 4.3.1 full"}
        talk.ask(b"RCPT TO:<a@example.org>", b"250")
        talk.ask(b"DATA", b"452 4.3.1 full")
        server.answers |= {"DATA": "354 go", "END": "554 5.6.0 no"}
        talk.ask(b"RSET", b"250")
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"250")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"554 5.6.0 no")
        server.answers["MAIL"] = "421 4.3.2 going down"
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"451 4.4.2")
    assert not [line for line in server.heard if "elsewhere" in line]


def test_lmtp_behind_smtp_takes_one_recipient_and_behind_lmtp_all(receiver, next_server, directory):
    next_server(END="250 2.0.0 one")
    smtp = receiver(MAILDIR=None, NEXT=f"lmtp:unix:{directory}/next0")
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"250")
        talk.ask(b"RCPT TO:<b@example.org>", b"452 4.5.3")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"250 2.0.0 one")


def test_each_recipient_has_the_answer_of_an_lmtp_server(receiver, next_server, directory):
    next_server(END="250 2.0.0 one\r\n452 4.2.2 two")
    lmtp = receiver(MAILDIR=None, NEXT=f"lmtp:unix:{directory}/next0", PROTOCOL="LMTP")
    with lmtp.talk(b"LHLO me") as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"250")
        talk.ask(b"RCPT TO:<b@example.org>", b"250")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"250 2.0.0 one", b"452 4.2.2 two")


def test_a_refused_message_is_not_passed_on(receiver, next_server, directory):
    server = next_server()
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/next0", SIZE=2000)
    for text, reply in ((b"a\nb\r\n.", b"550 5.6.0"), (b"x" * 3000 + b"\r\n.", b"552 5.3.4")):
        with smtp.talk() as talk:
            talk.ask(b"MAIL FROM:<>", b"250")
            talk.ask(b"RCPT TO:<a@example.org>", b"250")
            talk.ask(b"DATA", b"354")
            talk.ask(text, reply)
    assert server.texts == []


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("how", [None, ""], ids=["hangs", "closes"])
def test_a_next_server_that_hangs_or_goes_is_451(receiver, next_server, directory, verb, how):
    next_server(**{verb: how})
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/next0", TIMEOUT=2)
    with smtp.talk() as talk:
        talk.sock.sendall(b"MAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n")
        if verb in ("GREETING", "EHLO", "RCPT"):
            talk.expect(b"250", b"451 4.4.", b"503")
        elif verb == "DATA":
            talk.expect(b"250", b"250", b"451 4.4.")
        else:
            talk.expect(b"250", b"250", b"354")
            talk.ask(b"x\r\n.", b"451 4.4.")
        talk.ask(b"NOOP", b"250")


def test_who_waits_for_a_server_that_hangs_keeps_no_other_client_waiting(receiver, next_server, directory):
    server = next_server(RCPT=None)
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/next0", options=dict(MAX_PROCS=1))
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(smtp.talk()) for _ in range(8)]
        for one in stuck:
            one.ask(b"MAIL FROM:<>", b"250")
            one.sock.sendall(b"RCPT TO:<a@example.org>\r\n")
        wait_until(lambda: server.heard.count("RCPT TO:<a@example.org>") == 8, "all are stuck")
        with smtp.talk() as other:
            other.ask(b"RSET", b"250")
        server.close()
        for one in stuck:
            one.expect(b"451 4.4.2")


def test_a_next_server_that_is_not_there_is_451(receiver, directory):
    smtp = receiver(MAILDIR=None, NEXT=f"smtp:unix:{directory}/nothing")
    smtp.swaks(expect=24)


# --- the end of a worker -----------------------------------------------------------------------------

def test_a_retiring_worker_finishes_its_sessions(receiver):
    smtp = receiver()
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        smtp.daemon.order("restart", "smtp")
        talk.ask(b"RCPT TO:<r@example.org>", b"250")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"250")
        talk.ask(b"QUIT", b"221")
    assert len(smtp.box.messages()) == 1


def test_at_the_deadline_who_is_between_messages_is_told_421_and_nobody_gets_half_a_message(receiver):
    smtp = receiver(options=dict(DRAIN_TIMEOUT="1s", KILL_TIMEOUT="20s"))
    with smtp.talk() as idle, smtp.talk() as busy:
        busy.ask(b"MAIL FROM:<>", b"250")
        busy.ask(b"RCPT TO:<r@example.org>", b"250")
        busy.ask(b"DATA", b"354")
        busy.sock.sendall(b"half of it\r\n")
        smtp.daemon.order("restart", "smtp")
        idle.expect(b"421 4.3.2")
        assert idle.is_closed() and busy.is_closed()
    assert smtp.box.messages() == []
