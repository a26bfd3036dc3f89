"""The node agent: makes this machine run the pods that are bound to it, and says through the API how they are.

It drives `cri` and speaks to the API through `client`; it never touches a process, a mount or a network by itself.
"""
