"""Pseudo-terminals inside a container: opened from its own devpts, so that `tty` names a file that is there."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430


def open_pair() -> tuple[int, int]:
    """(master, slave) of a new terminal of the devpts at /dev/pts."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))[0]
    slave = os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave


def take(slave: int, uid: int, gid: int) -> None:
    """Make it the controlling terminal and standard streams of this session leader."""
    try:
        os.fchown(slave, uid, gid)
    except OSError:  # an id that is not mapped: the opener keeps it
        pass
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)


def resize(fd: int, columns: int, rows: int) -> None:
    """Tell the foreground program its new size."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
