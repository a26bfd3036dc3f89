"""A folder of blobs named by their digest. A blob is there completely or not at all, and never changes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wherry.images.trees import remove_tree


class StoreError(Exception):
    """A blob or a layer is missing or is not what its digest says; the text names it."""


class Blobs:
    """`blobs/sha256/HEX` under `root`, and `tmp/` beside it for what is on its way there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where a blob lies or would lie. Raises StoreError for what is no digest: it becomes a file name."""
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
            raise StoreError(f"{digest!r} is not a sha256 digest")
        return self.root / "blobs" / "sha256" / hexadecimal

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """Raises StoreError."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"blob {digest} is not in the image store") from None

    def put(self, data: bytes) -> str:
        """Its digest. What is here already is not written again."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.has(digest):
            return digest
        with contextlib.closing(self.draft()) as draft:
            draft.write(data)
            return draft.commit()

    def draft(self) -> BlobDraft:
        """A blob on its way: write, then commit; close in any case."""
        return BlobDraft(self, temporary(self.root))

    def adopt(self, file: Path, digest: str) -> None:
        """Take over a file on the same file system, whose digest the caller has computed."""
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.replace(file, target)

    def all(self) -> list[str]:
        """Digests of what is here."""
        folder = self.root / "blobs" / "sha256"
        return [f"sha256:{name}" for name in os.listdir(folder)] if folder.is_dir() else []

    def remove(self, digest: str) -> int:
        """Bytes freed."""
        path = self.path(digest)
        size = path.stat().st_size
        path.unlink()
        return size


def private(path: str, flags: int) -> int:
    """For `open(..., opener=private)`: images may hold what is nobody else's business."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class BlobDraft:
    """Counts and hashes what is written. Not for several threads at once, but for one after the other."""

    def __init__(self, blobs: Blobs, folder: contextlib.AbstractContextManager[Path]) -> None:
        self._blobs, self._folder = blobs, folder
        self._path = folder.__enter__() / "blob"
        self._file = os.fdopen(private(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self, expected: str = "") -> str:
        """Keep it; its digest. Raises StoreError when it is not `expected`."""
        if expected and self.digest != expected:
            raise StoreError(f"expected a blob with digest {expected}, what came has {self.digest}")
        self._file.flush()
        os.fsync(self._file.fileno())  # else a power cut could leave an empty file under a good name
        self._blobs.adopt(self._path, self.digest)
        return self.digest

    def close(self) -> None:
        """Drop it unless it was kept. Idempotent."""
        if not self._file.closed:
            self._file.close()
            self._folder.__exit__(None, None, None)


@contextlib.contextmanager
def temporary(root: Path) -> Iterator[Path]:
    """A folder on the store's file system, removed afterwards; locked meanwhile, so that `clear_abandoned` knows whose it is."""
    parent = root / "tmp"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # taken for abandoned before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def clear_abandoned(root: Path) -> None:
    """Remove temporary folders of processes that were killed."""
    parent = root / "tmp"
    for name in os.listdir(parent) if parent.is_dir() else ():
        try:
            lock = os.open(parent / name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(parent / name)
        except BlockingIOError:
            continue  # its owner lives
        finally:
            os.close(lock)
