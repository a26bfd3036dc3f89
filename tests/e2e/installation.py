"""An installation of Wherry that an ordinary user can run, when the tests themselves run as root.

Root's interpreter and a checkout in root's home are closed to others, so the user gets a virtual environment of the
machine's own python3 with this package and all it depends on, copied from where the tests run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import wherry

MACHINE_PYTHON = "/usr/bin/python3"


def unavailable() -> str:
    """Why no such installation can be made here; empty when it can."""
    asked = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([MACHINE_PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{MACHINE_PYTHON} cannot make virtual environments: {error}"
    ours = "{}.{}".format(*sys.version_info)
    return (
        "" if found == ours else f"{MACHINE_PYTHON} is {found}, the packages installed for these tests are for {ours}"
    )


def install(directory: Path, *more: str) -> Path:
    """Make it in `directory`, with `more` distributions; the path of its python."""
    subprocess.run([MACHINE_PYTHON, "-m", "venv", "--without-pip", directory], check=True)
    [target] = directory.glob("lib/python*/site-packages")
    passing = shutil.ignore_patterns("*.nbi", "*.pyc.*")  # the second are files that other processes are just writing
    shutil.copytree(Path(wherry.__file__).parent, target / "wherry", ignore=passing, dirs_exist_ok=True)
    own = metadata.distribution("wherry")  # the package's facts: pytest finds the plugin by them
    facts = target / f"wherry-{own.version}.dist-info"
    facts.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (facts / name).write_text(own.read_text(name) or "")
    for distribution in _needed("wherry", "kubernetes", "uvicorn", "uvloop", *more):
        for file in distribution.files or []:
            if ".." not in file.parts:
                _link(Path(str(distribution.locate_file(file))), target / file)
    return directory / "bin" / "python"


def _needed(*names: str) -> list[metadata.Distribution]:
    """What they and their dependencies are, without our own package."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        for requirement in found[name].requires or []:
            if "extra ==" not in requirement:
                waiting += [re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower()]
    found.pop("wherry", None)
    return list(found.values())


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy2(source, target)
