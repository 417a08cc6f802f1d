"""A whole Postfix on loopback, unpacked and not installed (test/unpack-postfix), that has every message
looked at by a milter and passes it on to a sink that keeps what arrives."""

import os
import pwd
import re
import signal
import socketserver
import subprocess
import threading

from . import clients, processes
from .processes import wait_until

QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
DAEMONS = "cleanup qmgr rewrite:trivial-rewrite bounce defer:bounce trace:bounce verify flush proxymap smtp " \
          "relay:smtp showq error retry:error discard anvil scache"


def tools(build):
    """Where the programs of Postfix are; None: not there."""
    root = os.path.join(os.path.realpath(build), "postfix")
    return root if os.access(f"{root}/usr/sbin/smtp-source", os.X_OK) else None


def libraries(root):
    return {"LD_LIBRARY_PATH": f"{root}/usr/lib/postfix"}


class Sink:
    """An SMTP server that takes everything: {queue id: [headers, ...]} of what it was given."""

    def __init__(self, port):
        self.messages, self.lock, sink = {}, threading.Lock(), self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 sink")
                while line := self.rfile.readline():
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.say("354 go on")
                        sink.keep(self.message())
                        self.say("250 ok")
                    elif verb == b"QUIT":
                        return self.say("221 bye")
                    else:
                        self.say("250 ok")

            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def message(self):
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                return b"".join(lines).decode(errors="replace")

        class TheServer(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 100

        self.server = TheServer(("127.0.0.1", port), Session)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def keep(self, text):
        headers = text.partition("\r\n\r\n")[0]
        number = re.search(r"\(Postfix\) with E?SMTP\s+id (\w+)", headers)[1]
        with self.lock:
            self.messages.setdefault(number, []).append(headers)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Postfix:
    def __init__(self, root, where, port, sink_port, milter, **more):
        self.root, self.where, self.port, self.milter = root, where, port, milter
        self.sink = Sink(sink_port)
        self.log_path = where / "maillog"
        self.make_queue(where / "queue")
        (where / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in {
            **self.main(sink_port), **more}.items()))
        (where / "master.cf").write_text(self.master())
        for name in ("main.cf", "master.cf"):
            (where / name).chmod(0o644)
        self.process = None

    def make_queue(self, queue):
        owner = pwd.getpwnam("games")
        self.owner = owner.pw_name
        for name in ("", "pid", "private", "public", "maildrop", *QUEUES):
            (queue / name).mkdir(mode=0o755, parents=True)
            if name not in ("", "pid"):
                os.chown(queue / name, owner.pw_uid, -1)
                (queue / name).chmod(0o700)
        (queue / "public").chmod(0o755)
        data = self.where / "data"
        data.mkdir(mode=0o700)
        os.chown(data, owner.pw_uid, -1)

    def main(self, sink_port):
        w, root = self.where, self.root
        return {
            "compatibility_level": "3.6", "queue_directory": f"{w}/queue", "data_directory": f"{w}/data",
            "command_directory": f"{root}/usr/sbin", "daemon_directory": f"{root}/usr/lib/postfix/sbin",
            "shlib_directory": f"{root}/usr/lib/postfix", "meta_directory": f"{w}",
            "mail_owner": self.owner, "setgid_group": "tty", "default_privs": "nobody",
            "import_environment": f"LD_LIBRARY_PATH={root}/usr/lib/postfix MAIL_CONFIG={w} LANG=C",
            "export_environment": "LD_LIBRARY_PATH LANG=C",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "myhostname": "mta.example.com",
            "mydestination": "", "mynetworks": "127.0.0.0/8", "alias_maps": "", "alias_database": "",
            "local_recipient_maps": "", "relayhost": f"[127.0.0.1]:{sink_port}", "smtp_host_lookup": "native",
            "maillog_file": self.log_path, "maillog_file_prefixes": w, "smtpd_peername_lookup": "no",
            "smtpd_milters": self.milter, "milter_default_action": "tempfail",
            "milter_connect_timeout": "10s", "milter_command_timeout": "20s",
            "default_process_limit": "20", "smtpd_client_connection_count_limit": "0",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
        }

    def master(self):
        lines = [f"127.0.0.1:{self.port} inet n - n - - smtpd", "postlog unix-dgram n - n - 1 postlogd"]
        for word in DAEMONS.split():
            name, _, program = word.partition(":")
            public = "n" if name in ("cleanup", "qmgr", "flush", "showq") else "-"
            wakeup, most = ("300", "1") if name == "qmgr" else ("-", "0" if program == "bounce" or name in ("bounce", "cleanup", "flush") else "-")
            most = "1" if name in ("anvil", "scache", "verify") else most
            lines.append(f"{name} unix {public} - n {wakeup} {most} {program or name}")
        return "\n".join(lines) + "\n"

    # --- life ---

    def start(self):
        with open(self.where / "output", "ab") as output:
            self.process = subprocess.Popen(
                [f"{self.root}/usr/lib/postfix/sbin/master", "-c", self.where, "-d"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, **libraries(self.root), "MAIL_CONFIG": str(self.where)})
        wait_until(self.answers, lambda: f"Postfix answers\n{self.log()}", 15)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Postfix ended with {self.process.returncode}\n{self.log()}")
        try:
            with clients.connect(self.port) as sock:
                return sock.recv(100).startswith(b"220")
        except OSError:
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            below = processes.descendants(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            wait_until(lambda: processes.reap() or not any(processes.alive(pid) for pid in below),
                       "no process of Postfix is left", 20)
        self.sink.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def log(self):
        texts = [path.read_text(errors="replace") for path in (self.where / "output", self.log_path)
                 if path.exists()]
        return "".join(texts)

    # --- mail ---

    def source(self, count, sessions=8):
        """smtp-source sends; it goes on when a message is refused."""
        with open(self.where / "source", "wb") as output:  # it says a line of each refusal
            return subprocess.Popen(
                [f"{self.root}/usr/sbin/smtp-source", "-A", "-m", str(count), "-s", str(sessions), "-l", "2000",
                 "-f", "user@example.com", "-t", "rcpt@example.org", f"127.0.0.1:{self.port}"],
                env={**os.environ, **libraries(self.root)}, stdout=output, stderr=output,
                start_new_session=True)

    def accepted(self):
        """Queue ids of the messages that it took over."""
        return set(re.findall(r"qmgr\[\d+\]: (\w+): from=<user@example\.com>", self.log()))

    def has_deferred(self):
        """Whether a client was told to try later because of the milter."""
        return bool(re.search(r"milter-reject: .* 4\.7\.1 ", self.log()))
