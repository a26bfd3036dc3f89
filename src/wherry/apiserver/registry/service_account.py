"""ServiceAccounts: names and nothing to refuse."""

from __future__ import annotations

from wherry.apiserver.registry.strategy import Strategy


class ServiceAccountStrategy(Strategy):
    returns_deleted = True
