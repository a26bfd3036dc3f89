"""Admission: what may still change or refuse a write after it was authorized and before it is validated."""
