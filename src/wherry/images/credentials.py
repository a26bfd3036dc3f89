"""Who we are at a registry: what the caller gives, else what `docker login` and `podman login` left on this machine.

Source: the `auths`, `credHelpers` and `credsStore` fields of Docker's config.json and the credential helper protocol.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

HELPER_SECONDS = 10.0  # a helper may ask a key ring, it must not hang a pull


class Credentials(Struct, frozen=True):
    """`identity` is a refresh token, used instead of user and password."""

    username: str = ""
    password: str = ""
    identity: str = ""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


async def find(host: str, given: Mapping[str, tuple[str, str]], environment: Mapping[str, str]) -> Credentials:
    """For `host` (with its port): from `given`, else from this machine's files; empty when nobody knows."""
    for key, (username, password) in given.items():
        if registry_of(key) == host:
            return Credentials(username, password)
    for file in _files(environment):
        config = _read(file)
        helper = (config.get("credHelpers") or {}).get(host)
        if helper is None and (found := _stored(config, host)):
            return found
        helper = helper or config.get("credsStore")
        if helper and (found := await _ask(str(helper), host)):
            return found
    return Credentials()


def registry_of(key: str) -> str:
    """The host a key of `auths` means: keys may be URLs, as `https://HOST/v1/`."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _files(environment: Mapping[str, str]) -> list[Path]:
    """In the order of preference."""
    named = [Path(environment[name]) for name in ("REGISTRY_AUTH_FILE",) if environment.get(name)]
    folder = environment.get("DOCKER_CONFIG")
    docker = Path(folder) if folder else Path(environment.get("HOME", "/")) / ".docker"
    runtime = environment.get("XDG_RUNTIME_DIR")
    podman = [Path(runtime) / "containers" / "auth.json"] if runtime else []
    return [*named, docker / "config.json", *podman]


def _read(file: Path) -> dict[str, Any]:
    """Empty when it is not there or not JSON: another program's file, and pulling may not need it."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stored(config: Mapping[str, Any], host: str) -> Credentials:
    for key, entry in (config.get("auths") or {}).items():
        if registry_of(key) != host or not isinstance(entry, dict):
            continue
        try:
            username, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            continue
        return Credentials(username, password.rstrip("\0"), str(entry.get("identitytoken") or ""))
    return Credentials()


async def _ask(helper: str, host: str) -> Credentials:
    """`docker-credential-HELPER get`; empty when it has nothing or is not installed."""
    try:
        process = await asyncio.create_subprocess_exec(
            f"docker-credential-{helper}",
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(os.environ),
        )
    except OSError:
        return Credentials()
    try:
        async with asyncio.timeout(HELPER_SECONDS):
            output, _ = await process.communicate(host.encode())
        found = json.loads(output)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (TimeoutError, ValueError, KeyError, TypeError):
        if process.returncode is None:
            process.kill()
            await process.wait()
        return Credentials()
    return Credentials(identity=secret) if username == "<token>" else Credentials(username, secret)
