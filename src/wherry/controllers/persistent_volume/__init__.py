"""Binds claims to volumes, makes volumes for claims out of directories, and takes them back."""

from wherry.controllers.persistent_volume.directories import Directories, HostDirectories
from wherry.controllers.persistent_volume.reconciler import build

__all__ = ["Directories", "HostDirectories", "build"]
