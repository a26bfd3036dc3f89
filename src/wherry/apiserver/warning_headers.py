"""Warnings of an answer as header values (RFC 9110's older sibling, RFC 7234 section 5.5), bounded as Kubernetes bounds them.

Texts together longer than `TOTAL_MAX` are cut to `ITEM_MAX` characters each, and what comes after the total is left out.
Not more than `COUNT_MAX` either: clients in Python read at most a hundred headers of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable

TOTAL_MAX = 4 * 1024
ITEM_MAX = 256
COUNT_MAX = 64


def warning_values(texts: Iterable[str]) -> list[str]:
    """One value per warning, each said once, in their order."""
    wanted = [text for text in dict.fromkeys(texts) if text][:COUNT_MAX]
    if sum(map(len, wanted)) > TOTAL_MAX:
        written, kept = 0, []
        for text in wanted:
            if written >= TOTAL_MAX:
                break
            kept.append(text[:ITEM_MAX])
            written += len(kept[-1])
        wanted = kept
    return [f'299 - "{_quoted(text)}"' for text in wanted]


def _quoted(text: str) -> str:
    """A text as RFC 9110 quotes it: one line of printable characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
