"""The sensors of the probe over recorded and made-up trees of /proc and /sys."""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from console.probes.node import amd, compute_apps, habana, jobs, nvidia_smi
from console.probes.node.accelerators import NONE, Accelerators
from console.probes.node.base import Files, SensorError, Tool, Worker, portable, why
from console.probes.node.cost import Cost
from console.probes.node.disks import Disks, parse_diskstats
from console.probes.node.host import Host, busy_percent, parse_meminfo, parse_pressure, parse_stat
from console.probes.node.main import Sampler, merge_patch
from console.probes.node.mounts import Mounts, is_network, parse_mountinfo, parse_mountstats, unescape
from console.probes.node.network import Network
from console.probes.node.rdma import Rdma, parse_rate

FIXTURES = Path(__file__).parent.parent / "fixtures"


def tree(root: Path, files: dict[str, str]) -> Files:
    """Write files below a root and return it as the sensors see it."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Files(str(root))


def unpack_ttar(path: Path, root: Path) -> Files:
    """Unpack the text archive of node_exporter."""
    lines = path.read_text().splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith("Path: "):
            target = root / line[6:]
            target.parent.mkdir(parents=True, exist_ok=True)
            count = int(lines[position].split()[1])
            target.write_text("\n".join(lines[position + 1 : position + 1 + count]) + "\n")
            position += 1 + count
    return Files(str(root))


# Host


def test_stat_counts_waiting_for_disks_as_idle_and_guests_once() -> None:
    ticks = parse_stat("cpu  10 1 5 80 4 0 0 0 7 0\ncpu0 10 1 5 80 4 0 0 0 7 0\nintr 1 2\ncpu9 1 1 1 1 1 1 1 1\n")
    assert ticks == {"cpu": (16, 100), "cpu0": (16, 100)}


def test_busy_share_is_bounded_and_unknown_when_no_time_passed() -> None:
    assert busy_percent((0, 0), (50, 100)) == 50.0
    assert busy_percent((50, 100), (50, 100)) is None
    assert busy_percent((50, 100), (40, 90)) is None
    assert busy_percent((50, 100), (40, 110)) == 0.0


def test_host_reads_what_is_there_and_says_why_the_rest_is_not(tmp_path: Path) -> None:
    files = tree(
        tmp_path,
        {
            "proc/stat": "cpu 10 0 10 80 0 0 0 0\ncpu0 10 0 10 80 0 0 0 0\n",
            "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            "proc/loadavg": "0.50 1.25 2.00 1/100 5\n",
            "proc/sys/kernel/hostname": "gpu01\n",
            "etc/os-release": 'NAME="x"\nPRETTY_NAME="Rocky Linux 8.10 (Green Obsidian)"\n',
        },
    )
    host = Host(files)
    first = host.read(1.0)
    assert first["memory_total_bytes"] == 1_024_000
    assert first["swap_total_bytes"] == 0, "no swap is known to be none"
    assert "memory_available_bytes" not in first
    assert first["os"] == "Rocky Linux 8.10 (Green Obsidian)"
    assert first["load5"] == 1.25
    missing: Any = first["missing"]
    assert set(missing) == {"cpu_percent", "memory_available_bytes", "pressure", "power_w", "uptime_s"}
    tree(tmp_path, {"proc/stat": "cpu 40 0 10 150 0 0 0 0\ncpu0 40 0 10 150 0 0 0 0\ncpu1 9 9 9 9 9 9 9 9\n"})
    second = host.read(2.0)
    assert second["cpu_percent"] == 30.0
    assert second["cores_percent"] == [30, 0], "a core that came online just now has no share yet"


def test_one_broken_file_costs_its_values_only(tmp_path: Path) -> None:
    files = tree(tmp_path, {"proc/stat": "cpu x y\n", "proc/loadavg": "", "proc/uptime": "12.5 1\n"})
    found = Host(files).read(1.0)
    assert found["uptime_s"] == 12
    missing: Any = found["missing"]
    assert "cpu_percent" in missing
    assert "load1" in missing


def test_meminfo_and_pressure() -> None:
    assert parse_meminfo("MemAvailable:   2048 kB\nHugePages_Total: 0\n") == {"memory_available_bytes": 2097152}
    text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=1\n"
    assert parse_pressure(text) == {"some": 1.5, "full": 0.25}


def test_rapl_adds_packages_and_memory_and_survives_the_wrap(tmp_path: Path) -> None:
    def zones(first: int, second: int, dram: int) -> dict[str, str]:
        base = "sys/class/powercap/"
        found = {}
        for zone, name, energy in (
            ("intel-rapl:0", "package-0", first),
            ("intel-rapl:1", "package-1", second),
            ("intel-rapl:0:0", "dram", dram),
            ("intel-rapl:0:1", "core", 10**9),
            ("intel-rapl:2", "psys", 10**9),
        ):
            found[f"{base}{zone}/name"] = name
            found[f"{base}{zone}/energy_uj"] = str(energy)
            found[f"{base}{zone}/max_energy_range_uj"] = "1000000000"
        return found

    host = Host(tree(tmp_path, zones(999_000_000, 0, 0)))
    assert "power_w" not in host.read(10.0)
    tree(tmp_path, zones(99_000_000, 50_000_000, 10_000_000))
    assert host.read(11.0)["power_w"] == 160.0


# Network


def test_interfaces_are_those_with_a_device_and_bonds(tmp_path: Path) -> None:
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop|bytes\n"
    counters = ":100 1 2 3 0 0 0 0 200 1 4 5 0 0 0 0\n"
    names = ("lo", "eth0", "ib0", "bond0", "docker0", "veth1234", "cali5678", "ifb0", "vlan7")
    files = tree(
        tmp_path,
        {
            "proc/net/dev": head + "".join(f"{name:>6}{counters}" for name in names),
            "sys/class/net/eth0/device/x": "",
            "sys/class/net/eth0/operstate": "up\n",
            "sys/class/net/eth0/speed": "100000\n",
            "sys/class/net/eth0/mtu": "9000\n",
            "sys/class/net/ib0/device/infiniband/mlx5_0/x": "",
            "sys/class/net/ib0/type": "32\n",
            "sys/class/net/ib0/speed": "-1\n",
            "sys/class/net/ib0/operstate": "down\n",
            "sys/class/net/bond0/bonding/mode": "",
        },
    )
    network = Network(files)
    assert network.counters()["eth0"] == {"rx_bytes": 100, "tx_bytes": 200, "errors": 6, "drops": 8}
    assert list(network.counters()) == ["eth0", "ib0", "bond0"]
    facts = network.facts()
    assert facts["eth0"] == {"kind": "ethernet", "state": "up", "rate_bits_per_s": 10**11, "mtu": 9000}
    assert facts["ib0"]["kind"] == "infiniband"
    assert facts["ib0"]["state"] == "down"
    assert facts["ib0"]["device"] == "mlx5_0"
    assert facts["ib0"]["missing"] == {"rate_bits_per_s": "not reported by this device"}


def test_without_any_device_the_interfaces_of_a_namespace_count(tmp_path: Path) -> None:
    line = ": 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
    files = tree(tmp_path, {"proc/net/dev": "a\nb\n" + "".join(name + line for name in ("lo", "eth0", "veth0"))})
    assert list(Network(files).counters()) == ["eth0"]


# RDMA


def test_rate_of_a_port() -> None:
    assert parse_rate("400 Gb/sec (4X NDR)") == 400 * 10**9
    assert parse_rate("2.5 Gb/sec (1X SDR)") == 2_500_000_000
    for odd in ("", "fast", "x Gb/sec", None, "inf Gb/sec", "0 Gb/sec"):
        assert parse_rate(odd) is None


def test_real_adapters_in_four_byte_words_and_words_for_numbers(tmp_path: Path) -> None:
    files = unpack_ttar(FIXTURES / "infiniband" / "node_exporter_sys_infiniband.ttar", tmp_path)
    links = Rdma(files).read()
    assert list(links) == ["i40iw0/1", "mlx4_0/1", "mlx4_0/2"]
    words = int((tmp_path / "sys/class/infiniband/mlx4_0/ports/1/counters_ext/port_rcv_data_64").read_text(), 0)
    assert links["mlx4_0/1"]["rx_bytes"] in (words * 4, int(str(words)) * 4)
    assert links["mlx4_0/1"]["state"] == "up"
    assert links["mlx4_0/1"]["rate_bits_per_s"] == 40 * 10**9
    iwarp = links["i40iw0/1"]
    assert "rx_bytes" not in iwarp, "N/A (no PMA) is not 0"
    assert set(iwarp["missing"]) >= {"rx_bytes_per_s", "tx_bytes_per_s", "errors", "drops"}


def test_a_node_with_eight_adapters(tmp_path: Path) -> None:
    with tarfile.open(FIXTURES / "infiniband" / "mock_ib_h100_sysfs_tree.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    links = Rdma(Files(str(tmp_path))).read()
    assert len(links) == 8
    for link in links.values():
        assert link["kind"] == "infiniband"
        assert link["state"] == "up"
        assert link["rate_bits_per_s"] == 400 * 10**9


def test_a_counter_that_fails_is_left_alone_and_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "sys/class/infiniband/mlx5_0/ports/1/"
    files = tree(
        tmp_path,
        {
            base + "state": "4: ACTIVE\n",
            base + "link_layer": "Ethernet\n",
            base + "rate": "200 Gb/sec (4X HDR)\n",
            base + "counters/port_rcv_data": "5\n",
            base + "counters/port_xmit_data": "6\n",
            base + "gid_attrs/ndevs/0": "ens1f0\n",
        },
    )
    reads = []
    real = files.text

    def text(path: str) -> str:
        if path.endswith("port_xmit_data"):
            reads.append(path)
            raise OSError(22, "Invalid argument")
        return real(path)

    monkeypatch.setattr(files, "text", text)
    rdma = Rdma(files)
    for _ in range(10):
        link = rdma.read()["mlx5_0/1"]
    assert link["rx_bytes"] == 20
    assert "tx_bytes" not in link
    assert link["kind"] == "roce"
    assert link["device"] == "ens1f0"
    assert len(reads) == 3, "a counter that hurts is not read for ever"


# Disks


def test_whole_devices_only(tmp_path: Path) -> None:
    line = "  8  0 {} 10 0 100 5 20 0 200 7 0 30 40\n"
    names = (
        "sda",
        "sda1",
        "nvme0n1",
        "nvme0n1p1",
        "nvme0c1n1",
        "loop0",
        "ram0",
        "dm-0",
        "md127",
        "zram0",
        "vdb",
    )
    text = "".join(line.format(name) for name in names)
    assert list(parse_diskstats(text)) == ["sda", "nvme0n1", "md127", "vdb"]
    files = tree(
        tmp_path,
        {
            "proc/diskstats": text,
            "sys/block/sda/size": "2048\n",
            "sys/block/sda/device/model": "PERC H755  \n",
            "sys/block/vdb/size": "0\n",
        },
    )
    disks = Disks(files).read()
    assert "vdb" not in disks, "a device without a size holds nothing"
    assert disks["sda"] == {
        "size_bytes": 1 << 20,
        "model": "PERC H755",
        "read_bytes": 51200,
        "write_bytes": 102400,
        "busy_ms": 30,
    }


# Mounts


def test_real_mountinfo_with_nfs() -> None:
    found = parse_mountinfo((FIXTURES / "mounts" / "debian_nfs_mountinfo.txt").read_text())
    assert found["/mnt/n4"] == {"source": "127.0.0.1:/srv/x", "type": "nfs4"}
    assert found["/"] == {"source": "/dev/vda", "type": "ext4"}
    assert set(found) == {"/", "/tmp", "/srv/x", "/mnt/n4", "/mnt/n3"}


def test_real_mountinfo_with_sshfs_is_network() -> None:
    found = parse_mountinfo((FIXTURES / "mounts" / "sshfs_ok_mountinfo.txt").read_text())
    assert found["/mnt/share"]["type"] == "fuse.sshfs"
    assert is_network("fuse.sshfs")


def test_mounts_of_engines_and_further_paths_are_left_out() -> None:
    lines = [
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
        "21 20 8:1 /var /var/lib/kubelet/pods/1/volumes/x rw - ext4 /dev/sda1 rw",
        "22 20 8:1 /home /bind rw - ext4 /dev/sda1 rw",
        "23 20 0:50 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw",
        "24 20 0:51 / /run/user/0 rw - tmpfs tmpfs rw",
        "25 20 0:52 / /dev/shm rw - tmpfs tmpfs rw",
        "26 20 0:53 / /my\\040disk\\134x rw - xfs /dev/my\\040disk rw",
        "27 20 0:54 / /proc rw - proc proc rw",
        "28 20 0:55 / /auto rw - autofs systemd-1 rw",
        "29 20 0:56 / /fs/lustre rw - lustre 10.0.0.1@o2ib:/scratch rw",
        "30 20 0:57 / /lxcfs rw - fuse.lxcfs lxcfs rw",
        "31 20 0:58 / /hidden rw - ext4 /dev/sdb rw",
        "32 20 0:59 / /hidden rw - proc proc rw",
        "nonsense",
        "33 20 0:60 / /short - ",
    ]
    found = parse_mountinfo("\n".join(lines))
    assert set(found) == {"/", "/dev/shm", "/my disk\\x", "/fs/lustre"}
    assert found["/my disk\\x"]["source"] == "/dev/my disk"


def test_a_path_of_any_bytes_survives() -> None:
    assert unescape("/a\\040b") == "/a b"
    raw = "/\udce4\\011x"
    assert unescape(raw) == "/\udce4\tx"
    assert portable("/\udce4") == "/\ufffd"


def test_real_mountstats_with_nconnect() -> None:
    found = parse_mountstats((FIXTURES / "mounts" / "debian_nfs_mountstats.txt").read_text())
    assert set(found) == {"/mnt/n4", "/mnt/n3"}
    assert found["/mnt/n4"]["sent"] == 271 + 265 + 268 + 267
    assert found["/mnt/n4"]["read_bytes"] == 67108864
    assert found["/mnt/n4"]["connects"] == 8
    assert found["/mnt/n3"]["requests"] == 1 + 7 + 5 + 7 + 5 + 5 + 1 + 2 + 1
    assert found["/mnt/n3"]["rtt_ms"] == 0 + 4 + 3 + 3 + 4 + 3 + 1 + 1 + 0


def test_mountstats_of_other_kernels_and_a_counter_below_zero() -> None:
    below = parse_mountstats((FIXTURES / "mounts" / "procfs_26231_mountstats.txt").read_text())
    assert all(abs(value) < 1 << 62 for value in below["/mnt/nfs/test"].values())
    for name in ("node_exporter_proc_10", "telegraf_nfsclient"):
        found = parse_mountstats((FIXTURES / "mounts" / f"{name}_mountstats.txt").read_text())
        assert found
        for sums in found.values():
            assert sums["sent"] >= sums["received"] > 0


def test_only_local_mounts_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = (FIXTURES / "mounts" / "debian_nfs_mountinfo.txt").read_text()
    stats = (FIXTURES / "mounts" / "debian_nfs_mountstats.txt").read_text()
    files = tree(tmp_path, {"proc/self/mountinfo": info, "proc/self/mountstats": stats, "srv/x/y": "", "tmp/y": ""})
    asked: list[str] = []
    real = os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        return real(path)

    monkeypatch.setattr("os.statvfs", statvfs)
    mounts = Mounts(files)
    for worker in mounts.ask(0.0):
        assert worker.wait(time.monotonic() + 5)
    found = mounts.read(1.0, 6.0)
    assert sorted(asked) == sorted(str(tmp_path) + path for path in ("/", "/srv/x", "/tmp"))
    assert found["/mnt/n4"]["state"] == "ok", "mountstats tells of it"
    assert "total_bytes" not in found["/mnt/n4"]
    assert found["/srv/x"]["total_bytes"]


def test_a_hanging_mount_costs_one_thread_and_no_other_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /dead rw - ext4 /dev/sdb1 rw\n"
    files = tree(tmp_path, {"proc/self/mountinfo": info, "dead/x": ""})
    release = threading.Event()
    real = os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        if path.endswith("/dead"):
            release.wait(30)
        return real(path)

    monkeypatch.setattr("os.statvfs", statvfs)
    mounts = Mounts(files)
    before = threading.active_count()
    try:
        for now in range(0, 200, 20):
            started = mounts.ask(float(now))
            for worker in started:
                worker.wait(time.monotonic() + 0.3)
        found = mounts.read(200.0, 6.0)
        assert threading.active_count() - before == 2
        assert found["/"]["state"] == "ok"
        assert found["/dead"]["state"] == "hung"
        assert "total_bytes" in found["/dead"]["missing"]  # type: ignore[operator]
        tree(tmp_path, {"proc/self/mountinfo": info.splitlines()[0] + "\n"})
        mounts.ask(220.0)
        tree(tmp_path, {"proc/self/mountinfo": info})
        mounts.ask(240.0)
        assert threading.active_count() - before == 2, "mounted again it must not get a second thread"
    finally:
        release.set()


# Jobs


@pytest.mark.parametrize(
    ("cgroup", "job"),
    [
        ("9:freezer:/slurm/uid_1000/job_8812/step_0/task_0\n", "8812"),
        ("4:memory:/slurm_gpu01/uid_0/job_12/step_batch\n", "12"),
        ("0::/system.slice/slurmstepd.scope/job_8812/step_0/user/task_0\n", "8812"),
        ("0::/system.slice/gpu01_slurmstepd.scope/job_7/step_extern/user\n", "7"),
        ("3:cpuset:/pbspro.service/jobid/1234.pbs01\n", "1234.pbs01"),
        ("3:cpuset:/pbs_jobs.service/jobid/1234\\x2d1.pbs01\n", "1234-1.pbs01"),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/"
            "kubepods-burstable-pod6ca3daff_fe2f_01b1_aaaa_0123456789ab.slice/cri-containerd-1.scope\n",
            "pod/6ca3daff-fe2f-01b1-aaaa-0123456789ab",
        ),
        (
            "5:cpu:/kubepods/besteffort/pod6ca3daff-fe2f-01b1-aaaa-0123456789ab/0123\n",
            "pod/6ca3daff-fe2f-01b1-aaaa-0123456789ab",
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/docker/0123456789abcdef\n", None),
        ("", None),
    ],
)
def test_job_of_a_cgroup(cgroup: str, job: str | None) -> None:
    assert jobs.parse_cgroup(cgroup) == job


def test_job_of_the_environment() -> None:
    assert jobs.parse_environ(b"A=1\0SLURM_JOB_ID=99\0B=2\0") == "99"
    assert jobs.parse_environ(b"PBS_JOBID=5[2].pbs\0") == "5[2].pbs"
    assert jobs.parse_environ(b"XSLURM_JOB_ID=99\0SLURM_JOB_ID=\0\xff\xfe") is None


def test_a_process_is_described_and_a_reused_number_is_another(tmp_path: Path) -> None:
    def process(started: int, command: str, job: int) -> dict[str, str]:
        stat = "77 (a ) b) S " + " ".join(["0"] * 18) + f" {started} 0\n"
        return {
            "proc/77/stat": stat,
            "proc/77/cmdline": command,
            "proc/77/cgroup": f"0::/slurmstepd.scope/job_{job}/step_0\n",
        }

    files = tree(tmp_path, process(100, "python\0train.py\0", 1))
    known = jobs.Jobs(files)
    found = known.describe({77, 78})
    assert set(found) == {77}, "a process that ended has nothing to tell"
    assert found[77]["command"] == "python train.py"
    assert found[77]["job"] == "1"
    assert found[77]["user"]
    tree(tmp_path, process(200, "other\0", 2))
    assert known.describe({77})[77]["job"] == "2"


# Accelerators without NVML


def columns(path: Path, fields: list[str]) -> list[str]:
    """Return the rows of a recorded CSV with the columns that the probe would ask for, in its order."""
    lines = [[cell.strip() for cell in line.split(",")] for line in path.read_text().splitlines()]
    header = [name.split(" [")[0] for name in lines[0]]
    return [", ".join(line[header.index(field)] for field in fields) for line in lines[1:]]


def test_fields_of_a_real_release() -> None:
    fields = nvidia_smi.known_fields((FIXTURES / "nvml" / "help_query_gpu.txt").read_text())
    assert fields[0] == "index"
    assert set(nvidia_smi.BASIC) <= set(fields)
    assert "clocks_event_reasons.active" in fields
    assert "clocks_throttle_reasons.active" not in fields
    assert nvidia_smi.known_fields('"index"\n"clocks_throttle_reasons.active"\n')[-1].startswith("clocks_throttle")


def test_a_real_h100_under_load() -> None:
    fields = nvidia_smi.known_fields((FIXTURES / "nvml" / "help_query_gpu.txt").read_text())
    row = nvidia_smi.parse_row(fields, columns(FIXTURES / "nvml" / "h100_query.csv", fields)[0], {})
    assert row is not None
    index, gpu = row
    assert index == 0
    assert gpu["model"] == "NVIDIA H100 80GB HBM3"
    assert gpu["memory_total_bytes"] == 81559 << 20
    assert gpu["utilization_percent"] > 50
    assert 100 < gpu["power_w"] <= gpu["power_limit_w"] * 1.1
    assert gpu["mig"] is False


def test_what_mig_does_not_report_is_missing_and_not_zero() -> None:
    fields = nvidia_smi.known_fields((FIXTURES / "nvml" / "help_query_gpu.txt").read_text())
    row = nvidia_smi.parse_row(fields, columns(FIXTURES / "nvml" / "h100_mig_query.csv", fields)[0], {})
    assert row is not None
    assert row[1]["mig"] is True
    assert "utilization_percent" not in row[1]
    assert row[1]["missing"]["utilization_percent"]


def test_a_lost_gpu_in_a_recorded_query() -> None:
    fields = ["index", "name", "uuid", "utilization.gpu", "memory.used", "temperature.gpu", "power.draw"]
    rows = [
        nvidia_smi.parse_row(fields, line, {}) for line in columns(FIXTURES / "nvml" / "h100_lost_query.csv", fields)
    ]
    states = [row[1].get("state", "ok") for row in rows if row is not None]
    assert len(states) == 8
    assert states.count("lost") == 1
    assert states[3] == "lost"


@pytest.mark.parametrize(
    "line", ["", "NVIDIA-SMI has failed because it couldn't communicate", "x, y", "-1" + ", 0" * 8, "1,2"]
)
def test_what_is_no_row_is_none(line: str) -> None:
    assert nvidia_smi.parse_row(list(nvidia_smi.BASIC), line, {}) is None


def test_numbers_that_are_none_cost_their_value() -> None:
    row = nvidia_smi.parse_row(["index", "power.draw", "memory.used", "utilization.gpu"], "0, nan, inf, 1e99", {})
    assert row is not None
    assert set(row[1]) == {"vendor", "missing"}


def test_what_was_not_asked_has_its_own_reason() -> None:
    left_out = nvidia_smi.unasked(nvidia_smi.BASIC, "not asked")
    row = nvidia_smi.parse_row(
        list(nvidia_smi.BASIC), "0, GPU-1, A100, 00000000:07:00.0, 97, 1024, 40960, [N/A], 61", left_out
    )
    assert row is not None
    missing = row[1]["missing"]
    assert missing["throttle"] == missing["power_limit_w"] == missing["ecc_uncorrected"] == "not asked"
    assert missing["power_w"] == "not supported by this device", "this one was asked"
    assert not set(missing) & set(row[1])
    every = [name for name, _, _ in nvidia_smi.QUERY]
    assert nvidia_smi.unasked(every, "x") == {}
    assert "throttle" not in nvidia_smi.unasked(every[:-1], "x"), "under its old name or its new one"


APPS = """GPU-1, 11327, 2566
GPU-1, 11345, [N/A]
GPU-2, 11327, 1542
"""


def test_processes_of_a_query() -> None:
    # Rows as release 590 printed them for an H100 under load, in the columns that are asked for.
    mib = 1 << 20
    assert compute_apps.parse(APPS) == {"GPU-1": {11327: 2566 * mib, 11345: None}, "GPU-2": {11327: 1542 * mib}}
    assert compute_apps.parse("") == {}
    assert compute_apps.parse("Failed to initialize\nGPU-1, 7, 1\n") == {"GPU-1": {7: mib}}
    flood = "".join(f"GPU-1, {pid}, 1\n" for pid in range(10_000))
    assert len(compute_apps.parse(flood)["GPU-1"]) == 64


@pytest.mark.parametrize(
    "text", ["No devices were found", "GPU-1, [N/A], [N/A]", ", 7, 1", "GPU-1, -7, 1", "GPU-1, " + "9" * 40 + ", 1"]
)
def test_what_lists_no_process_is_no_proof_that_there_is_none(text: str) -> None:
    with pytest.raises(SensorError, match="nvidia-smi says: "):
        compute_apps.parse(text)


def program(path: Path, script: str) -> str:
    """Write a program for sh and return its path."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def apps_of(root: Path, script: str) -> compute_apps.ComputeApps:
    """Run a stand-in for nvidia-smi over a made-up /proc and wait for its answer."""
    files = tree(
        root,
        {
            "proc/11327/stat": "11327 (train) S " + " ".join(str(n) for n in range(4, 40)),
            "proc/11327/cmdline": "python\0train.py\0",
            "proc/11327/cgroup": "0::/system.slice/slurmstepd.scope/job_8812/step_0/user/task_0\n",
        },
    )
    apps = compute_apps.ComputeApps(program(root / "nvidia-smi", script), files)
    for worker in apps.ask(0.0):
        assert worker.wait(time.monotonic() + 20)
    assert apps.ask(5.0) == [], "not before ten seconds are over"
    return apps


def test_processes_have_the_job_of_their_cgroup(tmp_path: Path) -> None:
    apps = apps_of(tmp_path, f"cat <<'end'\n{APPS}end")
    gpu = apps.add_to({"uuid": "GPU-1"}, 1.0, 6.0)
    mine, stranger = gpu["processes"]
    assert (mine["pid"], mine["job"], mine["command"]) == (11327, "8812", "python train.py")
    assert mine["memory_bytes"] == 2566 << 20
    assert stranger == {"pid": 11345}, "of another namespace, or gone already"
    idle = apps.add_to({"uuid": "GPU-9"}, 1.0, 6.0)
    assert idle == {"uuid": "GPU-9", "processes": []}, "known to be idle"
    assert "by UUID" in apps.add_to({"missing": {"uuid": "x"}}, 1.0, 6.0)["missing"]["processes"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo NVIDIA-SMI has failed because it cannot talk to the driver; exit 9", "has failed because"),
        ("exit 6", "nothing, and failed"),
        ("echo garbage", "nvidia-smi says: garbage"),
    ],
)
def test_processes_that_nobody_can_name_are_missing(script: str, said: str, tmp_path: Path) -> None:
    gpu = apps_of(tmp_path, script).add_to({"uuid": "GPU-1", "missing": {"power_w": "x"}}, 1.0, 6.0)
    assert "processes" not in gpu
    assert said in gpu["missing"]["processes"]
    assert gpu["missing"]["power_w"] == "x"


def test_a_tool_that_hangs_is_killed_at_its_deadline_and_can_be_ended_before(tmp_path: Path) -> None:
    path = program(tmp_path / "hl-smi", "exec sleep 600")
    with pytest.raises(SensorError, match="hl-smi did not answer within 0 s"):
        Tool(path, 0.1).run([])
    tool = Tool(path, 600.0)
    worker = Worker("tool", lambda: tool.run([]))
    worker.ask(0.0)
    deadline = time.monotonic() + 20
    while not worker.wait(time.monotonic() + 0.02):
        tool.end()
        assert time.monotonic() < deadline
    assert worker.value[0] == -9
    worker.end()
    tool.end()


def amd_card(root: Path) -> Files:
    """A made-up MI300X as the driver amdgpu shows it."""
    device = "sys/devices/pci0000:00/0000:c1:00.0/"
    files = tree(
        root,
        {
            device + "vendor": "0x1002\n",
            device + "device": "0x74a1\n",
            device + "product_name": "AMD Instinct MI300X\n",
            device + "unique_id": "7c1a5f3e0b2d4c69\n",
            device + "gpu_busy_percent": "87\n",
            device + "mem_info_vram_used": str(100 << 30),
            device + "mem_info_vram_total": str(192 << 30),
            device + "pp_dpm_sclk": "0: 132Mhz\n1: 1950Mhz *\n2: 2100Mhz\n",
            device + "current_link_speed": "32.0 GT/s PCIe\n",
            device + "current_link_width": "16\n",
            device + "hwmon/hwmon5/power1_input": "612000000\n",
            device + "hwmon/hwmon5/power1_cap": "750000000\n",
            device + "hwmon/hwmon5/temp2_label": "junction\n",
            device + "hwmon/hwmon5/temp2_input": "71000\n",
            device + "hwmon/hwmon5/temp3_label": "mem\n",
            device + "hwmon/hwmon5/temp3_input": "64000\n",
            device + "ras/umc_err_count": "ue: 1\nce: 12\n",
            device + "ras/sdma_err_count": "ue: 0\nce: 3\n",
            "sys/class/kfd/kfd/topology/nodes/2/gpu_id": "51234\n",
            "sys/class/kfd/kfd/topology/nodes/2/properties": "location_id 49408\ndomain 0\n",
            "sys/class/kfd/kfd/topology/nodes/0/gpu_id": "0\n",
            "sys/class/kfd/kfd/proc/4242/vram_51234": str(90 << 30),
            "sys/class/drm/card0-DP-1/status": "",
        },
    )
    card = root / "sys/class/drm/card1"
    card.mkdir(parents=True)
    (card / "device").symlink_to(root / device)
    return files


def read_accelerators(accelerators: Accelerators) -> tuple[dict[str, Any], str | None]:
    for worker in accelerators.ask(0.0):
        assert worker.wait(time.monotonic() + 10)
    return accelerators.read(0.1, 6.0)


def test_an_amd_gpu(tmp_path: Path) -> None:
    accelerators = Accelerators(amd_card(tmp_path), None)
    assert accelerators.kind == "amdgpu sysfs"
    found, reason = read_accelerators(accelerators)
    assert reason is None
    assert found["0"] == {
        "vendor": "amd",
        "model": "AMD Instinct MI300X",
        "bus_id": "0000:c1:00.0",
        "uuid": "7c1a5f3e0b2d4c69",
        "utilization_percent": 87,
        "memory_used_bytes": 100 << 30,
        "memory_total_bytes": 192 << 30,
        "clock_mhz": 1950,
        "clock_max_mhz": 2100,
        "pcie_generation": 5,
        "pcie_width": 16,
        "power_w": 612.0,
        "power_limit_w": 750.0,
        "temperature_c": 71.0,
        "memory_temperature_c": 64.0,
        "ecc_uncorrected": 1,
        "ecc_corrected": 15,
        "processes": [{"pid": 4242, "memory_bytes": 90 << 30}],
        "missing": {"throttle": amd.NO_THROTTLE},
    }


def test_an_amd_gpu_without_a_list_of_processes_does_not_claim_that_there_are_none(tmp_path: Path) -> None:
    files = amd_card(tmp_path)
    shutil.rmtree(tmp_path / "sys/class/kfd")
    found, _ = read_accelerators(Accelerators(files, None))
    assert "processes" not in found["0"]
    assert found["0"]["missing"]["processes"] == amd.NO_KFD


def test_an_amd_gpu_that_left_the_bus_is_lost(tmp_path: Path) -> None:
    accelerators = Accelerators(amd_card(tmp_path), None)
    (tmp_path / "sys/devices/pci0000:00/0000:c1:00.0/vendor").unlink()
    found, _ = read_accelerators(accelerators)
    assert found["0"]["state"] == "lost"


def test_a_sleeping_amd_gpu_is_not_woken(tmp_path: Path) -> None:
    files = amd_card(tmp_path)
    tree(tmp_path, {"sys/devices/pci0000:00/0000:c1:00.0/power/runtime_status": "suspended\n"})
    found, _ = read_accelerators(Accelerators(files, None))
    assert found["0"]["missing"]["utilization_percent"] == "asleep"
    assert "utilization_percent" not in found["0"]


def test_amd_levels() -> None:
    assert amd.parse_levels("S: 19Mhz *\n") == (None, None)
    assert amd.parse_levels("0: 500Mhz\n1: 1700Mhz *") == (1700, 1700)
    assert amd.parse_levels("") == (None, None)


def test_habana_rows() -> None:
    text = "0, 01P1-15, HL-225, 0000:19:00.0, 45, 768, 98304, 320, 41\nERROR\n1, u, m, b, -, 1, 2, 3, 4\n"
    found = habana.parse(text)
    assert found["0"]["utilization_percent"] == 45
    assert found["0"]["memory_total_bytes"] == 98304 << 20
    assert found["0"]["missing"] == habana.LEFT_OUT
    assert found["1"]["missing"] == {**habana.LEFT_OUT, "utilization_percent": "not reported by this device"}
    assert {"processes", "throttle"} <= set(habana.LEFT_OUT)


def test_a_gpu_without_its_driver_is_said(tmp_path: Path) -> None:
    files = tree(
        tmp_path,
        {
            "sys/bus/pci/devices/0000:1a:00.0/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:1a:00.0/class": "0x030200\n",
        },
    )
    assert Accelerators(files, None).read(0.0, 6.0) == (
        {},
        "an NVIDIA GPU is on the bus, but its driver is not loaded",
    )
    assert Accelerators(Files(str(tmp_path / "empty")), None).read(0.0, 6.0) == ({}, NONE)


# The whole


def test_an_empty_machine_costs_values_and_not_the_tick(tmp_path: Path) -> None:
    state = Sampler(Files(str(tmp_path)), None).sample(6.0)
    assert state["missing"]["links"] == "not provided by this kernel"
    assert state["missing"]["disks"] == "not provided by this kernel"
    assert state["missing"]["mounts"] == "not provided by this kernel"
    assert state["missing"]["accelerators"] == NONE
    assert state["host"]["missing"]


def test_merge_patch_is_what_makes_one_of_the_other() -> None:
    old = {"a": {"x": 1, "y": 2}, "b": {"z": [1]}, "c": {"q": 1}}
    new = {"a": {"x": 1, "y": 3}, "b": {"z": [1, 2]}, "d": {"r": {"s": 1}}}
    assert merge_patch(old, new) == {"a": {"y": 3}, "b": {"z": [1, 2]}, "c": None, "d": {"r": {"s": 1}}}
    assert merge_patch(new, new) == {}
    assert merge_patch({"a": 1}, {"a": True}) == {"a": True}, "a flag is no number"


def test_a_worker_hangs_alone_and_comes_back() -> None:
    gate = threading.Event()

    def call() -> int:
        gate.wait(30)
        return 5

    worker = Worker("x", call)
    assert worker.ask(0.0)
    assert not worker.wait(time.monotonic() + 0.05)
    assert not worker.ask(100.0), "what hangs is not asked again"
    assert worker.silent_for(100.0) == 100.0
    gate.set()
    assert worker.wait(time.monotonic() + 5)
    assert worker.value == 5
    assert not worker.ask(1.0, 10.0)
    assert worker.ask(11.0, 10.0)
    assert worker.wait(time.monotonic() + 5)
    worker.end()


def test_a_worker_that_fails_says_why_and_goes_on() -> None:
    answers = iter([ValueError("odd"), None])

    def call() -> str:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "fine"

    worker = Worker("x", call)
    worker.ask(0.0)
    worker.wait(time.monotonic() + 5)
    assert worker.error == "ValueError: odd"
    worker.ask(1.0)
    worker.wait(time.monotonic() + 5)
    assert worker.error is None
    assert worker.value == "fine"
    worker.end()


def test_why() -> None:
    assert why(PermissionError(13, "Permission denied")) == "permission denied"
    assert why(FileNotFoundError(2, "x")) == "not provided by this kernel"
    assert why(OSError(5, "Input/output error")) == "input/output error"


def test_the_pace_slows_over_the_budget_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr("console.probes.node.cost.time.monotonic", lambda: clock["wall"])
    monkeypatch.setattr("console.probes.node.cost.time.process_time", lambda: clock["cpu"])
    cost = Cost(budget_percent=1.0)
    assert cost.measure(2.0) == {}, "starting up is paid once"

    def run(cpu_per_tick: float, ticks: int) -> None:
        for _ in range(ticks):
            clock["wall"] += 2.0 * cost.stretch
            clock["cpu"] += cpu_per_tick
            cost.measure(2.0)

    run(0.1, 20)
    assert 0.1 / (2.0 * cost.stretch) <= 0.0101, "0.1 s of processor every tick is 1 % at ten seconds"
    assert cost.stretch <= 30.0
    run(0.001, 60)
    assert cost.stretch == 1.0
