"""The programs under test in one directory that every user may read.

A clone may lie below a directory that is closed to others (root's home, say), where a worker that
runs as another user could not be executed.
"""

import os
import pathlib
import shutil
import tempfile

WANTED = ("dispatcher/dispatcher", "dispatcher/dispatcherctl", "dispatcher/dispatcher-keys",
          "worker/dispatcher-echo", "worker/dispatcher-exec", "worker/dispatcher-notify",
          "worker/dispatcher-preload.so", "worker/dispatcher-smtp")


class Stage:
    """Copies of the programs of one build directory in self.bin; removed at the end."""

    def __init__(self, build, keep=False):
        self.keep = keep
        self.build, self.count = pathlib.Path(build).resolve(), 0
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="dispatcher-test-"))
        self.root.chmod(0o755)
        self.bin = self.root / "bin"
        self.bin.mkdir(mode=0o755)
        for path in self.programs():
            shutil.copy(path, self.bin / path.name)
            (self.bin / path.name).chmod(0o755)

    def programs(self):
        for name in WANTED:
            if (self.build / name).exists():
                yield self.build / name
        folder = self.build / "test" / "integration" / "workers"
        for path in sorted(folder.iterdir()):
            if path.is_file() and os.access(path, os.X_OK) and not path.suffix:
                yield path

    def has(self, name):
        return (self.bin / name).exists()

    def program(self, name):
        return self.bin / name

    def fresh_directory(self):
        self.count += 1
        path = self.root / f"t{self.count}"
        path.mkdir(mode=0o755)
        return path

    def remove(self):
        if self.keep:
            print(f"\nkept: {self.root}")
            return
        shutil.rmtree(self.root, ignore_errors=True)
