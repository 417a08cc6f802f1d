"""A load of HTTP requests, one connection each, from a process of its own: web.py PORT CONCURRENCY COUNT, COUNT 0 =
until its standard input ends. Prints one JSON object: ok, failed, texts."""

import collections
import http.client
import json
import select
import subprocess
import sys
import threading

SECONDS = 30  # longest wait for an answer


class Web:
    """The handle of a running load."""

    def __init__(self, port, concurrency, count=0):
        self.process = subprocess.Popen([sys.executable, __file__, str(port), str(concurrency), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def wait(self, seconds=120):
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, "the load client itself failed"
        return json.loads(output)

    stop = wait  # communicate() closes its standard input first

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def get(port, path="/"):
    """The body of an answer with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return body
    finally:
        connection.close()


def work(port, take, results, texts):
    while take():
        try:
            get(port)
            results["ok"] += 1
        except (OSError, http.client.HTTPException) as error:
            results["failed"] += 1
            texts.append(repr(error))


def main():
    port, concurrency, count = map(int, sys.argv[1:])
    left, lock = [count], threading.Lock()

    def take():
        if not count:
            return not select.select([sys.stdin], [], [], 0)[0]
        with lock:
            left[0] -= 1
            return left[0] >= 0

    each = [(collections.Counter(), []) for _ in range(concurrency)]
    threads = [threading.Thread(target=work, args=(port, take, *one)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum((results for results, _ in each), collections.Counter())
    print(json.dumps({"ok": total["ok"], "failed": total["failed"], "texts": [t for _, ts in each for t in ts][:10]}))


if __name__ == "__main__":
    main()
