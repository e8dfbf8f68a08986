"""A container's records: ``containers/<id>/``, as dockerd 20.10 writes them."""

import gzip
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exporter.sample.disk import encode_json, hex_id, make_directory, replace_record, write_record
from exporter.sample.imagedb import PATH, process_config
from exporter.store.entries import CacheID, ContainerID, ContainerState, ImageID, MountPoint

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: what never happened."""

_MASKED = ("asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
_HOSTS = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """What the sample keeps of a container, and writes out as its records."""

    container_id: ContainerID
    name: str
    image_id: ImageID
    image_reference: str
    driver: str
    state: ContainerState
    created: str
    mount_id: CacheID
    pid: int = 0
    exit_code: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=dict)
    storage_opt_size: str | None = None
    mount_points: Sequence[MountPoint] = ()

    @property
    def mounted(self) -> bool:
        """Whether the engine keeps its root filesystem mounted in this state."""
        return self.state in {ContainerState.RUNNING, ContainerState.PAUSED}


class ContainerDirectories:
    """Writes ``containers/``."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.home = make_directory(home, 0o710)
        self._rng = rng

    def path(self, container: ContainerID) -> Path:
        """The container's own directory."""
        return self.home / container

    def log_path(self, record: ContainerRecord) -> Path | None:
        """Where the engine writes this container's log on this host; None for a driver that keeps nothing here."""
        directory = self.path(record.container_id)
        match record.log_driver:
            case "json-file":
                return directory / f"{record.container_id}-json.log"
            case "local":
                return directory / "local-logs" / "container.log"
            case "none" | "journald":
                return None
            case _:
                return directory / "container-cached.log"

    def create(self, record: ContainerRecord) -> None:
        """``hostconfig.json``, then ``config.v2.json``; then what the first start adds."""
        directory = make_directory(self.path(record.container_id), 0o710)
        make_directory(directory / "checkpoints", 0o700)
        replace_record(directory / "hostconfig.json", encode_json(_host_config(record)), self._rng, 0o644)
        self.save(record)

    def save(self, record: ContainerRecord) -> None:
        """Replace ``config.v2.json``, and make what a container has once it was started."""
        directory = self.path(record.container_id)
        if record.state is not ContainerState.CREATED and not (directory / "mounts").exists():
            self._first_start(record)
        config = encode_json(self._config(record))
        replace_record(directory / "config.v2.json", config, self._rng)

    def remove(self, container: ContainerID) -> None:
        """Delete the container's directory."""
        shutil.rmtree(self.path(container))

    def append_log(self, record: ContainerRecord, size: int) -> None:
        """Add exactly ``size`` bytes of log lines; nothing where the driver keeps no file here."""
        path = self.log_path(record)
        if path is None:
            return
        make_directory(path.parent, 0o700)
        with path.open("ab") as log:
            log.write(log_lines(size))
        path.chmod(0o640)

    def rotate_log(self, record: ContainerRecord, *, keep: int, compress: bool) -> None:
        """Move the log to ``.1`` and older ones on, dropping those beyond ``keep``; an empty one takes its place."""
        path = self.log_path(record)
        if path is None:
            return
        suffix = ".gz" if compress else ""
        for number in range(keep, 0, -1):
            older = Path(f"{path}.{number}{suffix}")
            if number == keep:
                older.unlink(missing_ok=True)
            elif older.exists():
                older.rename(f"{path}.{number + 1}{suffix}")
        if compress:
            Path(f"{path}.1.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()
        else:
            path.rename(f"{path}.1")
        self.append_log(record, 0)

    def _first_start(self, record: ContainerRecord) -> None:
        directory = self.path(record.container_id)
        make_directory(directory / "mounts", 0o710)
        write_record(directory / "hostname", f"{record.container_id[:12]}\n")
        write_record(directory / "hosts", _HOSTS)
        write_record(directory / "resolv.conf", "nameserver 127.0.0.53\n")
        write_record(directory / "resolv.conf.hash", f"sha256:{hex_id(self._rng)}")
        self.append_log(record, 0)

    def _config(self, record: ContainerRecord) -> dict[str, object]:
        directory = self.path(record.container_id)
        log = self.log_path(record) if record.log_driver == "json-file" else None
        started = record.state is not ContainerState.CREATED
        command = ["/bin/sh", "-c", "serve"]
        config = process_config(labels=record.labels)
        config |= {
            "Hostname": record.container_id[:12],
            "Env": [PATH],
            "Cmd": command,
            "Image": record.image_reference,
        }
        return {
            "StreamConfig": {},
            "State": _state(record),
            "ID": record.container_id,
            "Created": record.created,
            "Managed": False,
            "Path": command[0],
            "Args": command[1:],
            "Config": config,
            "Image": record.image_id,
            "NetworkSettings": _network_settings(),
            "LogPath": str(log) if log and started else "",
            "Name": f"/{record.name}",
            "Driver": record.driver,
            "OS": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "RestartCount": 0,
            "HasBeenStartedBefore": started,
            "HasBeenManuallyStopped": False,
            "MountPoints": {point.destination: _mount_point(point) for point in record.mount_points},
            "SecretReferences": None,
            "ConfigReferences": None,
            "AppArmorProfile": "",
            "HostnamePath": f"{directory}/hostname" if started else "",
            "HostsPath": f"{directory}/hosts" if started else "",
            "ShmPath": "",
            "ResolvConfPath": f"{directory}/resolv.conf" if started else "",
            "SeccompProfile": "",
            "NoNewPrivileges": False,
            "LocalLogCacheMeta": {"HaveNotifyEnabled": False},
        }


def log_lines(size: int) -> bytes:
    """Lines of the ``json-file`` driver that take exactly ``size`` bytes."""
    line = encode_json({"log": "GET /health 200\n", "stream": "stdout", "time": "2026-01-01T00:00:00.000000000Z"})
    whole = (line + b"\n") * (size // (len(line) + 1) + 1)
    return whole[: size - 1] + b"\n" if size else b""


def _state(record: ContainerRecord) -> dict[str, object]:
    state = record.state
    ended = state in {ContainerState.EXITED, ContainerState.DEAD, ContainerState.RESTARTING}
    dead = state is ContainerState.DEAD
    return {
        "Running": state in {ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING},
        "Paused": state is ContainerState.PAUSED,
        "Restarting": state is ContainerState.RESTARTING,
        "OOMKilled": False,
        # A container stays dead when its removal began and failed.
        "RemovalInProgress": dead,
        "Dead": dead,
        "Pid": record.pid if record.mounted else 0,
        "ExitCode": record.exit_code if ended else 0,
        "Error": "",
        "StartedAt": NEVER if state is ContainerState.CREATED else record.created,
        "FinishedAt": record.created if ended else NEVER,
        "Health": None,
    }


def _network_settings() -> dict[str, object]:
    """A container on the network ``none``: whatever starts on this root has no network to set up."""
    endpoint = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": None,
        "IPAMOperational": False,
    }
    return {
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Networks": {"none": endpoint},
        "Service": None,
        "Ports": None,
        "SandboxKey": "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "IsAnonymousEndpoint": False,
        "HasSwarmEndpoint": False,
    }


def _mount_point(point: MountPoint) -> dict[str, object]:
    spec = {"Type": point.kind, "Source": point.name or point.source, "Target": point.destination}
    return {
        "Source": point.source,
        "Destination": point.destination,
        "RW": point.writable,
        "Name": point.name,
        "Driver": "local" if point.kind == "volume" else "",
        "Type": point.kind,
        **({"Propagation": "rprivate"} if point.kind == "bind" else {}),
        "Spec": {key: value for key, value in spec.items() if value} | ({} if point.writable else {"ReadOnly": True}),
        "SkipMountpointCreation": point.kind == "bind",
    }


def _host_config(record: ContainerRecord) -> dict[str, object]:
    size = record.storage_opt_size
    return {
        "Binds": None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": record.log_driver, "Config": dict(record.log_options)},
        "NetworkMode": "none",
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": False,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "CapAdd": None,
        "CapDrop": None,
        "CgroupnsMode": "host",
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "GroupAdd": None,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": False,
        "PublishAllPorts": False,
        "ReadonlyRootfs": False,
        "SecurityOpt": None,
        **({} if size is None else {"StorageOpt": {"size": size}}),
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": 67_108_864,
        "Runtime": "runc",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        **dict.fromkeys(("CpuShares", "Memory", "NanoCpus"), 0),
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        **dict.fromkeys((f"BlkioDevice{way}{unit}" for unit in ("Bps", "IOps") for way in ("Read", "Write")), None),
        **dict.fromkeys(("CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"), 0),
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": [],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        **dict.fromkeys(("KernelMemory", "KernelMemoryTCP", "MemoryReservation", "MemorySwap"), 0),
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": None,
        "Ulimits": None,
        **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"), 0),
        "MaskedPaths": [f"/proc/{name}" for name in _MASKED] + ["/sys/firmware"],
        "ReadonlyPaths": [f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")],
    }
