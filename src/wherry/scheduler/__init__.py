"""Pods without a node, one at a time."""
