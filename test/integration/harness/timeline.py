"""The life of a pool, replayed from its log: what held at every moment, not just when we looked."""

import re

KEYS = re.compile(r"(\w+)=(\"(?:[^\"\\]|\\.)*\"|\S+)")


def parse(line):
    """(event, {key: value}) of a log line."""
    words = line.split(" ", 3)
    return words[2], dict(KEYS.findall(words[3] if len(words) > 3 else ""))


class Timeline:
    """States of the workers of one service after each event."""

    def __init__(self, log, service):
        self.moments = []  # (line, serving, retiring)
        self.exits = {}    # worker: keys of its exit
        self.retired = {}  # worker: reason
        state = {}
        for line in log.splitlines():
            if " worker." not in line:
                continue
            event, keys = parse(line)
            worker = keys.get("worker", "")
            if worker.partition("/")[0].lower() != service.lower():
                continue
            self.replay(event, worker, keys, state)
            count = list(state.values()).count
            self.moments.append((line, count("serving"), count("retiring")))

    def replay(self, event, worker, keys, state):
        if event == "worker.ready":
            state[worker] = "serving"
        elif event == "worker.retire":
            state[worker] = "retiring"
            self.retired[worker] = keys["reason"]
        elif event == "worker.exit":
            state.pop(worker, None)
            self.exits[worker] = keys

    def most_retiring(self):
        return max((retiring for _, _, retiring in self.moments), default=0)

    def fewest_serving(self, at_least_once):
        """The fewest that served at a time, from when so many did for the first time, until the end
        of the last moment that was not part of a shutdown."""
        counts = [serving for _, serving, _ in self.moments]
        return min(counts[counts.index(at_least_once):])
