"""A file whose pages never come: memory that a hostile worker receives into.

A minimal FUSE server over /dev/fuse (fuse(4)): one file, which may be looked up, opened and mapped;
reads of it are never answered until release() or unmount(). Needs root.
"""

import ctypes
import os
import stat
import struct
import threading

HEAD_IN, HEAD_OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, ACCESS = (
    1, 2, 3, 14, 15, 18, 25, 26, 27, 34)
INTERRUPT, BATCH_FORGET = 36, 42
ROOT, FILE = 1, 2
ENOSYS = 38
SIZE = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)


def attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o666
    return struct.pack("<6Q10I", node, SIZE, SIZE // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0,
                       0, 4096, 0)


class SilentFile:
    """self.path may be mapped; touching the memory blocks."""

    def __init__(self, directory):
        self.mount_point = str(directory)
        self.path = os.path.join(self.mount_point, "file")
        self.device = os.open("/dev/fuse", os.O_RDWR)
        self.asked = threading.Event()  # somebody is blocked in a read
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"silent", self.mount_point.encode(), b"fuse", 6, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                request = os.read(self.device, SIZE)
            except OSError:  # ENODEV: unmounted; EBADF: closed
                return
            length, opcode, unique, node, *_ = HEAD_IN.unpack_from(request)
            if opcode == READ:
                self.asked.set()
                continue
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            error, body = self.answer(opcode, node)
            head = HEAD_OUT.pack(HEAD_OUT.size + len(body), -error, unique)
            try:
                os.write(self.device, head + body)
            except OSError:
                return

    @staticmethod
    def answer(opcode, node):
        if opcode == INIT:
            return 0, struct.pack("<4I2H2I2H8I", 7, 31, 4096, 0, 1, 1, 4096, 1, 1, 0, *[0] * 8)
        if opcode == LOOKUP:
            return 0, struct.pack("<QQQQII", FILE, 0, 1, 1, 0, 0) + attributes(FILE)
        if opcode == GETATTR:
            return 0, struct.pack("<QII", 1, 0, 0) + attributes(node)
        if opcode in (OPEN, OPENDIR):
            return 0, struct.pack("<QII", 1, 0, 0)
        if opcode in (RELEASE, FLUSH, ACCESS):
            return 0, b""
        return ENOSYS, b""

    def unmount(self):
        """Whoever is blocked gets an error: the connection is aborted."""
        if self.device < 0:
            return
        libc.umount2(self.mount_point.encode(), 1)  # MNT_FORCE aborts what is asked
        libc.umount2(self.mount_point.encode(), 2)
        os.close(self.device)
        self.device = -1
