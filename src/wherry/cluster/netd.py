"""The netd process: `network.netd` with the options of this system."""

from __future__ import annotations

import random

from wherry.aio.clock import RealClock
from wherry.cluster import process
from wherry.cluster.paths import State
from wherry.network import netd


def main(state: State) -> None:
    """Until SIGTERM."""
    options = process.options_of(state)
    given = netd.NetdOptions(
        state.run,
        process.node_network(options),
        domain=options.service_domain,
        dns_address=options.dns_service_ip,
        node_port_addresses=(options.node_port_address,),
    )
    process.run("netd", netd.run(given, RealClock(), random.Random()))
