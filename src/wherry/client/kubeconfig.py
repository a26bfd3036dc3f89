"""Our entry in the user's kubeconfig: added by kubectl's rules, taken out again without a trace.

An entry that exists is changed in the file it is in; a new one, and current-context, go to kubectl's default file: the
only one of $KUBECONFIG, else its first that exists, else its last. Each file is locked (`<file>.lock`, as client-go
does) and replaced atomically, mode 0600. Everything else in it, unknown fields too, stays; comments do not (nor with
kubectl). What was current before is remembered in our context's extensions.
"""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import yaml

from wherry.api.types import Obj
from wherry.client.kubeconfig_load import SECTIONS, KubeconfigError, entries, load, paths, read_file

EXTENSION = "wherry.dev/before"
_CREDENTIALS = frozenset(
    {
        *("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"),
        *("username", "password", "exec", "auth-provider"),
    }
)
# kubectl holds the lock for milliseconds; who holds it for five seconds is gone.
LOCK_TRIES = 50
LOCK_PAUSE_SECONDS = 0.1


def default_path(files: Sequence[Path] | None = None) -> Path:
    """Where kubectl puts what is new; `files` are those of the environment unless said otherwise."""
    files = files or paths(os.environ)
    return next((path for path in files if path.exists()), files[-1])


def write(
    name: str,
    *,
    server: str,
    ca: bytes,
    certificate: bytes,
    key: bytes,
    files: Sequence[Path] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Add or renew cluster, user and context `name` and make it current; `ca`, `certificate` and `key` are PEM.

    The answer is the file that has the context. Raises KubeconfigError.
    """
    user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    contents = contents_of(name, server=server, ca=ca, user=user)
    return put(name, contents, current=True, files=files, pause=pause)


def contents_of(name: str, *, server: str, ca: bytes, user: Obj, namespace: str = "") -> dict[str, Obj]:
    """The contents of cluster, user and context of one name, by section."""
    context = {"cluster": name, "user": name}
    return {
        "clusters": {"server": server, "certificate-authority-data": _base64(ca)},
        "users": user,
        "contexts": {**context, "namespace": namespace} if namespace else context,
    }


def put(
    name: str,
    contents: dict[str, Obj],
    *,
    current: bool,
    files: Sequence[Path] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Add or renew what `contents_of` made, make it current if asked to. The answer is the file that has the context. Raises
    KubeconfigError."""
    files = files or paths(os.environ)
    target = default_path(files)
    before = load(files)["current-context"]
    memory = {"current-context": before if before != name else "", "created": not target.exists()}
    homes = {section: _home(files, section, name) or target for section in SECTIONS}
    for path in dict.fromkeys([*homes.values(), target]):
        with _editing(path, pause) as config:
            for section in [section for section in SECTIONS if homes[section] == path]:
                _put(config, path, section, name, contents[section], memory)
            if path == target and (current or not config.get("current-context")):
                config["current-context"] = name
    return homes["contexts"]


def names_ending(suffix: str, files: Sequence[Path] | None = None) -> list[str]:
    """Contexts whose name ends so."""
    return [each["name"] for each in load(files or paths(os.environ))["contexts"] if each["name"].endswith(suffix)]


def remove(
    name: str, *, files: Sequence[Path] | None = None, pause: Callable[[float], None] = time.sleep
) -> Path | None:
    """Take out cluster, user and context `name`; current-context becomes what it was before.

    The answer is the file that had the context (or what was left of it), None when there was nothing to remove.
    Raises KubeconfigError.
    """
    files = files or paths(os.environ)
    ours = [path for path in files if any(_find_in(path, section, name) for section in SECTIONS)]
    if not ours:
        return None
    home = _home(files, "contexts", name)
    memory = _memory(_find_in(home, "contexts", name)) if home else {}
    for path in ours:
        with _editing(path, pause) as config:
            for section in SECTIONS:
                config[section] = [entry for entry in entries(config, section, path) if entry["name"] != name]
    before = memory.get("current-context", "")
    known = {entry["name"] for entry in load(files)["contexts"]}
    for path in files:
        if (read_file(path) or {}).get("current-context") == name:
            with _editing(path, pause) as config:
                config["current-context"] = before if before in known else ""
    for path in ours:
        if memory.get("created") and not any((read_file(path) or {}).get(section) for section in SECTIONS):
            path.unlink()  # it was made for us, and nobody added anything since
    return home or ours[0]


def _put(config: Obj, path: Path, section: str, name: str, content: Obj, memory: Obj) -> None:
    """Set the fields of an entry; what the file says beyond them (a namespace, a proxy) stays."""
    key = SECTIONS[section]
    entry = _find(config, section, name, path)
    if entry is None:
        entry = {"name": name, key: {}}
        config[section] = [*entries(config, section, path), entry]
    old = entry.get(key) or {}
    if section == "users":
        # One credential: what another way of logging in left would win over the new one, or be refused.
        old = {field: value for field, value in old.items() if field not in _CREDENTIALS}
    entry[key] = {**old, **content}
    if section == "contexts" and not _memory(entry):
        entry[key]["extensions"] = [*(old.get("extensions") or []), {"name": EXTENSION, "extension": memory}]


def _memory(context: Obj | None) -> Obj:
    for extension in ((context or {}).get("context") or {}).get("extensions") or []:
        if extension.get("name") == EXTENSION:
            return dict(extension.get("extension") or {})
    return {}


def _home(files: Sequence[Path], section: str, name: str) -> Path | None:
    """The file that has the entry."""
    return next((path for path in files if _find_in(path, section, name) is not None), None)


def _find_in(path: Path, section: str, name: str) -> Obj | None:
    config = read_file(path)
    return _find(config, section, name, path) if config is not None else None


def _find(config: Obj, section: str, name: str, path: Path) -> Obj | None:
    return next((entry for entry in entries(config, section, path) if entry["name"] == name), None)


@contextlib.contextmanager
def _editing(path: Path, pause: Callable[[float], None]) -> Iterator[Obj]:
    """The file's config to change in place; written when the block ends well."""
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(path, pause):
        config = read_file(path) or {}
        config.setdefault("apiVersion", "v1")
        config.setdefault("kind", "Config")
        config.setdefault("preferences", {})
        yield config
        _replace(path, yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=True))


@contextlib.contextmanager
def _locked(path: Path, pause: Callable[[float], None]) -> Iterator[None]:
    lock = Path(f"{path}.lock")
    for _ in range(LOCK_TRIES):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            break
        except FileExistsError:
            pause(LOCK_PAUSE_SECONDS)
    else:
        raise KubeconfigError(f"{lock} exists: another program is writing the file; remove it if none is")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    """All or nothing, also when the power fails; the owner stays who it was."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            with contextlib.suppress(FileNotFoundError, PermissionError):
                was = path.stat()
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
