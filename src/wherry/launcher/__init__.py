"""The launcher: a tiny single-threaded process that forks containers and owns the node's namespaces.

Standard library only, and no asyncio in the launcher process itself (`client.py` here is for those who call it).
"""
