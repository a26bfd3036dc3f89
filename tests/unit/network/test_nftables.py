"""The rules as bytes: a golden message, and a model of the kernel's sets that random changes are played on."""

from __future__ import annotations

import socket
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.network import nfnetlink as nf
from wherry.network import nftables, ruleset
from wherry.network.nftables import ADDRESSES, HAIRPIN, SERVICES, STICKY, WIDE, NodeNetwork
from wherry.network.ruleset import Change, Ruleset
from wherry.network.services import Backend, ServicePort, ServiceRecord

NETWORK = NodeNetwork()


class Sets:
    """What the kernel would hold; refuses what the kernel refuses."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, bytes], bytes | None] = {}

    def play(self, change: Change) -> None:
        self.transact(change.now)
        self.transact(change.after)

    def transact(self, messages: list[nf.Message]) -> None:
        for message in messages:
            parts = dict(nf.attributes(message.body[4:]))
            name = parts[2].rstrip(b"\0").decode().removesuffix("-a")
            for _, element in nf.attributes(parts[3]):
                found = dict(nf.attributes(element))
                key = (name, dict(nf.attributes(found[1]))[1])
                if message.type & 0xFF == nf.DELSETELEM:
                    del self.held[key]
                else:
                    assert key not in self.held, "EEXIST"
                    self.held[key] = dict(nf.attributes(found[2]))[1] if 2 in found else None

    def targets(self, name: str, ip: str, port: int, protocol: int = 6) -> Counter[tuple[str, int]]:
        prefix = socket.inet_aton(ip) + struct.pack(">B3xH2x", protocol, port)
        found = Counter(
            (socket.inet_ntoa(data[:4]), struct.unpack_from(">H", data, 4)[0])
            for (set_, key), data in self.held.items()
            if set_ == name and key.startswith(prefix) and data is not None
        )
        slots = sorted(
            struct.unpack("=I", key[12:])[0] for set_, key in self.held if set_ == name and key.startswith(prefix)
        )
        assert slots == list(range(len(slots)))
        return found


def record(
    name: str, ip: str, backends: int, *, sticky: bool = False, protocol: str = "TCP", node_port: int = 0
) -> ServiceRecord:
    targets = tuple(Backend(f"10.244.0.{n + 2}", 8080) for n in range(backends))
    ports = (ServicePort("", protocol, 80, node_port, targets),)
    return ServiceRecord("d", name, cluster_ip=ip, sticky=sticky, ports=ports)


def test_an_element_byte_by_byte() -> None:
    message = nf.add_elements("t", "services", [(b"KEYKEYKEYKEYKEYK", b"DATADATA")])
    assert message.type == 10 << 8 | 12
    assert message.encode(7).hex(" ", 4).split(" ") == [
        "5c000000", "0c0a0104", "07000000", "00000000",  # length, type and flags, sequence, port
        "02000000",  # AF_INET, version, resource
        "06000100", "74000000",  # table "t"
        "0d000200", "73657276", "69636573", "00000000",  # set "services"
        "30000380", "2c000180",  # elements, element
        "18000180", "14000100", "4b45594b", "45594b45", "594b4559", "4b45594b",  # key, value
        "10000280", "0c000100", "44415441", "44415441",  # data, value
    ]  # fmt: skip


def test_a_service_is_sixty_elements_shared_evenly() -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    sets.play(rules.change("d/web", record("web", "10.96.0.5", 3, node_port=30080)))
    expected = {(f"10.244.0.{n}", 8080): 20 for n in (2, 3, 4)}
    assert sets.targets(SERVICES, "10.96.0.5", 80) == expected
    assert sets.targets(SERVICES, NETWORK.gateway, 30080) == expected
    assert (ADDRESSES, socket.inet_aton("10.96.0.5")) in sets.held
    assert sum(name == HAIRPIN for name, _ in sets.held) == 3
    sets.play(rules.change("d/web", None))
    assert sets.held == {}
    assert rules.change("d/web", None) == ([], [])


def test_which_map() -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    sets.play(rules.change("d/many", record("many", "10.96.0.6", 13)))
    assert len(sets.targets(WIDE, "10.96.0.6", 80)) == 13
    sets.play(rules.change("d/same", record("same", "10.96.0.7", 3, sticky=True)))
    assert len(sets.targets(STICKY, "10.96.0.7", 80)) == 3
    plain = Ruleset("a", NETWORK, sticky=False)
    sets = Sets()
    sets.play(plain.change("d/same", record("same", "10.96.0.7", 3, sticky=True)))
    assert len(sets.targets(SERVICES, "10.96.0.7", 80)) == 3


def test_a_service_that_changes_maps_is_always_in_one() -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    sets.play(rules.change("d/web", record("web", "10.96.0.6", 13)))
    change = rules.change("d/web", record("web", "10.96.0.6", 12))
    sets.transact(change.now)
    assert len(sets.targets(SERVICES, "10.96.0.6", 80)) == 12
    assert len(sets.targets(WIDE, "10.96.0.6", 80)) == 13
    sets.transact(change.after)
    assert not sets.targets(WIDE, "10.96.0.6", 80)


def test_every_rule_of_a_generation_names_its_own() -> None:
    for generation, other in (("a", "b"), ("b", "a")):
        for message in [*nftables.build(generation, NETWORK), *nftables.wipe(generation)]:
            assert f"-{other}\0".encode() not in message.body
    switch = b"".join(message.body for message in nftables.switch("a", "b"))
    assert switch.count(b"-do-b\0") == 4
    assert b"-do-a\0" not in switch


def test_without_endpoints_only_the_address_is_known() -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    sets.play(rules.change("d/web", record("web", "10.96.0.5", 0)))
    assert list(sets.held) == [(ADDRESSES, socket.inet_aton("10.96.0.5"))]


def test_wherrys_own_addresses_are_left_alone() -> None:
    assert Ruleset("a", NETWORK).change("d/dns", record("dns", "10.96.0.10", 1)) == ([], [])


def test_endpoints_outside_go_by_netd() -> None:
    outside = (Backend("192.0.2.1", 5432), Backend("10.244.0.2", 5432))
    assert ruleset.reachable("TCP", outside, NETWORK) == (Backend("10.244.0.2", 5432), Backend("10.244.0.1", 15001))
    assert ruleset.reachable("UDP", outside, NETWORK) == (Backend("10.244.0.2", 5432),)


def test_an_address_two_services_claim_goes_to_the_first_and_then_to_the_other() -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    first, second = record("a", "10.96.0.5", 1), record("b", "10.96.0.5", 2)
    sets.play(rules.change("d/a", first))
    sets.play(rules.change("d/b", second))
    assert len(sets.targets(SERVICES, "10.96.0.5", 80)) == 1
    sets.play(rules.change("d/a", None))
    assert len(sets.targets(SERVICES, "10.96.0.5", 80)) == 2
    sets.play(rules.change("d/b", None))
    assert sets.held == {}


changes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-1, 15), st.booleans(), st.sampled_from([0, 30080, 30081])), max_size=10
)


@settings(max_examples=40)
@given(changes)
def test_any_history_ends_where_its_last_state_says(history: list[tuple[int, int, bool, int]]) -> None:
    sets, rules = Sets(), Ruleset("a", NETWORK)
    now: dict[str, ServiceRecord] = {}
    for number, backends, sticky, node_port in history:
        key = f"d/s{number}"
        wanted = None
        if backends >= 0:
            wanted = record(
                f"s{number}",
                f"10.96.1.{number}",
                backends,
                sticky=sticky,
                node_port=node_port and node_port + 10 * number,
            )
        sets.play(rules.change(key, wanted))
        now = {k: v for k, v in {**now, key: wanted}.items() if v}
    fresh, again = Sets(), Ruleset("a", NETWORK)
    for key, wanted in now.items():
        fresh.play(again.change(key, wanted))
    assert fresh.held.keys() == sets.held.keys()
    for wanted in now.values():
        for name in (SERVICES, WIDE, STICKY):
            mine, theirs = (s.targets(name, wanted.cluster_ip, 80) for s in (sets, fresh))
            assert mine.keys() == theirs.keys()
            assert sorted(mine.values()) == sorted(theirs.values())


def test_services_stay_whole_when_transactions_are_joined() -> None:
    records = {f"d/s{n}": record(f"s{n}", f"10.96.2.{n}", 2) for n in range(100)}
    batches = ruleset.plan(Ruleset("a", NETWORK), dict(records))
    assert len(batches) > 1
    for messages in batches:
        assert sum(map(len, messages)) <= ruleset.PAYLOAD_BYTES_MAX
        sets = Sets()
        sets.transact(messages)
        for wanted in records.values():
            counts = sets.targets(SERVICES, wanted.cluster_ip, 80)
            assert not counts or sorted(counts.values()) == [30, 30]


def test_what_the_kernel_says() -> None:
    def answer(seq: int, code: int) -> bytes:
        return struct.pack("=IHHIIi", 20, nf.NLMSG_ERROR, 0, seq, 0, code)

    nf.check(answer(3, 0))
    with pytest.raises(nf.NetlinkError, match="message 1: File exists") as caught:
        nf.check(answer(2, -17) + answer(3, 0))
    assert caught.value.index == 1
    with pytest.raises(nf.NetlinkError):
        nf.check(b"")
