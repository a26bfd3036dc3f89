"""Sandboxes and containers in CRI's words; the kernel calls themselves are the launcher's.

interface.py is the contract, service.py fulfils it on Linux through the launcher, fake.py in memory.
"""
