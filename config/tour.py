"""Says what a freshly started example offers: config/try runs this.

tour.py DISPATCHERCTL CONTROL-SOCKET PID MAILDIR: waits until every service is open, then prints what to try.
"""

import json
import os
import subprocess
import sys
import time

WAIT_SECONDS = 15


def ask(ctl, socket):
    run = subprocess.run([ctl, "-s", socket, "status", "--json"], capture_output=True, text=True)
    return json.loads(run.stdout)["services"] if run.returncode == 0 else None


def is_ready(service):
    return service["state"] != "open" or any(w["state"] == "serving" for w in service["workers"])


def wait_for_services(ctl, socket, pid):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        os.kill(pid, 0)  # raises when the dispatcher has ended
        services = ask(ctl, socket)
        if services and all(is_ready(service) for service in services):
            return services
        time.sleep(0.1)
    sys.exit("The dispatcher does not answer; its messages stand above.")


def command(service, address, tls):
    """The command line that talks to a listener."""
    if service == "smtp":
        return f"swaks --server {address} --to you@example.org {'--tlsc' if tls else '--tls'}"
    if address.startswith("unix:"):
        return f"nc -U {address[5:]}"
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    return f"nc {host} {port}"


def main():
    ctl, socket, pid, maildir = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    try:
        services = wait_for_services(ctl, socket, pid)
    except ProcessLookupError:
        sys.exit("The dispatcher has ended; its messages stand above.")
    print("\nThe dispatcher runs. In another terminal try:\n")
    for service in services:
        if service["state"] != "open":
            print(f"  {service['name']}: {service['state']} ({service['why']})")
            continue
        for listener in service["listeners"]:
            print(f"  {command(service['name'], listener['address'], listener.get('tls')):70} # {service['name']}")
    print(f"\nMail comes into {maildir}/new. And look at it all with\n\n  {ctl} -s {socket} status")
    print("\nand kill a worker, the acceptor, or both, while you are connected. Ctrl-C ends it all.\n",
          flush=True)


main()
