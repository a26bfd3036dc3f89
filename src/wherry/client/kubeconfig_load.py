"""kubeconfig files, read by kubectl's rules (kubernetes.io, "Organizing Cluster Access Using kubeconfig Files").

`$KUBECONFIG` is a list of files that are merged, the first to name a thing wins, missing files are skipped; without it
`~/.kube/config`. Relative paths inside a file are relative to that file. Writing is in `kubeconfig.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from msgspec import Struct

from wherry.api.types import Obj

if TYPE_CHECKING:
    from wherry.client.http import HttpTransport

SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""The lists of named entries and the key under which an entry has its content."""

_FILE_FIELDS = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}


class KubeconfigError(ValueError):
    """The file cannot be used; the message names it and the field."""


class Access(Struct, frozen=True):
    """How to reach one cluster as one user."""

    context: str
    server: str
    namespace: str = "default"
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str = ""
    token_file: Path | None = None
    verify: bool = True
    server_name: str | None = None

    def transport(self, user_agent: str = "wherry") -> HttpTransport:
        from wherry.client.http import HttpTransport  # who only edits the file does not pay for an HTTP client

        token: Any = self.token
        if self.token_file is not None:
            path = self.token_file
            token = lambda: path.read_text().strip()  # noqa: E731 - read each time: it is renewed in place
        return HttpTransport(
            self.server,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            verify=self.verify,
            server_name=self.server_name,
            token=token,
            user_agent=user_agent,
        )


def paths(environ: Mapping[str, str]) -> list[Path]:
    """The files kubectl would read, in order of precedence, whether they exist or not."""
    listed = [part for part in environ.get("KUBECONFIG", "").split(":") if part]
    if listed:
        return [Path(part) for part in dict.fromkeys(listed)]
    return [Path(environ.get("HOME") or "/") / ".kube" / "config"]


def load(files: Sequence[Path]) -> Obj:
    """The files merged into one config: `clusters`, `contexts`, `users` as lists of named entries, `current-context`."""
    merged: Obj = {"apiVersion": "v1", "kind": "Config", "current-context": ""}
    merged.update({section: [] for section in SECTIONS})
    for path in files:
        config = read_file(path)
        if config is None:
            continue
        merged["current-context"] = merged["current-context"] or config.get("current-context") or ""
        for section, key in SECTIONS.items():
            named = {entry["name"] for entry in merged[section]}
            merged[section] += [
                _absolute(entry, key, path) for entry in entries(config, section, path) if entry["name"] not in named
            ]
    return merged


def resolve(config: Obj, context: str = "") -> Access:
    """What the context (default: the current one) says about server and user. Raises KubeconfigError."""
    name = context or config.get("current-context") or ""
    if not name:
        raise KubeconfigError("current-context is not set")
    found = _named(config, "contexts", name)
    cluster = _named(config, "clusters", found.get("cluster", ""))
    user = _named(config, "users", found["user"]) if found.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f'user "{found["user"]}" logs in with a plug-in, which only kubectl can run')
    server = cluster.get("server")
    if not server:
        raise KubeconfigError(f'cluster "{found["cluster"]}" has no server')
    certificate = _content(user, "client-certificate")
    key = _content(user, "client-key")
    if (certificate is None) != (key is None):
        raise KubeconfigError(f'user "{found["user"]}" needs both client-certificate and client-key')
    token_file = user.get("tokenFile")
    return Access(
        context=name,
        server=server,
        namespace=found.get("namespace") or "default",
        ca=_content(cluster, "certificate-authority"),
        certificate=certificate,
        key=key,
        token=user.get("token") or "",
        token_file=Path(token_file) if token_file and not user.get("token") else None,
        verify=not cluster.get("insecure-skip-tls-verify", False),
        server_name=cluster.get("tls-server-name") or None,
    )


def read_file(path: Path) -> Obj | None:
    """One file as it is, None when there is none. An empty file is an empty config. Raises KubeconfigError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"cannot read {path}: {error}") from error
    try:
        config = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not YAML: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig: it should be a mapping")
    return config


def entries(config: Obj, section: str, path: Path) -> list[Obj]:
    """The named entries of a section. Raises KubeconfigError."""
    listed = config.get(section) or []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) and "name" in entry for entry in listed):
        raise KubeconfigError(f"{path}: {section} should be a list of entries with names")
    return listed


def _named(config: Obj, section: str, name: str) -> Obj:
    key = SECTIONS[section]
    for entry in config[section]:
        if entry["name"] == name:
            content = entry.get(key) or {}
            if not isinstance(content, dict):
                raise KubeconfigError(f'{key} "{name}" should be a mapping')
            return content
    raise KubeconfigError(f'{key} "{name}" does not exist')


def _absolute(entry: Obj, key: str, path: Path) -> Obj:
    """An entry whose file names stand for themselves."""
    content = entry.get(key)
    if not isinstance(content, dict):
        return entry
    made = {
        field: str(path.parent.absolute() / content[field]) for field in _FILE_FIELDS.get(key, ()) if content.get(field)
    }
    return {**entry, key: {**content, **made}} if made else entry


def _content(entry: Obj, field: str) -> bytes | None:
    """`<field>-data` (base64), else the file that `<field>` names."""
    data = entry.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError) as error:
            raise KubeconfigError(f"{field}-data is not base64: {error}") from error
    path = entry.get(field)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{field}: cannot read {path}: {error.strerror}") from error
