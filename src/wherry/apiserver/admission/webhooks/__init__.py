"""Admission webhooks: somebody else is asked whether, and as what, an object is stored."""
