import os
import socket

from wherry.cli import listening


def test_only_what_the_process_itself_listens_on():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        found = listening.ports(os.getpid())
        assert listener.getsockname()[1] in found
        assert bound.getsockname()[1] not in found
    assert listener.fileno() == -1
    assert listening.ports(2**22 + 1) == set()
