"""Suites that any implementation of a seam must pass: subclass one, say how to make it, and let pytest collect it."""
