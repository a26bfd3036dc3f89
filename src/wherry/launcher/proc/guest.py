"""What the shim knows of one container: who it is on the network, and where its paths really are."""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass, field

from wherry.launcher.proc import aliases
from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths, Promise, is_odd, normal, top
from wherry.launcher.proc.reach import LINKS_MAX, Found, InRoot, LeadsElsewhereError, RootLink, WayOut, real_path

TURNS_MAX = 32
"""Times that a path leads up again. Each takes a look, and nobody else is answered meanwhile."""


_OWN_ROOT = re.compile(rb"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/root(/.*)?", re.DOTALL)
"""What the kernel leads to the machine's root."""


@dataclass(slots=True)
class Guest:
    """One listener of notifications: a container's, or an exec'ed process's."""

    listener: int
    sandbox: str
    container: str
    ip: str
    """Empty: the machine's network."""
    hostname: str
    paths: Paths
    overlay: Overlay | None = None
    """None: its root is read-only."""
    packed: bytes = field(init=False)
    _real_tops: dict[bytes, bytes] = field(init=False, default_factory=aliases.real_tops)

    @classmethod
    def of_files(cls, paths: Paths, overlay: Overlay | None = None) -> Guest:
        """One that nobody listens to, for who only wants to know where paths lead."""
        return cls(-1, "", "", "", "", paths, overlay)

    def __post_init__(self) -> None:
        self.packed = socket.inet_aton(self.ip) if self.ip else b""

    def find(self, name: bytes, *, changes: bool, creates: bool = False) -> Found | None:
        """What an absolute path leads to; None: the machine's. With `changes` it is made possible to write there, with `creates`
        also where something was removed."""
        if self.paths.is_device(name):
            return None
        if self.paths.root is not None:
            return self._in_own_root(name)
        if not changes and self._is_nobodys(name):
            return None
        if self.overlay is not None and self.overlay.shown(name) is not None:
            return None  # the real path, of a call that is made again
        same = aliases.real(name)
        end = b"/" if name.endswith(b"/") else b""
        for each in (name, same + end):
            found = self.paths.look(each)
            if found is not None:
                real, promise = found
                return Found(normal(each) + end, real, promise.source, readonly=promise.readonly)
        own = self._in_layer(name, same, changes=changes, creates=creates)
        if own is None or self.overlay is None:
            return WayOut(normal(name)) if b"/.." in name and self._begins_inside(name) else None
        return Found(self.overlay.shown(own) or b"/", own, self.overlay.upper, readonly=False)

    def _in_own_root(self, name: bytes) -> Found | None:
        if self.paths.shown(name) is not None:
            return None  # the real path, of a call that is made again
        asked = name
        if b"/.." in name:
            name = self._turned(name)
        plain = normal(name)
        if plain.startswith(b"/proc/"):
            link = _OWN_ROOT.fullmatch(plain)
            if link is not None:
                if link[1] is None and not name.endswith(b"/"):
                    return RootLink(name)
                name = normal(link[1] or b"/")
        found = self.paths.look(name)
        if found is None:
            return WayOut(name) if name != asked else None
        return self._found(name, *found)

    def _found(self, name: bytes, real: bytes, promise: Promise) -> Found:
        clean = normal(name)
        if real.endswith(b"/") and not clean.endswith(b"/"):
            clean += b"/"
        if promise is self.paths.root:
            return InRoot(clean, real, promise.source, readonly=promise.readonly, has=self._is_roots)
        return Found(clean, real, promise.source, readonly=promise.readonly)

    def _is_roots(self, inside: bytes) -> bool:
        """Whether nothing but the root is promised there."""
        found = self.paths.look(inside)
        return found is not None and found[1] is self.paths.root

    def _turned(self, name: bytes) -> bytes:
        """A path without `..`: each leads to the parent of what is before it, wherever links led to that. Too many are taken as
        they are written. Raises OSError(ELOOP) for more links than the kernel follows in one path."""
        links = LINKS_MAX
        for _ in range(TURNS_MAX):
            at = (name + b"/").find(b"/../")
            if at < 0:
                return name
            before, after = name[:at] or b"/", name[at + 3 :]
            end, links = self._end_of(before, links)
            above = os.path.dirname(end)
            name = above.rstrip(b"/") + (after or (b"" if above != b"/" else b"/"))
        return normal(name)

    def _end_of(self, name: bytes, links: int) -> tuple[bytes, int]:
        """A directory's path without any link, as far as there is one, and how many `links` may still be followed."""
        while links:
            found = self.paths.look(name)
            if found is None:
                return normal(name), links
            try:
                with self._found(name, *found).path(follow=True) as fd:
                    return self.shown(real_path(fd)) or normal(name), links
            except LeadsElsewhereError as elsewhere:
                name, links = elsewhere.path, links - 1
            except OSError:
                return normal(name), links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _in_layer(self, name: bytes, same: bytes, *, changes: bool, creates: bool) -> bytes | None:
        """By the one name or the other; what is changed is changed by the other."""
        if self.overlay is None:
            return None
        if normal(name) != same:
            own = self.overlay.find(name, changes=False, creates=creates)
            if own is not None:
                return own
        return self.overlay.find(same, changes=changes, creates=creates)

    def _is_nobodys(self, name: bytes) -> bool:
        """Quickly, and surely, of most that are the machine's: by the first name nothing is promised nor in the layer."""
        first = top(name)
        real = self._real_tops.get(first, first)
        if first in self.paths.tops or real in self.paths.tops or is_odd(name):
            return False
        return self.overlay is None or (first not in self.overlay.tops and real not in self.overlay.tops)

    def may_write(self, real: bytes) -> bool:
        """Whether a real path lies where the container was allowed to write, see container.py."""
        if self.overlay is not None and _lies_in(real, self.overlay.upper):
            return True
        return any(_lies_in(real, source) for source in self.paths.sources(readonly=False))

    def is_readonly(self, real: bytes) -> bool:
        """Of a real path where it may not: whether it is of a root or volume that nobody may write."""
        return (self.overlay is None and self.paths.root is None) or any(
            _lies_in(real, source) for source in self.paths.sources(readonly=True)
        )

    def is_mount(self, name: bytes) -> bool:
        """It can be neither removed nor renamed. What is of the image can, where it was copied for this container."""
        found = self.paths.look(name)
        if found is None or found[1].target != normal(name):
            return False
        return self.overlay is None or not found[1].source.startswith(self.overlay.upper + b"/")

    def removed(self, found: Found) -> None:
        """A name is there no longer: what the machine has by that name does not come to light again."""
        if self.overlay is not None and found.anchor == self.overlay.upper and not self.paths.look(found.name):
            self.overlay.hide(normal(found.name))

    def _begins_inside(self, name: bytes) -> bool:
        """Some `..` of it leads out of what only the container has. Of a path with too many it is said too: then the caller
        makes its call again by the path without any."""
        at = name.find(b"/..")
        for _ in range(TURNS_MAX):
            if at <= 0:
                return False
            before = normal(name[:at])
            if self.paths.look(before) or (self.overlay and self.overlay.find(before, changes=False)):
                return True
            at = name.find(b"/..", at + 1)
        return True

    def shown(self, real: bytes) -> bytes | None:
        """How the container names a real path; None: as it is."""
        return self.paths.shown(real) or (self.overlay.shown(real) if self.overlay else None)


def _lies_in(real: bytes, folder: bytes) -> bool:
    return real == folder or real.startswith(folder.rstrip(b"/") + b"/")
