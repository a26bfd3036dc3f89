"""What a process of an idle system does not carry, nor a start wait for: libraries that are for others, or for later."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = {"yaml", "cryptography", "wherry.cel", "zoneinfo", "argparse", "difflib", "importlib.resources"}
IMPORT = """
import sys
from wherry.cluster import __main__ as entry
{prepare}
import {module}
print(*(name for name in sys.modules if sys.modules[name] is not None))
"""


@pytest.mark.parametrize(
    ("module", "prepare", "absent"),
    [
        ("wherry.cluster.system", "", LATER | {"asyncio", "ssl", "ctypes", "msgspec", "tempfile"}),
        ("wherry.cli.up", "", LATER | {"asyncio", "ssl", "ctypes", "msgspec", "http.client"}),  # before it starts something
        ("wherry.cluster.control_plane", "entry._import_lightly()", LATER | {"aiohttp", "typing_extensions", "email.utils"}),
        ("wherry.cluster.netd", "entry._import_lightly(); entry._do_without_openssl()", LATER | {"aiohttp", "ssl", "_hashlib"}),
        ("wherry.cluster.node_agent", "entry._import_lightly()", LATER | {"aiohttp", "h2", "wherry.apiserver"}),
    ],
)  # fmt: skip
def test_what_is_for_others_is_not_imported(module: str, prepare: str, absent: set[str]) -> None:
    script = IMPORT.format(module=module, prepare=prepare)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert absent & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    "arguments",
    ["", "netd", "netd --state", "nobody --state /x", "netd --state /x --more 1", "netd --state /x --node a"],
)
def test_arguments_that_make_no_sense(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    from wherry.cluster.__main__ import main

    assert main(arguments.split()) == 2
    assert "usage: " in capsys.readouterr().err
