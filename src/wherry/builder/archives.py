"""Archives that ADD unpacks: which files are such, and how their entries come into a layer.

Is not: what is unpacked where (copying.py), nor how an entry is written (images/unpacking.py, as the entries of layers). Always
true: what a file is called says nothing, what it holds does. Conflicts end as with `tar -x`: the archive's file wins, and its
directory in the place of a link; what is in a directory that both have stays. Source: "ADD" of the Dockerfile reference.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from wherry.images.layers import WHITEOUT
from wherry.images.unpacking import (
    CHUNK,
    DAMAGES,
    ZSTD_MAGIC,
    Directories,
    LayerError,
    Unpacking,
    decompressed,
    opened,
)

_AS_IT_IS = "ADD --unpack=false and COPY copy it as it is"


class Image(Protocol):
    """The layer that is being written, on top of those below."""

    directories: Directories

    def directory(self, path: PurePosixPath) -> Path:
        """Where a directory of the image lies in the layer, made if need be. Raises ValueError for what is none."""

    def changed(self) -> None:
        """What was known of directories may be wrong."""


def is_archive(file: Path) -> bool:
    """Whether a file is a tar, plain or compressed with gzip, bzip2 or xz: whether it begins with the header of one.

    Raises LayerError for zstd, which others would unpack, and for what begins as a compressed file and is broken.
    """
    if not file.is_file():
        return False
    with file.open("rb") as content:
        if content.read(len(ZSTD_MAGIC)) == ZSTD_MAGIC:
            raise LayerError(f"{file}: archives of zstd are not unpacked: compress it with gzip or xz; {_AS_IT_IS}")
        content.seek(0)
        try:
            begin = decompressed(content).read(tarfile.BLOCKSIZE)
        except LayerError as error:
            raise LayerError(f"{file}: {error}") from None
        except DAMAGES as error:
            raise LayerError(
                f"{file}: it begins as a compressed file and cannot be read: {error}; {_AS_IT_IS}"
            ) from None
    try:
        tarfile.TarInfo.frombuf(begin, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def unpack(file: Path, image: Image, target: PurePosixPath, change: Callable[[tarfile.TarInfo], None]) -> None:
    """Put what is in an archive below `target` of the image; each entry is given to `change` before.

    Raises LayerError that names file and entry.
    """
    try:
        with file.open("rb") as content:
            stream = decompressed(content)
            with opened(stream, "the archive") as archive:
                _Archive(archive, image, target, change).take_all()
                while stream.read(CHUNK):  # to its end, where checksums are
                    pass
    except LayerError as error:
        raise LayerError(f"{file}: {error}") from error


class _Archive(Unpacking):
    def __init__(
        self,
        archive: tarfile.TarFile,
        image: Image,
        target: PurePosixPath,
        change: Callable[[tarfile.TarInfo], None],
    ) -> None:
        super().__init__(archive, image.directories)
        self._image, self._target, self._change = image, target, change

    def folder(self, name: str, parts: Sequence[str]) -> Path:
        try:
            return self._image.directory(self._target.joinpath(*parts))
        except ValueError as error:
            raise LayerError(f"entry {name!r}: {error}") from None

    def changed(self) -> None:
        super().changed()
        self._image.changed()

    def take(self, member: tarfile.TarInfo) -> None:
        path = self.place(member.name)
        if path is None:
            return  # the destination is as it was, or as it was made
        if path.name.startswith(WHITEOUT):
            raise LayerError(f"entry {member.name!r}: in an image's layer such a name says that a file is deleted")
        self._change(member)
        self.put(path, member)
