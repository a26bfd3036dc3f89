"""Sandboxes and containers in CRI's words; the kernel calls themselves are the launcher's."""
