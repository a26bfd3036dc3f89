"""Formats of strings that a schema may ask for; any other format says nothing.

Source: Kubernetes' documentation of CustomResourceDefinition validation, which lists the formats of OpenAPI v3 it checks.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?")
_DURATION: Final = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?:ns|us|µs|ms|s|m|h|d|w)(?:\s*\d+(?:\.\d*)?\s*[a-zµ]+)*|0"
)
_LONG_DURATION: Final = re.compile(
    r"\d+(?:\.\d+)?\s?(?:nanoseconds?|microseconds?|milliseconds?|seconds?|minutes?|hours?|days?|weeks?)"
)
_HOST: Final = re.compile(r"(?=.{1,255}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]{1,63})*\.?")
_MAC: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
_ISBN10: Final = re.compile(r"(?:\d[ -]?){9}[\dXx]")
_ISBN13: Final = re.compile(r"(?:\d[ -]?){13}")
_CARD: Final = re.compile(
    r"4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11}"
)
_SSN: Final = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}")
_HEX: Final = re.compile(r"#?(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
_RGB: Final = re.compile(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")


def _date(text: str) -> bool:
    return len(text) == 10 and _reads(date.fromisoformat, text)


def _date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    return _reads(datetime.fromisoformat, text[:19].replace("t", "T")) or text[17:19] == "60"


def _duration(text: str) -> bool:
    return _DURATION.fullmatch(text) is not None or _LONG_DURATION.fullmatch(text) is not None


def _uri(text: str) -> bool:
    """As Go's url.ParseRequestURI: absolute, or a path."""
    if not text or any(ord(character) <= 32 for character in text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.scheme) or text.startswith("/")
    except ValueError:
        return False


def _email(text: str) -> bool:
    from email.utils import parseaddr  # a megabyte for a format that few schemas name

    address = parseaddr(text)[1]
    local, _, host = address.rpartition("@")
    return bool(local) and bool(host) and " " not in address


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uuid(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        bare = text.replace("-", "")
        if len(bare) != 32 or not _reads(uuid.UUID, bare):
            return False
        return version == 0 or uuid.UUID(bare).version == version

    return check


def _rgb(text: str) -> bool:
    found = _RGB.fullmatch(text)
    return found is not None and all(int(part) < 256 for part in found.groups())


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "bsonobjectid": _matches(re.compile(r"[0-9a-fA-F]{24}")),
    "uri": _uri,
    "email": _email,
    "hostname": _matches(_HOST),
    "ipv4": lambda text: _reads(ipaddress.IPv4Address, text),
    "ipv6": lambda text: _reads(ipaddress.IPv6Address, text),
    "cidr": lambda text: "/" in text and _reads(lambda each: ipaddress.ip_network(each, strict=False), text),
    "mac": _matches(_MAC),
    "uuid": _uuid(0),
    "uuid3": _uuid(3),
    "uuid4": _uuid(4),
    "uuid5": _uuid(5),
    "isbn": lambda text: _ISBN10.fullmatch(text) is not None or _ISBN13.fullmatch(text) is not None,
    "isbn10": _matches(_ISBN10),
    "isbn13": _matches(_ISBN13),
    "creditcard": lambda text: _CARD.fullmatch(re.sub(r"[ -]", "", text)) is not None,
    "ssn": _matches(_SSN),
    "hexcolor": _matches(_HEX),
    "rgbcolor": _rgb,
    "byte": _base64,
    "password": lambda text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "date-time": _date_time,
}
"""Format -> whether a string has it."""
