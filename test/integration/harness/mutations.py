"""Files that differ from a working one by one line, made from the table of options: those that must be
taken and those that must be refused, every option at least once in either kind."""

import json
import os
import resource
import subprocess

# What harms neither the load of a test nor the machine. An option that is not here has a value of its
# type within its range.
HARMLESS = {
    "MIN_PROCS": ["1", "2", "3"], "MAX_PROCS": ["6", "7", "8"],
    "MIN_CONNS": ["4", "10", "20"], "MAX_CONNS": ["40", "60", "64"],
    "MAX_LIFE_CONNS": ["5000", "100000"], "MAX_LIFE_TIME": ["1h", "2d"], "MAX_IDLE_TIME": ["2s", "1h"],
    "MAX_SHUTDOWN": ["1", "3"], "MAX_HANDOFFS": ["16", "100"], "START_TIMEOUT": ["20s", "40s"],
    "HANDOFF_TIMEOUT": ["900ms", "2s"], "HANG_TIMEOUT": ["60s", "1h"], "MAX_MEMORY": ["8G", "16G"],
    "DRAIN_TIMEOUT": ["1h", "2h"], "SHUTDOWN_TIMEOUT": ["20s", "30s"], "KILL_TIMEOUT": ["5s", "8s"],
    "CONNECTION_TIMEOUT": ["60s", "1h"], "MAX_CONNS_PER_SOURCE": ["5000", "6000"],
    "BACKLOG": ["200", "300"], "STACKSIZE": ["64K", "1M"], "DEBUG": ["4", "16%40"],
    "NICE": ["1", "2"], "STOP_SIGNAL": ["QUIT", "sigint", "12"],
    "REFUSE_TEXT": ["421 4.3.2 too busy, try later", ""], "QUEUE_SIZE": ["1", "1024"],
    "TLS_CIPHERS": ["ECDHE+AESGCM", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE+CHACHA20"],
    "TLS_CIPHERSUITES": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"],
    "TLS_GROUPS": ["P-256", "X25519:P-521"],
    "TLS_HANDSHAKE_TIMEOUT": ["10s", "20s"], "TLS_TICKET_LIFETIME": ["1h", "1d"],
}

# The most that a limit is given; less where the machine itself allows less, as nobody may raise that.
LIMITS = {"LIMIT_CPU": 3600, "LIMIT_CORE": 0, "LIMIT_FSIZE": 1 << 30, "LIMIT_MEMLOCK": 1 << 16,
          "LIMIT_MSGQUEUE": 0, "LIMIT_NOFILE": 600, "LIMIT_RTPRIO": 0, "LIMIT_SIGPENDING": 1000,
          "LIMIT_STACK": 8 << 20}

GARBAGE = {
    "number": "many", "time": "5 fortnights", "size": "12Q", "bool": "perhaps", "mask": "-2", "mode": "999",
    "nice": "20", "prefix_bits": "33/64", "path": "not/a/full/path", "logfile": "nowhere",
    "user": "no-such-user-here", "group": "no-such-group-here", "run_user": "no-such-user-here",
    "run_group": "no-such-group-here", "run_groups": "no-such-group-here", "rlimit_number": "infinite",
    "rlimit_size": "3 elephants", "rlimit_time": "ever", "pairs": "=nameless", "variables": "1A=digit",
    "sources": "10.0.0.0/33", "ports": "99999", "addresses": "300.1.1.1", "image": "",
    "command": "/bin/sh -c 'open", "tls_ports": "99999", "word": "sometimes", "signal": "STOP", "text": "x" * 511,
    "said": "two words", "file": "not/a/full/path", "files": "not/a/full/path", "sni": "name-without-files",
    "protocols": "x" * 300,
}

ECHO_SERVER = """import socketserver, sys
class Session(socketserver.StreamRequestHandler):
	def handle(self):
		while data := self.request.recv(65536):
			self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
	daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
"""


def server(directory, port):
    """The lines of an echo service that was never changed for us."""
    path = directory / "echo.py"
    path.write_text(ECHO_SERVER)
    path.chmod(0o644)
    return f"ADAPTER=server\nCOMMAND=/usr/bin/python3 {path} {port}"


def limit(name):
    hard = resource.getrlimit(getattr(resource, name.replace("LIMIT_", "RLIMIT_")))[1]
    most = LIMITS.get(name, resource.RLIM_INFINITY)
    known = [one for one in (hard, most) if one != resource.RLIM_INFINITY]
    return str(min(known)) if known else "unlimited"


class Mutation:
    """file: its text; line: what differs; taken: by -t; reloads: by a running dispatcher, too."""

    def __init__(self, file, line, where, taken, reloads):
        self.file, self.line, self.where, self.taken, self.reloads = file, line, where, taken, reloads

    def __repr__(self):
        return f"{self.line!r} in {self.where}"


class Mutator:
    """A base file of sections by name ("" before the first); programs that stand in for one another;
    ports that are free."""

    def __init__(self, stage, random, base, victim, images, commands, free_port, directory):
        self.random, self.base, self.victim = random, base, victim
        self.images, self.commands = [str(path) for path in images], commands
        self.free_port, self.directory = free_port, directory
        self.options = json.loads(subprocess.run([stage.program("options")], check=True,
                                                 capture_output=True, text=True).stdout)

    # --- files ---

    def text(self, where=None, line=None, without=()):
        """The base with a line more in one section, and without the lines of some options there."""
        parts = []
        for name, lines in self.base.items():
            kept = [one for one in lines
                    if name != where or one.partition("=")[0] not in without]
            parts.append(f"[SERVICE={name}]" if name else "")
            parts += kept + ([line] if name == where else [])
        return "\n".join(parts) + "\n"

    # --- values ---

    def number(self, option):
        low, high = option["min"], option["max"] or 1000
        return str(self.random.randint(low, min(high, low + 1000)))

    def value(self, option):
        """One that is right for the victim on this machine."""
        if option["type"].startswith("rlimit"):
            return limit(option["name"])
        if option["name"] in HARMLESS:
            return self.random.choice(HARMLESS[option["name"]])
        root = os.getuid() == 0
        me, mine = ("games", "games") if root else (str(os.getuid()), str(os.getgid()))
        choices = {
            "bool": ["0", "1"], "mask": ["0", "1"], "mode": ["0600", "022", "0666"], "nice": ["1"],
            "prefix_bits": ["24/56", "32/128"], "path": [str(self.directory), "/"],
            "logfile": [f"{self.directory}/mutant.log", "stderr"], "user": [me], "group": [mine],
            "run_user": [me], "run_group": [mine], "run_groups": ["games", "games,tty"],
            "pairs": ["COLOUR=green", "A=b = c"], "variables": ["COLOUR=green", "A="],
            "sources": ["192.0.2.0/24", "2001:db8::/32"],
            "ports": [f"127.0.0.1:{self.free_port()}", f"unix:{self.directory}/m{self.free_port()}"],
            "addresses": ["127.0.0.2", "127.0.0.1,127.0.0.3"], "image": self.images, "command": self.commands,
            "tls_ports": [f"127.0.0.1:{self.free_port()}"], "protocols": ["smtp", "h2,http/1.1"],
            "file": [f"{self.directory}/tls.pem"], "files": [f"{self.directory}/tls.pem"],
            "sni": [f"*.example.org {self.directory}/tls.pem {self.directory}/tls.pem"],
            "word": option["words"].split(), "not_enforced": ["rbl.example.org"], "without_meaning": ["1"],
        }
        if option["type"] in choices:
            return self.random.choice(choices[option["type"]])
        return self.number(option)

    def server(self):
        """In the victim's place."""
        port = next(line for line in self.base[self.victim] if line.startswith("PORT=")).removeprefix("PORT=")
        return server(self.directory, port)

    # --- mutations ---

    def places(self, option):
        """Where the option may stand. A list in the defaults would change nothing or everything."""
        found = []
        if option["in_service"]:
            found.append(self.victim)
        if option["own"]:
            found.append("DISPATCHER")
        if option["default"] and (option["name"] in HARMLESS or option["type"].startswith("rlimit")):
            found.append("")
        return found

    def valid(self, option):
        """None: no file that has it can be taken here."""
        name, root = option["name"], os.getuid() == 0
        if option["type"] == "run_groups" and not root:
            return None
        where = self.random.choice(self.places(option))
        line = f"{name}={self.value(option)}"
        without = [name] if option["type"] != "ports" or self.random.random() < 0.5 else []
        if option["type"] == "command":
            without.append("IMAGE")
        if name == "ADAPTER":
            line = self.random.choice(["ADAPTER=native", f"ADAPTER=inetd\nCOMMAND={self.commands[0]}",
                                       self.server()])
            without += ["IMAGE"] if "COMMAND" in line else []
        if name == "ADAPTER_METHOD":
            line = f"{line}\n{self.server()}"
            without.append("IMAGE")
        return Mutation(self.text(where, line, without), line, where, True,
                        not (where == "DISPATCHER" and self.cannot_change(option)))

    def cannot_change(self, option):
        """While it runs; and without its programs no new worker becomes ready. Without root nobody runs
        as another user, and the same user is no change."""
        restart = option["own_restart"] and (os.getuid() == 0 or option["type"] == "path")
        return restart or option["name"] == "WORKER_DIR"

    def invalid(self, option):
        name, kind = option["name"], self.random.choice(["garbage", "range", "misspelt", "place"])
        where = self.random.choice(self.places(option))
        if kind == "range" and option["max"]:
            return self.refused(where, f"{name}={option['max'] * 2**20}")
        if kind == "place" and not option["own"] and option["in_service"]:
            return self.refused("DISPATCHER", f"{name}={self.value(option)}")
        if kind != "misspelt" and option["type"] in GARBAGE:
            return self.refused(where, f"{name}={GARBAGE[option['type']]}")
        return self.refused(where, f"{name}XQ=1")

    def refused(self, where, line):
        return Mutation(self.text(where, line), line, where, False, False)

    def make(self, kind, count):
        """count mutations, every option before any comes again."""
        made = []
        while len(made) < count:
            for option in self.random.sample(self.options, len(self.options)):
                mutation = kind(option)
                if mutation and len(made) < count:
                    made.append(mutation)
        return made
