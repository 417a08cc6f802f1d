"""Mail filters: they speak the milter protocol, a thread for each connection of the MTA."""

import struct

from .. import clients
from .base import SECONDS, Server, must

VERSION, ACTIONS, STEPS = 6, 0x1FF, 0x1FFFFF


def packet(kind, data=b""):
    return struct.pack("!I", 1 + len(data)) + kind + data


def receive_packet(sock):
    length, = struct.unpack("!I", clients.receive_exactly(sock, 4))
    return clients.receive_exactly(sock, length)


class Milter(Server):
    sees_client = False  # it is told of the MTA's client, not of the MTA
    wants_body = True
    # libmilter looks for TERM every five seconds; who has no session misses nothing by this
    options = {"STOP_SIGNAL": "KILL"}

    def exchange(self, sock):
        sock.sendall(packet(b"O", struct.pack("!III", VERSION, ACTIONS, STEPS)))
        got = receive_packet(sock)
        if got[:1] != b"O":
            raise AssertionError(f"{got!r}")

    def leave(self, sock):
        sock.sendall(packet(b"Q"))
        clients.receive_all(sock)

    def hold(self):
        sock = self.connect()
        self.exchange(sock)
        return sock

    def request(self, sock):
        """A connection of the MTA's client, which every filter wants to know."""
        sock.sendall(packet(b"C", b"client.example.com\x004" + struct.pack("!H", 25) + b"192.0.2.1\x00"))
        got = receive_packet(sock)
        if got[:1] not in b"car":
            raise AssertionError(f"{got!r}")

    def socket(self):
        return f"inet:{self.port}@127.0.0.1"

    def real_client(self):
        script = self.write("test.lua", f"""
conn = mt.connect("{self.socket()}", 40, 0.05)
if conn == nil then error("no connection") end
if mt.conninfo(conn, "localhost", "127.0.0.1") ~= nil then error("conninfo") end
if mt.mailfrom(conn, "user@example.com") ~= nil then error("mailfrom") end
if mt.rcptto(conn, "rcpt@example.org") ~= nil then error("rcptto") end
if mt.header(conn, "From", "user@example.com") ~= nil then error("header") end
if mt.header(conn, "Date", "Tue, 22 Dec 2009 13:04:12 -0800") ~= nil then error("header") end
if mt.header(conn, "Subject", "test") ~= nil then error("header") end
if mt.eoh(conn) ~= nil then error("eoh") end
{self.body()}
if mt.eom(conn) ~= nil then error("eom") end
{self.claim()}
mt.disconnect(conn)
""")
        must("miltertest", "-s", script)
        return 1

    def body(self):
        return 'if mt.bodystring(conn, "A test\\r\\n") ~= nil then error("body") end' if self.wants_body else ""

    def claim(self):
        return ""


class Opendkim(Milter):
    name, needs = "opendkim", ("/usr/sbin/opendkim", "/usr/bin/miltertest")

    def prepare(self):
        must("openssl", "genrsa", "-out", self.where / "key", "1024")
        (self.where / "key").chmod(0o644)
        self.write("opendkim.conf", f"""Socket {self.socket()}
Background no
Mode s
Domain example.com
Selector test
KeyFile {self.where}/key
RequireSafeKeys no
""")

    def command(self):
        return f"/usr/sbin/opendkim -f -x {self.where}/opendkim.conf"

    def claim(self):
        return """if not mt.eom_check(conn, MT_HDRINSERT, "DKIM-Signature") and
	not mt.eom_check(conn, MT_HDRADD, "DKIM-Signature") then error("not signed") end"""


class OpendkimUnix(Opendkim):
    """As behind Postfix in its chroot: opendkim removes the path and makes it, or so it believes."""

    name = "opendkim-unix"

    def socket(self):
        return f"local:{self.where}/sock"

    def ports(self):
        return [f"unix:{self.where}/sock"]

    def connect(self, source=None):
        return clients.connect(self.where / "sock", SECONDS)


class Opendmarc(Milter):
    name, needs = "opendmarc", ("/usr/sbin/opendmarc", "/usr/bin/miltertest")
    wants_body = False

    def prepare(self):
        self.write("opendmarc.conf", f"""Socket inet:{self.port}@127.0.0.1
Background false
AuthservID example.com
IgnoreAuthenticatedClients true
""")

    def command(self):
        return f"/usr/sbin/opendmarc -f -c {self.where}/opendmarc.conf"


class Spamass(Milter):
    name, needs = "spamass-milter", ("/usr/sbin/spamass-milter", "/usr/bin/miltertest")

    def command(self):
        # a port of spamd where nobody is: spamc then gives the message back as it was
        return f"/usr/sbin/spamass-milter -p inet:{self.port}@127.0.0.1 -- -d 127.0.0.1 -p 9 --connect-retries=1"


class PythonMilter(Milter):
    name, needs = "python3-milter", ("/usr/lib/python3/dist-packages/Milter/__init__.py",
                                     "/usr/bin/miltertest")

    def prepare(self):
        self.write("filter.py", f"""
import Milter
class Filter(Milter.Base):
	def connect(self, host, family, address):
		return Milter.CONTINUE
	def envfrom(self, sender, *words):
		return Milter.CONTINUE
	def envrcpt(self, recipient, *words):
		return Milter.CONTINUE
	def header(self, name, value):
		return Milter.CONTINUE
	def eoh(self):
		return Milter.CONTINUE
	def body(self, chunk):
		return Milter.CONTINUE
	def eom(self):
		self.addheader("X-Filtered", "yes")
		return Milter.ACCEPT
Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("filter", "inet:{self.port}@127.0.0.1", 60)
""")

    def command(self):
        return f"/usr/bin/python3 {self.where}/filter.py"

    def claim(self):
        return 'if not mt.eom_check(conn, MT_HDRADD, "X-Filtered", "yes") then error("no header") end'


ALL = (Opendkim, OpendkimUnix, Opendmarc, Spamass, PythonMilter)
