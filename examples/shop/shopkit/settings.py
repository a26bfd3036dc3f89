"""Configuration comes from the environment (a ConfigMap or a Secret), never from code."""

from __future__ import annotations

import os


def setting(name: str, default: str | None = None) -> str:
    """The value of `name`; without a default a missing one stops the service at once, saying which."""
    value = os.environ.get(name, default)
    if value is None:
        raise SystemExit(f"{name} is not set: the ConfigMap or Secret of this service must provide it")
    return value


SERVICE = setting("SERVICE", "shop")
VERSION = setting("VERSION", "v1")
POD = setting("POD_NAME", os.environ.get("HOSTNAME", "local"))
