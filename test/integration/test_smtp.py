"""dispatcher-smtp: what clients see, what is in the Maildir, and what is refused."""

import contextlib
import os
import random
import re
import signal
import smtplib
import subprocess
import time

import pytest

from harness.processes import wait_until
from harness.smtp import Mailbox, Receiver
from harness.smtpload import MailLoad


@pytest.fixture
def receiver(run_daemon, directory, port):
    """receiver(NAME=VALUE, ...): a dispatcher with a service SMTP."""
    return lambda **more: Receiver(run_daemon, directory, port(), **more)


# --- features, as swaks sees them -------------------------------------------------------------------

def test_a_message_comes_whole_into_the_maildir_with_its_trace(receiver):
    smtp = receiver()
    smtp.swaks("--body", "first line\n.dotted\n..twice", "--protocol", "ESMTP")
    text = smtp.box.only()
    assert text.startswith("Return-Path: <s@example.com>\nReceived: from client.example.com ([127.0.0.1])\n"
                           "\tby mx.example.org with ESMTP id ")
    assert "\n\tfor <r@example.org>; " in text
    assert "\nfirst line\n.dotted\n..twice\n" in text and "\r" not in text
    smtp.daemon.wait_event("worker.output", "from <s@example.com> to <r@example.org>", "250 2.0.0 Stored")


def test_swaks_finds_each_feature(receiver):
    smtp = receiver()
    smtp.swaks("--protocol", "SMTP", "--body", "by HELO")
    smtp.swaks("--pipeline", "--body", "by pipelining")
    smtp.swaks("--to", "a@example.org,b@example.net", "--body", "to two")
    assert "SIZE 52428800" in smtp.swaks("--quit-after", "EHLO")
    assert len(smtp.box.messages()) == 3
    for said, code in (("--to unknown@elsewhere.org", 24), ("--from not-an-address", 23)):
        smtp.swaks(*said.split(), expect=code)
    assert len(smtp.box.messages()) == 3


def test_lmtp_answers_for_each_recipient(receiver, directory):
    boxes = [Mailbox(directory / "mail" / name) for name in ("a", "b")]
    smtp = receiver(PROTOCOL="LMTP", MAILDIR=directory / "mail" / "%u", DOMAINS="*")
    said = smtp.swaks("--protocol", "LMTP", "--to", "a@x.org,b@x.org", "--body", "hello")
    assert said.count("Stored") == 2
    assert all("hello" in box.only() and "with LMTP id" in box.only() for box in boxes)
    (boxes[1].path / "new").chmod(0o500)
    with smtp.talk(b"LHLO me") as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@x>", b"250")
        talk.ask(b"RCPT TO:<c@x>", b"550 5.1.1")
        talk.ask(b"RCPT TO:<b@x>", b"250")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x\r\n.", b"250 ", b"451 ")


def test_python_speaks_to_it_in_all_of_unicode(receiver):
    smtp = receiver()
    with smtplib.SMTP("127.0.0.1", smtp.port, "client.example.com") as session:
        session.ehlo()
        assert {"pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "chunking"} <= \
            set(session.esmtp_features)
        session.sendmail("j\u00fcrgen@example.com", ["r@example.org"], "Subject: \u00e4\r\n\r\n\u20ac\r\n".encode(),
                         mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        assert session.verify("r@example.org")[0] == 252
    text = smtp.box.only()
    assert "Return-Path: <j\u00fcrgen@example.com>" in text and "with UTF8SMTP id" in text
    assert "Subject: \u00e4\n\n\u20ac\n" in text


def test_odd_messages_come_through_as_they_are(receiver):
    smtp = receiver()
    odd = [b"", b".", b"..\n.\n", b"\n\n", b"no end", b"x" * 100000 + b"\n.\n", b"\0\377\n", b"Subject: x\n\n.\n" * 500]
    with smtplib.SMTP("127.0.0.1", smtp.port, "client.example.com") as session:
        for text in odd:
            session.sendmail("s@example.com", ["r@example.org"], text.replace(b"\n", b"\r\n"))
        assert session.docmd("HELP")[0] == 502
        session.rset()
        session.sendmail("s@example.com", ["r@example.org", "r@example.net"], b"last\r\n")
    bodies = [re.sub(rb"\AReturn-Path:.*?; [^\n]*\n", b"", text, flags=re.S) for text in smtp.box.messages()]
    assert sorted(bodies) == sorted(text if text.endswith(b"\n") else text + b"\n" for text in [*odd, b"last"])


def test_a_message_in_chunks_is_one_message(receiver):
    smtp = receiver()
    with smtp.talk() as talk:
        talk.sock.sendall(b"MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nBDAT 3\r\n.\r\nBDAT 6 LAST\r\na.\r\n.\n"
                          b"QUIT\r\n")
        talk.expect(b"250", b"250", b"250", b"550 5.6.0", b"221")
    assert smtp.box.is_empty()
    with smtp.talk() as talk:
        talk.sock.sendall(b"MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nBDAT 3\r\n.\r\nBDAT 7 LAST\r\na.\r\n.\r\n"
                          b"QUIT\r\n")
        talk.expect(b"250", b"250", b"250", b"250", b"221")
    assert smtp.box.only().endswith("\n.\na.\n.\n")


# --- who gets mail -----------------------------------------------------------------------------------

def test_unknown_recipients_are_refused_and_odd_names_are_no_paths(receiver, directory):
    box = Mailbox(directory / "mail" / "example.org" / "known")
    outside = Mailbox(directory / "mail" / "outside")
    smtp = receiver(MAILDIR=directory / "mail" / "%d" / "%u", DOMAINS="example.org")
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<s@example.com>", b"250")
        talk.ask(b"RCPT TO:<KNOWN@Example.ORG>", b"250")
        for name in (b"unknown", b'"../outside"', b"/etc", b'"x/../../outside"', b'".."', b'"."', b'".known"',
                     b"known/", b"known/new", b'""', b"a" * 210):
            talk.ask(b"RCPT TO:<" + name + b"@example.org>", b"550 5.1.1")
        talk.ask(b'RCPT TO:<"a\0b"@example.org>', b"500 ")
        talk.ask(b"RCPT TO:<../outside@example.org>", b"501 ")
        talk.ask(b"RCPT TO:<known@example.com>", b"550 5.7.1")
        talk.ask(b"DATA", b"354")
        talk.ask(b".", b"250")
    assert "for <KNOWN@Example.ORG>" in box.only() and outside.is_empty()


def test_the_postmaster_without_a_domain_is_the_one_of_the_host(receiver, directory):
    box = Mailbox(directory / "mail" / "mx.example.org" / "postmaster")
    smtp = receiver(MAILDIR=directory / "mail" / "%d" / "%u", DOMAINS="example.org")
    with smtp.talk() as talk:
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<Postmaster>", b"250")
        talk.ask(b"DATA", b"354")
        talk.ask(b"help\r\n.", b"250")
    assert "for <Postmaster>" in box.only()


def test_a_maildir_is_made_only_where_that_is_asked_for(receiver, directory):
    (directory / "mail").mkdir()
    (directory / "mail").chmod(0o777)
    smtp = receiver(MAILDIR=directory / "mail" / "%d" / "%u", MAILDIR_CREATE=1, DOMAINS="example.org")
    smtp.swaks("--to", "New@example.org", "--body", "hello")
    (made,) = (directory / "mail").iterdir()
    assert made.name == "example.org"
    assert len(list((made / "new" / "new").iterdir())) == 1
    smtp.swaks("--to", '"../x"@example.org', expect=24)


def test_recipients_of_one_message_share_it_and_duplicates_get_it_once(receiver, directory):
    boxes = [Mailbox(directory / "mail" / name) for name in ("a", "b")]
    smtp = receiver(MAILDIR=directory / "mail" / "%u")
    smtp.swaks("--to", "a@example.org,b@example.org,A@example.net", "--body", "hello")
    assert all("hello" in box.only() and "\tfor " not in box.only() for box in boxes)
    inodes = {path.stat().st_ino for box in boxes for path in (box.path / "new").iterdir()}
    assert len(inodes) == 1
    (boxes[1].path / "new").chmod(0o500)
    smtp.swaks("--to", "a@example.org,b@example.org", expect=26)
    assert len(boxes[0].messages()) == 1 and len(list((boxes[0].path / "tmp").iterdir())) == 0


# --- what is refused ---------------------------------------------------------------------------------

def test_no_second_message_is_smuggled_in(receiver):
    smtp = receiver()
    inner = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\nsmuggled\r\n.\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\r\n.\r\r\n",
                b"\n.\r\r\n", b"\r\n\0.\r\n"):
        with smtp.talk() as talk:
            talk.ask(b"MAIL FROM:<s@example.com>", b"250")
            talk.ask(b"RCPT TO:<r@example.org>", b"250")
            talk.ask(b"DATA", b"354")
            talk.sock.sendall(b"first" + end + inner)
            talk.expect(b"250" if b"\0" in end else b"550 5.6.0")
            talk.ask(b"QUIT", b"221")
            assert talk.is_closed()
    assert "\0.\nMAIL FROM:<evil" in smtp.box.only()


def test_a_lone_cr_or_lf_in_a_command_ends_the_session(receiver):
    smtp = receiver()
    for line in (b"NOOP\nNOOP\r\n", b"NOOP\rNOOP\r\n", b"NOOP\r\r\n"):
        with smtp.talk() as talk:
            talk.sock.sendall(line)
            talk.expect(b"500 5.5.2")
            assert talk.is_closed()


def test_who_is_cut_off_while_he_sends_reads_why(receiver):
    smtp = receiver()
    with smtp.talk() as talk:
        talk.sock.sendall(b"NOOP\n" + b"x" * 500000)
        talk.expect(b"500 5.5.2")
        assert talk.is_closed()


def test_a_message_in_a_loop_is_refused(receiver):
    smtp = receiver()
    with smtp.talk() as talk:
        for hops, reply in ((100, b"250 "), (101, b"554 5.4.6"), (0, b"250 ")):
            talk.ask(b"MAIL FROM:<>", b"250")
            talk.ask(b"RCPT TO:<r@example.org>", b"250")
            talk.ask(b"DATA", b"354")
            talk.ask(b"Received: x\r\n" * hops + b"\r\nReceived: no\r\n" + b".", reply)
    assert len(smtp.box.messages()) == 2 and not list((smtp.box.path / "tmp").iterdir())


def test_limits_have_their_replies(receiver):
    smtp = receiver(SIZE=2000, RECIPIENTS=2, ERRORS=5)
    with smtp.talk() as talk:
        talk.ask(b"NOOP " + b"x" * 3000, b"500 5.5.2")
        talk.ask(b"MAIL FROM:<> SIZE=2001", b"552 5.3.4")
        talk.ask(b"MAIL FROM:<>", b"250")
        talk.ask(b"RCPT TO:<a@example.org>", b"250")
        talk.ask(b"RCPT TO:<b@example.org>", b"250")
        talk.ask(b"RCPT TO:<c@example.org>", b"452 4.5.3")
        talk.ask(b"DATA", b"354")
        talk.ask(b"x" * 5000 + b"\r\n.", b"552 5.3.4")
        talk.ask(b"what", b"500")
        talk.ask(b"what", b"500", b"421 4.7.0")
        assert talk.is_closed()
    assert smtp.box.is_empty()


def test_a_slow_client_is_told_so(receiver):
    smtp = receiver(TIMEOUT=2)
    with smtp.talk() as talk:
        talk.expect(b"421 4.4.2")
        assert talk.is_closed()
    with smtp.talk() as talk:
        talk.sock.sendall(b"MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nDATA\r\nhalf of it\r\n")
        talk.expect(b"250", b"250", b"354", b"421")
        assert talk.is_closed()
    assert smtp.box.is_empty()


def test_a_client_that_goes_in_mid_message_leaves_nothing(receiver):
    smtp = receiver()
    with smtp.talk() as talk:
        talk.sock.sendall(b"MAIL FROM:<>\r\nRCPT TO:<r@example.org>\r\nDATA\r\nhalf of it\r\n")
        talk.expect(b"250", b"250", b"354")
        wait_until(lambda: list((smtp.box.path / "tmp").iterdir()), "the message is being written")
    smtp.daemon.wait_service(lambda one: one["done"] == 1, "the session is over")
    assert smtp.box.is_empty()


@pytest.mark.parametrize("wrong, said", [
    ({"DOMAINS": None}, "DOMAINS is missing"), ({"MAILDIR": None}, "give one of"),
    ({"MAILDIR": "relative"}, "full path"), ({"MAILDIR": "/nonexistent/box/%u"}, "/nonexistent"),
    ({"MAILDIR": "/tmp/%x"}, "only %d and %u"), ({"SIZE": "big"}, "must be a number"),
    ({"TIMEOUT": "0"}, "must be a number"), ({"PROTOCOL": "UUCP"}, "must be SMTP or LMTP"),
    ({"HOSTNAME": "a b"}, "is no host name"), ({"NEXT": "smtp:x:25"}, "give one of"),
    ({"MAILDIR": None, "NEXT": "x:25"}, "must be smtp: or lmtp:"),
    ({"MAILDIR": None, "NEXT": "smtp:127.0.0.1:25", "DOMAINS": "*"}, "open relay"),
    ({"AUTH": "dovecot:/run/auth"}, "needs NEXT"),
    ({"MAILDIR": None, "NEXT": "smtp:127.0.0.1:25", "AUTH": "pam"}, "must be dovecot:")])
def test_a_wrong_parameter_is_named(stage, directory, wrong, said):
    parameters = dict(HOSTNAME="mx.example.org", DOMAINS="example.org", MAILDIR=directory) | wrong
    given = [f"{name}={value}" for name, value in parameters.items() if value is not None]
    run = subprocess.run([stage.program("dispatcher-smtp"), "-l", "127.0.0.1:0", *given],
                         capture_output=True, text=True, timeout=20)
    assert run.returncode == 1 and said in run.stderr, run


# --- who dies ----------------------------------------------------------------------------------------

def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_while(load, daemon):
    """kill -9 of a random worker every 200 ms, as long as three are left, and of the acceptor every 2 s."""
    kills, began = {"workers": 0, "acceptors": 0}, time.monotonic()
    while load.is_running():
        time.sleep(0.2)  # the pace of the test, not a wait
        status = daemon.try_status()
        serving = [w["pid"] for w in daemon.service("smtp", status)["workers"] if w["state"] == "serving"] \
            if status else []
        if len(serving) > 3:
            kill(random.choice(serving))
            kills["workers"] += 1
        if status and time.monotonic() - began > 0.7 + 2 * kills["acceptors"]:
            kill(status["dispatcher"]["acceptor_pid"])
            kills["acceptors"] += 1
    return kills


def test_every_answered_message_is_stored_whole_and_once_whoever_is_killed(receiver, stage, rounds):
    smtp = receiver(options=dict(MIN_PROCS=12 if rounds(1) < 5 else 60, MAX_PROCS=64, MAX_CONNS=50))
    smtp.daemon.expect_errors(r"acceptor\.", "worker.exit")
    with MailLoad(stage, smtp.port, 1, 1) as first:
        pass
    body = smtp.box.messages()[0].partition(b"\n\n")[2]
    assert len(body) > 2500
    with MailLoad(stage, smtp.port, 50, rounds(1000)) as load:
        kills = kill_while(load, smtp.daemon)
    files = {path.name.removesuffix(".mx.example.org"): path.read_bytes()
             for path in (smtp.box.path / "new").iterdir()}
    answered = first.stored + load.stored
    print(f"{len(answered)} answered, {len(files)} stored, {load.cut} of {load.ended} sessions cut, {kills}")
    assert len(answered) == len(set(answered)) and set(answered) <= set(files)
    assert len(files) - len(answered) <= load.cut
    assert all(text.partition(b"\n\n")[2] == body for text in files.values())
    names = [line for text in files.values() for line in text.split(b"\n") if line.startswith(b"Message-Id")]
    assert len(set(names)) == len(files)
    assert rounds(1) < 5 or (kills["workers"] and load.cut), "nobody was cut: the test shows less than it says"
