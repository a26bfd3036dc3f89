"""A pod's network namespace: made from inside by the pod's init, wired to the node by a veth pair with routes, no bridge.

    pod   eth0  <ip>/32         10.244.0.1 dev eth0, default via 10.244.0.1; hardware address 0a:58:<ip>
    node  veth<id>              <ip> dev veth<id> src 10.244.0.1

With a bridge, translated replies between two pods would bypass connection tracking and break service addresses. The
node's own addresses are on its loopback: the kernel answers ARP for them on every interface.
"""

from __future__ import annotations

import os
import socket

from wherry.launcher import rtnetlink, syscalls
from wherry.launcher.rtnetlink import LOOPBACK_INDEX, Netlink
from wherry.launcher.syscalls import SyscallError

_ETH0_INDEX = 2

# What container runtimes and kubelet set in a new pod.
_SYSCTLS = {
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/ping_group_range": "0 2147483647",
}


def interface_name(sandbox_id: str) -> str:
    """The node's end; 12 of at most 15 bytes."""
    return f"veth{sandbox_id[:8]}"


def hardware_address(ip: str) -> bytes:
    """Of a pod's eth0: whoever has a frame for the pod need not ask for it."""
    return b"\x0a\x58" + socket.inet_aton(ip)


def create(sandbox_id: str, ip: str, gateway: str, link: int, other_namespaces: int) -> None:
    """Leave the node's network for a new one (and unshare `other_namespaces` in the same call). Raises SyscallError."""
    with Netlink() as node:
        syscalls.unshare(syscalls.CLONE_NEWNET | other_namespaces)
        here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            node.transact(
                [
                    rtnetlink.veth(link, interface_name(sandbox_id), _ETH0_INDEX, "eth0", here, hardware_address(ip)),
                    rtnetlink.route(link, ip, source=gateway),
                ]
            )
        finally:
            os.close(here)
    with Netlink() as pod:
        pod.transact(
            [
                rtnetlink.link_up(LOOPBACK_INDEX),
                rtnetlink.address(_ETH0_INDEX, ip),
                rtnetlink.link_up(_ETH0_INDEX),
                rtnetlink.route(_ETH0_INDEX, gateway),
                rtnetlink.route(_ETH0_INDEX, None, gateway=gateway),
            ]
        )
    for name, value in _SYSCTLS.items():
        try:
            with open(f"/proc/sys/net/{name}", "w") as file:
                file.write(value)
        except OSError as error:
            if (
                name != "ipv4/ping_group_range"
            ):  # groups that are not mapped: ping then needs CAP_NET_RAW, which pods have
                raise SyscallError(error.errno or 0, "write", f"/proc/sys/net/{name}") from error
