"""Network interfaces: `/proc/net/dev` and `/sys/class/net`."""

import re

from console.probes.node.base import Files, integer, portable

VIRTUAL = re.compile(
    r"(lo$|ifb|dummy|veth|docker|br-|virbr|vnet|tap|tun|cali|cilium|lxc|lxd|flannel|cni|kube|nodelocaldns|vxlan|geneve"
    r"|sit|gre|gretap|erspan|ip6|tunl|teql|wg|podman|nerdctl|weave|ovs|azv)"
)
"""Names of what container engines, tunnels and the kernel make up."""

ARPHRD_INFINIBAND = "32"
STATES = {"up": "up", "down": "down", "lowerlayerdown": "down", "notpresent": "down", "dormant": "init"}


def parse_net_dev(text: str) -> "dict[str, dict[str, int]]":
    """Return the counters since boot of each interface of /proc/net/dev."""
    found = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.rpartition(":")
        fields = rest.split()
        if not colon or len(fields) < 12:
            continue
        values = [int(field) for field in fields]
        found[name.strip()] = {
            "rx_bytes": values[0],
            "tx_bytes": values[8],
            "errors": values[2] + values[10],
            "drops": values[3] + values[11],
        }
    return found


class Network:
    """Reads the interfaces that carry data between machines.

    Not those whose names say that they were made up on this machine; of the others those with a device behind
    them and bonds of them, or all where there is none such (a container, a network namespace).
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def counters(self) -> "dict[str, dict[str, int]]":
        """Return the counters of the interfaces that count. Raises OSError. Never hangs."""
        found = parse_net_dev(self._files.text("/proc/net/dev"))
        named = [name for name in found if not VIRTUAL.match(name)]
        return {name: found[name] for name in [name for name in named if self._is_device(name)] or named}

    def _is_device(self, name: str) -> bool:
        base = "/sys/class/net/" + name
        return self._files.exists(base + "/device") or self._files.exists(base + "/bonding")

    def facts(self) -> "dict[str, dict[str, object]]":
        """Return what does not count up: state, rate, MTU, kind. May wait for a device that is dead."""
        return {name: self._describe(name) for name in self.counters()}

    def _describe(self, name: str) -> "dict[str, object]":
        base = "/sys/class/net/" + name
        line = self._files.line
        infiniband = line(base + "/type") == ARPHRD_INFINIBAND
        state = line(base + "/operstate")
        facts = {
            "kind": "infiniband" if infiniband else "ethernet",
            "state": STATES.get(state or "", "unknown"),
        }  # type: dict[str, object]
        megabits = self._files.number(base + "/speed")
        # A port that is down says -1, or 2^32-1 as its unsigned form.
        if megabits is not None and 0 < megabits < 10**8:
            facts["rate_bits_per_s"] = megabits * 10**6
        else:
            facts["missing"] = {"rate_bits_per_s": "not reported by this device"}
        mtu = integer(line(base + "/mtu"))
        if mtu is not None:
            facts["mtu"] = mtu
        rdma = self._files.names(base + "/device/infiniband")
        if rdma:
            facts["device"] = portable(rdma[0])
        return facts
