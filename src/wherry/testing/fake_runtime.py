"""A container runtime in memory, for tests of what drives one: no kernel, no privileges, virtual time if you like."""

from wherry.cri.fake import FakeRuntime
from wherry.cri.fake_programs import PROGRAMS, Process, Program

__all__ = ["PROGRAMS", "FakeRuntime", "Process", "Program"]
