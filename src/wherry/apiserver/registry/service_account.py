"""ServiceAccounts: names and nothing to refuse."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.apiserver.registry.strategy import Strategy


class ServiceAccountStrategy(Strategy):
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        for key in ("secrets", "imagePullSecrets"):
            if key in obj and not obj[key]:
                del obj[key]
