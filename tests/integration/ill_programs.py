"""What programs that try to get what they were not given begin with, and where files lie that they shall not get."""

from __future__ import annotations

import os
from pathlib import Path

HIDDEN = os.geteuid() != 0
ELSEWHERE = str(Path.home()) if HIDDEN else "/var/lib"
"""Where pods see the machine's own files: in /tmp they see theirs. An ordinary user has none such outside the home, whose files
pods may not open, nor have copied."""
SAYS = """
import ctypes, errno, fcntl, os, signal, socket, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def says(what, call):
    try:
        print(what, call(), flush=True)
    except OSError as error:
        print(what, errno.errorcode.get(error.errno, error.errno), flush=True)
"""
