"""Tier `proc`: pods as plain processes, where neither user namespaces nor CAP_SYS_ADMIN exist.

Nothing is mounted and no namespace is made. A seccomp filter tells the *shim* (shim.py), a process of the launcher, of the few
system calls that name an address or a path; the shim answers them as the pod's own network and files would.

    outer (node.py)                waits, as in the other tiers
      shim (shim.py)               several, one inside the other: the innermost answers, the next one when it is killed
        server                     the same as in the other tiers; keeps a duplicate of every listener of notifications
          nursery (nursery.py)     forks the inits, ahead of time
            pod init (pod.py)      forks containers (container.py), sees their ends

Is not isolation: processes see one another, and all of them run as the user who started Wherry.
"""
