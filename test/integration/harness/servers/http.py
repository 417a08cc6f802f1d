"""Servers of HTTP: with one process, with a master and children, with a thread or a process for each
connection, and one that serves one client after the other."""

from .. import clients
from . import base
from .base import Server, must

BODY = b"served\n"


class Http(Server):
    real = "/usr/bin/curl"

    def exchange(self, sock):
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = clients.receive_all(sock)
        if not (got.startswith(b"HTTP/1.") and b" 200 " in got[:20] and got.endswith(BODY)):
            raise AssertionError(f"{got!r}")

    def leave(self, sock):
        pass  # the server has closed

    def real_client(self):
        got = must("curl", "-sS", f"http://127.0.0.1:{self.port}/file")
        assert got.stdout == BODY.decode()
        return 1


class Kept(Http):
    """With connections that are kept for more requests."""

    def hold(self):
        sock = self.connect()
        self.request(sock)
        return sock

    def request(self, sock):
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while not got.endswith(BODY):
            more = sock.recv(4096)
            if not more:
                raise ConnectionResetError(f"closed behind {got!r}")
            got += more


class Nginx(Kept):
    name, needs = "nginx", ("/usr/sbin/nginx",)
    master = "off"

    def prepare(self):
        self.write("file", BODY.decode())
        w = self.where
        self.write("nginx.conf", f"""daemon off;
master_process {self.master};
worker_processes 2;
pid {w}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
	client_body_temp_path {w}/body; proxy_temp_path {w}/proxy; fastcgi_temp_path {w}/fastcgi;
	uwsgi_temp_path {w}/uwsgi; scgi_temp_path {w}/scgi;
	access_log {w}/access.log;
	server {{ listen 127.0.0.1:{self.port}; root {w}; }}
}}
""")

    def command(self):
        return f"/usr/sbin/nginx -e stderr -c {self.where}/nginx.conf"


class NginxMaster(Nginx):
    name, master, has_children = "nginx-master", "on", True


class Lighttpd(Kept):
    name, needs = "lighttpd", ("/usr/sbin/lighttpd",)

    def prepare(self):
        self.write("file", BODY.decode())
        self.write("lighttpd.conf", f"""server.modules = ("mod_accesslog")
server.document-root = "{self.where}"
server.bind = "127.0.0.1"
server.port = {self.port}
accesslog.filename = "{self.where}/access.log"
accesslog.format = "%h %r %s"
""")

    def command(self):
        return f"/usr/sbin/lighttpd -D -f {self.where}/lighttpd.conf"


class Haproxy(Kept):
    name, needs = "haproxy", ("/usr/sbin/haproxy",)

    def prepare(self):
        self.write("haproxy.cfg", f"""global
	log stderr format raw local0
	maxconn 100
	nbthread 2
defaults
	mode http
	log global
	option httplog
	timeout client 20s
	timeout server 20s
	timeout connect 5s
frontend front
	bind 127.0.0.1:{self.port}
	http-request return status 200 content-type text/plain string "served\\n"
""")

    def command(self):
        return f"/usr/sbin/haproxy -db -f {self.where}/haproxy.cfg"


class HaproxyMaster(Haproxy):
    name, has_children = "haproxy-master", True

    def command(self):
        return f"/usr/sbin/haproxy -W -f {self.where}/haproxy.cfg"


class Node(Kept):
    name, needs = "node", ("/usr/bin/node",)

    def prepare(self):
        self.write("server.js", f"""
const http = require('http'), fs = require('fs');
http.createServer((request, response) => {{
	fs.appendFileSync('{self.where}/access.log', request.socket.remoteAddress + '\\n');
	response.end('served\\n');
}}).listen({self.port}, '127.0.0.1');
""")

    def command(self):
        return f"/usr/bin/node {self.where}/server.js"

    def request(self, sock):
        """Its answer is chunked or has a length; either way the body comes last or nearly."""
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while BODY not in got:
            more = sock.recv(4096)
            if not more:
                raise ConnectionResetError(f"closed behind {got!r}")
            got += more


class Caddy(Kept):
    """A program of Go: adapted by its system calls."""

    name, needs, ends_are_told_late = "caddy", ("/usr/bin/caddy",), True

    def prepare(self):
        self.write("file", BODY.decode())
        self.write("Caddyfile", f"""{{
	admin off
	auto_https off
}}
http://:{self.port} {{
	bind 127.0.0.1
	log {{
		output file {self.where}/access.log
	}}
	root * {self.where}
	file_server
}}
""")

    def command(self):
        return f"/usr/bin/caddy run --adapter caddyfile --config {self.where}/Caddyfile"

    @property
    def options(self):
        return {"ENVIRONMENT": f"HOME={self.where}"}


class Python(Http):
    """The http.server of the standard library, as a few lines make a server of it."""

    kind, needs = "http.server.ThreadingHTTPServer", ("/usr/bin/python3",)

    def prepare(self):
        self.write("server.py", f"""
import http.server, socketserver, sys
class Forking(socketserver.ForkingMixIn, http.server.HTTPServer):
	pass
class Handler(http.server.BaseHTTPRequestHandler):
	def do_GET(self):
		self.send_response(200)
		self.end_headers()
		self.wfile.write(b"served\\n")
	def log_message(self, format, *args):
		with open("{self.where}/access.log", "a") as log:
			log.write(self.client_address[0] + "\\n")
{self.kind}(("127.0.0.1", {self.port}), Handler).serve_forever()
""")

    def command(self):
        return f"/usr/bin/python3 {self.where}/server.py"


class PythonBlocking(Python):
    name, kind = "python-blocking", "http.server.HTTPServer"
    options = {"MAX_CONNS": 1}  # one client after the other
    clients = 2


class PythonThreads(Python):
    name = "python-threads"


class PythonForking(Python):
    name, kind, has_children = "python-forking", "Forking", True


class PythonAsyncio(Python):
    name = "python-asyncio"

    def prepare(self):
        self.write("server.py", f"""
import asyncio
async def serve(reader, writer):
	await reader.readuntil(b"\\r\\n\\r\\n")
	with open("{self.where}/access.log", "a") as log:
		log.write(writer.get_extra_info("peername")[0] + "\\n")
	writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nserved\\n")
	await writer.drain()
	writer.close()
async def main():
	server = await asyncio.start_server(serve, "127.0.0.1", {self.port})
	async with server:
		await server.serve_forever()
asyncio.run(main())
""")


ALL = (Nginx, NginxMaster, Lighttpd, Haproxy, HaproxyMaster, Node, Caddy, PythonBlocking, PythonThreads,
       PythonForking, PythonAsyncio)
