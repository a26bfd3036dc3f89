"""The `url` of a webhook's clientConfig: what can be called is taken, what Go's net/url refuses is refused in its words."""

from __future__ import annotations

import pytest

from wherry.apiserver.registry.validation.webhook_client import client_config


@pytest.mark.parametrize(
    "url",
    ["https://h.example", "https://h.example:8443/x", "https://h.example:/x", "https://[::1]:9/x", "https://[::1]/"],
)
def test_urls_that_can_be_called(url: str) -> None:
    assert client_config({"url": url}, "c") == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://127.0.0.1:9443x/y", 'parse "https://127.0.0.1:9443x/y": invalid port ":9443x" after host'),
        ("https://a:-1", 'parse "https://a:-1": invalid port ":-1" after host'),
        ("https://[::1]:x/", 'parse "https://[::1]:x/": invalid port ":x" after host'),
        ("http://a", "'https' is the only allowed URL scheme"),
        ("https:///x", "host must be specified"),
    ],
)
def test_urls_that_cannot(url: str, said: str) -> None:
    (cause,) = client_config({"url": url}, "c")
    assert cause.field == "c.url"
    assert said in cause.message
