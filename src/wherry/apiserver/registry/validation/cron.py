"""Is this a schedule? Five fields of cron, or a descriptor such as @daily and @every 1h30m.

Only syntax: when it fires next is the CronJob controller's. Texts follow the parser Kubernetes uses.
"""

from __future__ import annotations

import re

DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: i for i, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*\Z")


def problem(schedule: str) -> str:
    """What is wrong with it, "" when nothing is."""
    text = schedule.strip()
    if not text:
        return "empty spec string"
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, bounds in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            found = _part(part, *bounds)
            if found:
                return found
    return ""


def _descriptor(text: str) -> str:
    if text in DESCRIPTORS:
        return ""
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        return (
            "" if _DURATION.match(duration) else f"failed to parse duration {text}: time: invalid duration {duration!r}"
        )
    return f"unrecognized descriptor: {text}"


def _part(text: str, low: int, high: int, words: dict[str, int]) -> str:
    """`*`, `5`, `1-5`, `*/15`, `mon-fri/2`."""
    span, slash, step = text.partition("/")
    if "/" in step:
        return f"too many slashes: {text}"
    if slash:
        if not step.isdigit():
            return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
        if int(step) == 0:
            return f"step of range should be a positive number: {text}"
    if span in ("*", "?"):
        return ""
    first, dash, last = span.partition("-")
    if "-" in last:
        return f"too many hyphens: {text}"
    numbers = []
    for word in (first, last) if dash else (first,):
        number = words.get(word.lower())
        if number is None:
            if not word.isdigit():
                return f'failed to parse int from {word}: strconv.Atoi: parsing "{word}": invalid syntax'
            number = int(word)
        numbers.append(number)
    start, end = numbers[0], numbers[-1]
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return ""
