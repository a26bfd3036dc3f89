"""Addresses, names and service routing."""
