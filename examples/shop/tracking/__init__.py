"""Tracking: a parcel for every confirmed order, and where it is. The carrier is played by a task of this service."""
