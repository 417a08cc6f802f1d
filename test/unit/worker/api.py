#!/usr/bin/python3
"""worker.h, the version script, the shared library and the man page know the same functions."""
import pathlib
import re
import subprocess
import sys

root, library = pathlib.Path(sys.argv[1]), sys.argv[2]
header = (root / 'worker/worker.h').read_text()
script = (root / 'worker/libdispatcher-worker.map').read_text()
man = (root / 'worker/libdispatcher-worker.3.scd').read_text()
ops = re.search(r'struct worker_ops \{(.*?)\n\};', header, re.DOTALL)[1]

declared = set(re.findall(r'^[a-z].*?\**\b(worker_\w+)\(', header, re.MULTILINE))
symbols = subprocess.run(['nm', '-D', '--defined-only', library], check=True, capture_output=True, text=True).stdout
exported = {name.partition('@')[0] for name in re.findall(r' T (\S+)', symbols)}
explained = {name for name in declared if f'{name}(' in man}
callbacks = set(re.findall(r'\(\*(\w+)\)', ops))

wrong = [f'{name}: declared, not in the version script' for name in declared - set(re.findall(r'worker_\w+', script))]
wrong += [f'{name}: exported, not declared' for name in exported - declared]
wrong += [f'{name}: declared, not exported' for name in declared - exported]
wrong += [f'{name}: not in the man page' for name in declared - explained]
wrong += [f'{name}: callback not in the man page' for name in callbacks if name not in man]
print('\n'.join(sorted(wrong)) or f'{len(declared)} functions, {len(callbacks)} callbacks')
sys.exit(bool(wrong))
