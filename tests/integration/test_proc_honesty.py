"""Tier proc says what it does not give: events of refused calls, once each, and what the launcher says of itself."""

from __future__ import annotations

import asyncio

import pytest
from runtime_world import PATIENCE_SECONDS, World, proc_launcher, world

from wherry.launcher.proc.refused_calls import NO_FOREIGN, NO_IO_URING

__all__ = ["world"]

IO_URING = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(5):
    assert libc.syscall(425, 8, ctypes.create_string_buffer(120)) == -1
    print(os.strerror(ctypes.get_errno()), flush=True)
"""
BY_THE_OLD_DOOR = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000cd80c3"))  # getpid of i386, by int 0x80
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("it went on")
"""
SIGSYS, SIGSEGV = 31, 11

launcher = proc_launcher(both_ways=False)


async def noticed(world: World, script: str) -> tuple[int, str, list[str]]:
    """Exit code and output of a Python program, and what was said of it until it had ended."""
    sandbox = await world.sandbox()
    notices: list[str] = []
    listening = asyncio.Event()

    async def listen() -> None:
        async for event in world.runtime.events():
            listening.set()
            if event.type == "notice":
                assert event.sandbox_id == sandbox
                notices.append(event.text)

    async with asyncio.timeout(PATIENCE_SECONDS):
        task = asyncio.create_task(listen())
        while not listening.is_set():  # something has to happen for the first event to come
            await world.run(sandbox, ["true"])
        code, text = await world.run(sandbox, ["python3", "-c", script])
        await world.run(sandbox, ["true"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return code, text, notices


async def test_io_uring_is_refused_and_the_pod_is_told_once(world: World) -> None:
    code, text, notices = await noticed(world, IO_URING)
    if text == "Operation not permitted\n" * 5:
        pytest.skip("an outer container refuses it first")
    assert (code, text) == (0, "Function not implemented\n" * 5)
    assert notices == [NO_IO_URING]


async def test_a_program_of_32_bits_ends_and_the_pod_is_told(world: World) -> None:
    code, text, notices = await noticed(world, BY_THE_OLD_DOOR)
    if code == 128 + SIGSEGV:
        pytest.skip("the kernel has no calls of 32 bits")
    assert (code, text) == (128 + SIGSYS, "")
    assert notices == [NO_FOREIGN]


async def test_the_launcher_says_what_it_does_not_keep_apart(world: World) -> None:
    about = await world.runtime.status()
    assert about["not_isolated"].startswith("processes of all pods see one another and run as one user; ")
