"""Caches, mail, files and shells: servers that speak first or that hand their clients from one process of
their own to the next."""

import ftplib
import imaplib
import io
import os
import poplib
import pwd

from .. import clients
from . import base
from .base import SECONDS, Server, ask, expect, must


class Memcached(Server):
    name, needs, sees_client = "memcached", ("/usr/bin/memcached", "/usr/bin/memcping"), False

    def command(self):
        return f"/usr/bin/memcached -l 127.0.0.1 -p {self.port} -U 0 -t 2 -c 200"

    def exchange(self, sock):
        ask(sock, b"set k 0 0 5\r\nvalue\r\n", b"STORED")
        ask(sock, b"get k\r\n", b"VALUE k 0 5")
        expect(sock, b"value")
        expect(sock, b"END")

    request = exchange

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def leave(self, sock):
        sock.sendall(b"quit\r\n")
        clients.receive_all(sock)

    def real_client(self):
        got = must("memcping", f"--servers=127.0.0.1:{self.port}")
        assert not got.stderr, got
        return 1


class Redis(Server):
    name, needs = "redis", ("/usr/bin/redis-server", "/usr/bin/redis-cli")

    def command(self):
        return (f"/usr/bin/redis-server --bind 127.0.0.1 --port {self.port} --save '' --appendonly no --protected-mode no "
                f"--daemonize no --dir {self.where}")

    def exchange(self, sock):
        ask(sock, b"PING\r\n", b"+PONG")
        sock.sendall(b"CLIENT INFO\r\n")
        length = int(expect(sock, b"$")[1:])
        self.told = clients.receive_exactly(sock, length + 2).decode()

    request = exchange

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def seen(self):
        return self.told

    def real_client(self):
        got = must("redis-cli", "-h", "127.0.0.1", "-p", self.port, "set", "key", "value")
        assert got.stdout == "OK\n", got
        return 1


class SmtpSink(Server):
    name, needs, sees_client = "smtp-sink", ("BUILD/postfix/usr/sbin/smtp-sink",), False

    def command(self):
        return f"{self.build}/postfix/usr/sbin/smtp-sink -c 127.0.0.1:{self.port} 100"

    @property
    def options(self):
        return {"ENVIRONMENT": f"LD_LIBRARY_PATH={self.build}/postfix/usr/lib/postfix"}

    def exchange(self, sock):
        expect(sock, b"220")
        self.request(sock)

    def request(self, sock):
        ask(sock, b"HELO client\r\n", b"250")
        ask(sock, b"MAIL FROM:<a@example.org>\r\n", b"250")
        ask(sock, b"RCPT TO:<b@example.org>\r\n", b"250")
        ask(sock, b"DATA\r\n", b"354")
        ask(sock, b"Subject: x\r\n\r\nbody\r\n.\r\n", b"250")

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def leave(self, sock):
        ask(sock, b"QUIT\r\n", b"221")
        clients.receive_all(sock)

    def real_client(self):
        must(f"{self.build}/postfix/usr/sbin/smtp-source", "-m", 5, "-s", 2, "-d", f"127.0.0.1:{self.port}",
             env=dict(os.environ, LD_LIBRARY_PATH=f"{self.build}/postfix/usr/lib/postfix"))
        return 2


class Dovecot(Server):
    """pop3-login accepts, and hands the client to a pop3 process of its own."""

    needs, root = ("/usr/sbin/dovecot", "/usr/lib/dovecot/pop3-login", "/usr/lib/dovecot/imap-login"), True
    life, has_children = 12, True
    protocol = None
    options = {"USER": "root"}
    COUNT = 3

    def prepare(self):
        for part in ("new", "cur", "tmp"):
            (self.where / "mail" / part).mkdir(parents=True)
        for number in range(self.COUNT):
            self.write(f"mail/new/{number}", f"From: a@example.org\nSubject: number {number}\n\nbody\n")
        must("chown", "-R", "nobody", self.where / "mail")
        w = self.where
        self.write("dovecot.conf", f"""state_dir = {w}
protocols = {self.protocol}
ssl = no
disable_plaintext_auth = no
log_path = {w}/dovecot.log
listen = 127.0.0.1
mail_location = maildir:{w}/mail
first_valid_uid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={w}
}}
service {self.protocol}-login {{
  chroot =
  inet_listener {self.protocol} {{
    port = {self.port}
  }}
  inet_listener {self.protocol}s {{
    port = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""")

    def command(self):
        # each has a directory of its own for its sockets: two in one would be one too many
        return f"/bin/sh -c 'exec /usr/sbin/dovecot -F -c {self.where}/dovecot.conf -o base_dir={self.where}/run.$$'"


class DovecotPop3(Dovecot):
    name, protocol = "dovecot-pop3", "pop3"

    def exchange(self, sock):
        expect(sock, b"+OK")
        ask(sock, b"USER u\r\n", b"+OK")
        ask(sock, b"PASS secret\r\n", b"+OK")
        self.request(sock)

    def request(self, sock):
        assert int(ask(sock, b"STAT\r\n", b"+OK").split()[1]) == self.COUNT

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def leave(self, sock):
        ask(sock, b"QUIT\r\n", b"+OK")
        clients.receive_all(sock)

    def real_client(self):
        mailbox = poplib.POP3("127.0.0.1", self.port, SECONDS)
        mailbox.user("u")
        mailbox.pass_("secret")
        subjects = [b"\n".join(mailbox.retr(number + 1)[1]) for number in range(self.COUNT)]
        assert all(b"Subject: number" in one for one in subjects), subjects
        mailbox.quit()
        got = must("curl", "-sS", f"pop3://u:secret@127.0.0.1:{self.port}/1")
        assert "Subject: number" in got.stdout
        return 2


class DovecotImap(Dovecot):
    name, protocol = "dovecot-imap", "imap"

    def exchange(self, sock):
        expect(sock, b"* OK")
        ask(sock, b"a LOGIN u secret\r\n", b"a OK")
        self.request(sock)

    def request(self, sock):
        ask(sock, b"b NOOP\r\n", b"b OK")

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def leave(self, sock):
        sock.sendall(b"c LOGOUT\r\n")
        clients.receive_all(sock)

    def real_client(self):
        mailbox = imaplib.IMAP4("127.0.0.1", self.port, SECONDS)
        mailbox.login("u", "secret")
        assert int(mailbox.select()[1][0]) == self.COUNT
        assert b"Subject: number" in mailbox.fetch("1", "(RFC822)")[1][0][1]
        mailbox.logout()
        got = must("curl", "-sS", f"imap://u:secret@127.0.0.1:{self.port}/INBOX;MAILINDEX=1")
        assert "Subject: number" in got.stdout
        return 2


class Sshd(Server):
    """It runs itself again for each client."""

    name, needs, root = "sshd", ("/usr/sbin/sshd", "/usr/bin/ssh"), True
    options = {"USER": "root"}
    life, clients, has_children = 5, 3, True

    def prepare(self):
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.where / "host")
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.where / "user")
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.write("keys", (self.where / "user.pub").read_text())
        self.write("sshd_config", f"""ListenAddress 127.0.0.1:{self.port}
HostKey {self.where}/host
AuthorizedKeysFile {self.where}/keys
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
MaxStartups 100
LogLevel VERBOSE
""")

    def command(self):
        return f"/usr/sbin/sshd -D -E {self.where}/sshd.log -f {self.where}/sshd_config"

    def serve(self, source="127.0.0.1"):
        done = base.run("ssh", "-F", "none", "-n", "-p", self.port, "-i", self.where / "user", "-b", source,
                        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                        "BatchMode=yes", "-o", "LogLevel=ERROR", f"{pwd.getpwuid(os.getuid())[0]}@127.0.0.1",
                        "echo served; tr '\\0' '\\n' </proc/self/environ | grep -c DISPATCHER")
        if done.returncode == 255:
            raise ConnectionResetError(done.stderr)
        assert done.stdout == "served\n0\n", done

    def real_client(self):
        self.serve()
        return 1


class Vsftpd(Server):
    """A process and a sandbox for each client; the files come over connections of their own."""

    name, needs, root = "vsftpd", ("/usr/sbin/vsftpd",), True
    options = {"USER": "root"}
    life, has_children = 12, True

    def prepare(self):
        for name in ("files", "empty"):
            (self.where / name).mkdir(mode=0o755)
        self.write("files/file", "served\n")
        self.write("vsftpd.conf", f"""listen=YES
listen_address=127.0.0.1
listen_port={self.port}
background=NO
anonymous_enable=YES
anon_root={self.where}/files
ftp_username=daemon
secure_chroot_dir={self.where}/empty
xferlog_enable=YES
vsftpd_log_file={self.where}/vsftpd.log
max_per_ip=0
max_clients=0
""")

    def command(self):
        return f"/usr/sbin/vsftpd {self.where}/vsftpd.conf"

    def serve(self, source="127.0.0.1"):
        got = io.BytesIO()
        try:
            with ftplib.FTP(timeout=SECONDS) as ftp:
                ftp.connect("127.0.0.1", self.port, SECONDS, (source, 0))
                ftp.login()
                ftp.retrbinary("RETR file", got.write)
                ftp.quit()
        except EOFError:
            raise ConnectionResetError("closed") from None
        assert got.getvalue() == b"served\n"

    def real_client(self):
        got = must("curl", "-sS", f"ftp://127.0.0.1:{self.port}/file")
        assert got.stdout == "served\n"
        return 1


ALL = (Memcached, Redis, SmtpSink, DovecotPop3, DovecotImap, Sshd, Vsftpd)
