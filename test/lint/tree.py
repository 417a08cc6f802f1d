"""The files of the source tree, as the checks here look at them."""
import pathlib
import re
import subprocess
import sys

FOLDERS = ('common', 'config', 'dispatcher', 'worker', 'test')
PRODUCT = FOLDERS[:4]

_INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


class Tree:
    """Everything under one root; paths are relative to it, with slashes."""

    def __init__(self, root):
        self.root = pathlib.Path(root)

    def files(self, folders, *suffixes):
        """Sorted paths of the files with one of these suffixes in these folders."""
        found = []
        for folder in folders:
            found += [path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob('*')
                      if path.suffix in suffixes and path.is_file()]
        return sorted(found)

    def text(self, path):
        return (self.root / path).read_text(encoding='utf-8')

    def lines(self, path):
        return self.text(path).splitlines()

    def includes(self, path):
        """(line number, True for "quotes" and False for <brackets>, what is included)."""
        for number, line in enumerate(self.lines(path), 1):
            match = _INCLUDE.match(line)
            if match:
                yield number, match[1] == '"', match[2]

    def top_level(self):
        """Names at the top: what is under version control, or everything where there is none."""
        listed = subprocess.run(['git', '-C', self.root, 'ls-files', '--cached', '--others', '--exclude-standard'],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if listed.returncode == 0 and listed.stdout:
            return sorted({line.split('/')[0] for line in listed.stdout.splitlines()})
        return sorted(path.name for path in self.root.iterdir() if not path.name.startswith('build'))


def main(check):
    """Runs check(tree), which yields complaints; the exit status says whether there were any."""
    complaints = list(check(Tree(sys.argv[1] if len(sys.argv) > 1 else '.')))
    print('\n'.join(complaints) if complaints else 'nothing to complain of')
    return 1 if complaints else 0
