"""The nouns: wire shapes, no I/O, no behaviour beyond their own meaning."""
