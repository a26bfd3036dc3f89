"""The launcher: a tiny single-threaded process that forks containers and owns the node's namespaces.

Standard library only, and no asyncio in the launcher process itself (`client.py` here is for those who call it).

Three kinds of process come out of this package, all of them forks of one another and none of them exec'ed:

    outer (node.py)      waits; holds the host's network for pods with `hostNetwork`; its death ends everything below
      inner (server.py)  pid 1 of the node's pid namespace: answers requests, keeps the records of pods
        pod init (init.py)  pid 1 of one pod's pid namespace: forks its containers, writes their logs, reports exits
"""
