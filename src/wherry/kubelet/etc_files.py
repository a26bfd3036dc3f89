"""/etc/hosts, /etc/resolv.conf and /etc/hostname of a pod. The texts are pure; `write` puts them into the pod's directory.

By Kubernetes' "DNS for Services and Pods" and "Adding entries to Pod /etc/hosts". One difference: where a pod asks for the
node's own resolver (dnsPolicy Default, host network), it gets the cluster's, which forwards to it, because pods reach no
other name server; the node's search list is kept.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig

HOSTNAME_LENGTH_MAX = 63  # a DNS label, as kubelet cuts it
HOSTS_HEAD = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


class EtcFiles(Struct, frozen=True):
    hosts: Path
    resolv_conf: Path
    hostname: Path


def pod_hostname(pod: Obj, node_name: str) -> str:
    """The pod's short host name."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    if pod_spec.host_network(pod):
        return node_name
    return _short_hostname(pod)


def _short_hostname(pod: Obj) -> str:
    name = str(pod["spec"].get("hostname") or pod_spec.name_of(pod))
    return name[:HOSTNAME_LENGTH_MAX].rstrip("-.")


def full_hostname(pod: Obj, cluster_domain: str) -> str:
    """`web-0.nginx.default.svc.cluster.local`; empty without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return ""
    return f"{_short_hostname(pod)}.{subdomain}.{pod_spec.namespace_of(pod)}.svc.{cluster_domain}"


def sandbox_hostname(pod: Obj, config: NodeConfig) -> str:
    """What `hostname` prints in the pod."""
    full = full_hostname(pod, config.cluster_domain)
    return full if full and pod["spec"].get("setHostnameAsFQDN") else pod_hostname(pod, config.name)


def hosts_text(pod: Obj, address: str, config: NodeConfig) -> str:
    lines = [HOSTS_HEAD]
    name = pod_hostname(pod, config.name)
    full = full_hostname(pod, config.cluster_domain)
    if address:
        lines.append(f"{address}\t{full}\t{name}\n" if full else f"{address}\t{name}\n")
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines.append("\n# Entries added by HostAliases.\n")
        lines += [f"{each['ip']}\t{chr(9).join(each.get('hostnames') or ())}\n" for each in aliases]
    return "".join(lines)


def resolv_conf_text(pod: Obj, config: NodeConfig, node_text: str) -> str:
    """`node_text` is the node's own resolv.conf."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    node_searches, node_options = _parse(node_text)
    servers, searches, options = [config.cluster_dns], node_searches, node_options
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod_spec.host_network(pod)):
        namespace, domain = pod_spec.namespace_of(pod), config.cluster_domain
        cluster = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
        searches, options = [*cluster, *(each for each in node_searches if each not in cluster)], ["ndots:5"]
    extra = pod["spec"].get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(extra.get("nameservers") or ())]))
    searches = list(dict.fromkeys([*searches, *(extra.get("searches") or ())]))
    options = _merge_options(options, extra.get("options") or [])
    lines = [f"nameserver {server}" for server in servers]
    if searches:
        lines.insert(0, f"search {' '.join(searches)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def _merge_options(base: list[str], extra: list[Obj]) -> list[str]:
    merged = {option.partition(":")[0]: option for option in base}
    for option in extra:
        value = option.get("value")
        merged[option["name"]] = f"{option['name']}:{value}" if value not in (None, "") else option["name"]
    return list(merged.values())


def _parse(text: str) -> tuple[list[str], list[str]]:
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words[:1] in (["search"], ["domain"]):
            searches = [word for word in words[1:] if word != "."]
        elif words[:1] == ["options"]:
            options = words[1:]
    return searches, options


def write(pod: Obj, address: str, config: NodeConfig) -> EtcFiles:
    """Write the files of a pod, in place: running containers have them mounted. As the kubelet does, each start of a container
    writes /etc/hosts anew."""
    directory = config.pod_directory(pod_spec.uid_of(pod)) / "etc"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        node_text = config.host_resolv_conf.read_text(errors="replace")
    except OSError:
        node_text = ""
    files = EtcFiles(directory / "hosts", directory / "resolv.conf", directory / "hostname")
    _put(files.hosts, hosts_text(pod, address, config), anew=True)  # a sandbox made anew has another address
    _put(files.resolv_conf, resolv_conf_text(pod, config, node_text))
    _put(files.hostname, sandbox_hostname(pod, config) + "\n")
    return files


def _put(path: Path, text: str, *, anew: bool = False) -> None:
    """What is there stays, unless `anew`: a container may have written into its own (Kubernetes leaves that alone too)."""
    if not path.exists():
        path.write_text(text)
        path.chmod(0o644)
    elif anew:
        with suppress(PermissionError):  # a container has made it unreadable
            if path.read_text(errors="replace") != text:
                path.write_text(text)
