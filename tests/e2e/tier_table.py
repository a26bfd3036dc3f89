"""What the three tiers were seen to honour: kept in what_tiers_honour.json, shown as a table in docs/tiers.md.

Always true of the repository: the page's table is what `render` makes of the file (tests/test_docs.py), and what a run of the
tests sees is what the file says (test_what_tiers_honour.py). `make tiers` writes both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEPT = Path(__file__).parent / "what_tiers_honour.json"
PAGE = ROOT / "docs" / "tiers.md"
TIERS = ("ns-root", "ns-user", "proc")
_MARKS = ("<!-- made by `make tiers` -->\n", "<!-- end -->")
_SECTION = re.compile(f"{re.escape(_MARKS[0])}.*?{re.escape(_MARKS[1])}", re.DOTALL)

Outcomes = dict[str, dict[str, str]]
"""Tier -> feature -> outcome."""


def load() -> Outcomes:
    found: Outcomes = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def keep(tier: str, outcomes: Mapping[str, str]) -> None:
    """Write down what a tier was seen to do, and the page."""
    everything = {**load(), tier: dict(outcomes)}
    ordered = {name: everything[name] for name in TIERS if name in everything}
    KEPT.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(_SECTION.sub(lambda _: section(ordered), PAGE.read_text()))


def section(outcomes: Outcomes) -> str:
    """The marked part of the page."""
    return f"{_MARKS[0]}\n{render(outcomes)}\n{_MARKS[1]}"


def shown() -> str:
    """The same, as the page has it."""
    found = _SECTION.search(PAGE.read_text())
    return found[0] if found else ""


def render(outcomes: Outcomes) -> str:
    rows = list(dict.fromkeys(text for of_tier in outcomes.values() for text in of_tier))
    lines = ["| | " + " | ".join(f"`{tier}`" for tier in TIERS) + " |", "|---|---|---|---|"]
    for text in rows:
        cells = (outcomes.get(tier, {}).get(text, "") for tier in TIERS)
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
