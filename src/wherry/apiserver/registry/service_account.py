"""ServiceAccounts: names and nothing to refuse."""

from __future__ import annotations

from wherry.apiserver.registry.strategy import Strategy


class ServiceAccountStrategy(Strategy):
    checks_metadata_again = True
    returns_deleted = True
