"""Storefront: the shop's face. HTML only, no JavaScript needed; owns no data but a signed cookie."""
