"""The same manifests, unchanged, in every tier: what each honours, and that whoever does not get something is told.

All are applied at once to the system that tests share. `make tiers` (WHERRY_WRITE_TIERS) writes what was seen down and into
docs/tiers.md; without it what is seen must be what is written there.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import features_of_files
import features_of_life
import features_of_network
import features_of_security
import pytest
import tier_table
import yaml
from kubectl import Kubectl
from tier_features import Feature, Seen
from wherry_system import PATIENCE, WherrySystem, until

_CODE = bytes.fromhex("31ff6a3c580f05")  # exit(0)
_AT = 0x400000
EXIT = (
    b"\x7fELF\2\1\1".ljust(16, b"\0")
    + struct.pack("=HHIQQQIHHHHHH", 2, 62, 1, _AT + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + struct.pack("=IIQQQQQQ", 1, 5, 0, _AT, _AT, 120 + len(_CODE), 120 + len(_CODE), 0x1000)
    + _CODE
)
"""A program for x86_64 that ends at once: an ELF header, one segment, three instructions. It needs nothing of any root."""
SETTLED_SECONDS = 3 * PATIENCE
"""All of them together, on a machine that does something else too."""


@pytest.fixture
def features(system: WherrySystem, tmp_path: Path) -> Iterator[list[Feature]]:
    """With what they need of the machine: an image of its own root, a file in /dev/shm."""
    folder = system.home / "own-root"
    folder.mkdir(exist_ok=True)
    (folder / "exit").write_bytes(EXIT)
    (folder / "exit").chmod(0o755)
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY exit /exit\nCMD ["/exit"]\n')
    system.wherry("build", str(folder), "-t", features_of_files.IMAGE_OF_ITS_OWN)
    mark = Path("/dev/shm") / features_of_security.MARK
    mark.touch()
    try:
        yield [
            *features_of_network.FEATURES,
            *features_of_network.made_for(system.port),
            *features_of_files.FEATURES,
            *features_of_life.FEATURES,
            *features_of_security.FEATURES,
        ]
    finally:
        mark.unlink()


def look(kubectl: Kubectl) -> dict[str, Seen]:
    """All pods, by name."""
    warnings: dict[str, list[tuple[str, str]]] = {}
    for event in kubectl.json("events", "--field-selector=involvedObject.kind=Pod,type=Warning")["items"]:
        warnings.setdefault(event["involvedObject"]["name"], []).append((event["reason"], event["message"]))
    pods = kubectl.json("pods")["items"]
    return {each["metadata"]["name"]: Seen(each, tuple(warnings.get(each["metadata"]["name"], ()))) for each in pods}


def observe(kubectl: Kubectl, features: list[Feature]) -> dict[str, str]:
    """Feature -> outcome. Raises AssertionError with all that are unknown in the end, or ignored in silence."""
    kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(obj for feature in features for obj in feature.objects))
    path = "{.items[*].status.conditions[?(@.type=='wherry.dev/Isolated')].message}"
    says = until(lambda: kubectl.path_of(path, "nodes"), "the Node says what it does not isolate")
    outcomes: dict[str, str] = {}
    wrong: list[str] = []
    waiting = list(features)
    end = time.monotonic() + SETTLED_SECONDS
    while waiting and time.monotonic() < end:
        pods = look(kubectl)
        for feature in list(waiting):
            try:
                found = feature.outcome(kubectl, pods.get(feature.pod, Seen({})), says)
            except AssertionError as error:
                wrong.append(str(error))
                found = "wrong"
            if found is not None:
                waiting.remove(feature)
                outcomes[feature.text] = worst(outcomes.get(feature.text), found)
    wrong += [f"{each.text}: nothing known of pod {each.pod or '-'} {pods.get(each.pod, Seen({}))}" for each in waiting]
    assert not wrong, "\n".join(wrong)
    return {each.text: outcomes[each.text] for each in features}


def worst(known: str | None, found: str) -> str:
    """Of several pods of one feature."""
    return found if known in (None, "yes") else known


@pytest.mark.timeout(SETTLED_SECONDS + 2 * PATIENCE)
def test_what_each_tier_honours(kubectl: Kubectl, features: list[Feature]) -> None:
    tier = kubectl.system.tier.name
    seen = observe(kubectl, features)
    for feature in features:
        if tier in feature.depends:
            other = feature.depends[tier].rpartition("else ")[2]
            assert seen[feature.text].partition(":")[0] in ("yes", other)
            seen[feature.text] = feature.depends[tier]
    if os.environ.get("WHERRY_WRITE_TIERS"):
        tier_table.keep(tier, seen)
    known = tier_table.load().get(tier, {})
    different = {
        text: (known.get(text), seen.get(text)) for text in {**known, **seen} if known.get(text) != seen.get(text)
    }
    assert different == {}, "docs/tiers.md says otherwise: `make tiers` writes what is seen"


def test_the_page_shows_what_was_seen() -> None:
    outcomes = tier_table.load()
    assert tuple(outcomes) == tier_table.TIERS
    assert tier_table.shown() == tier_table.section(outcomes)
