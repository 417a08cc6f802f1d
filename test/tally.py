"""Sums the results of meson's tests and of pytest; the last line of test/run.

tally.py FAILURES BUILD-DIR...: FAILURES is not 0 when a step failed as a whole (a build, say), which
no result file tells. Exits with 1 if anything failed.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as xml

MESON = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}


def add_meson(build, count):
    for line in (build / "meson-logs" / "testlog.json").read_text().splitlines():
        count[MESON.get(json.loads(line)["result"], "failed")] += 1


def add_pytest(build, count):
    for case in xml.parse(build / "integration.xml").iter("testcase"):
        told = {child.tag for child in case}
        if told & {"failure", "error"}:
            count["failed"] += 1
        else:
            count["skipped" if "skipped" in told else "passed"] += 1


def main():
    steps_failed, builds = int(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]]
    total = dict(passed=0, failed=0, skipped=0)
    for build in builds:
        for kind, add in (("meson", add_meson), ("integration", add_pytest)):
            count = dict.fromkeys(total, 0)
            try:
                add(build, count)
            except FileNotFoundError:
                continue
            print(f"{build!s:12} {kind:12}", ", ".join(f"{n} {what}" for what, n in count.items()))
            total = {what: n + count[what] for what, n in total.items()}
    if steps_failed and not total["failed"]:
        total["failed"] = 1  # a build broke, or pytest itself did
    print(", ".join(f"{n} {what}" for what, n in total.items()))
    return 1 if total["failed"] else 0


sys.exit(main())
