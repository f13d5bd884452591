"""What the operating system says about processes: who descends from whom, who listens, who has which files open."""

import os
from contextlib import suppress
from pathlib import Path


def files_under(folder: Path) -> list[Path]:
    """Every file below a folder in which others work: what goes meanwhile is not there."""
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names]


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] != "Z":
                    children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def children_of(pid: int) -> set[int]:
    """The living processes whose parent is `pid`."""
    below = descendants(pid)
    return below - {other for child in below for other in descendants(child)}


def command_of(pid: int) -> list[str]:
    """The command line of a process; empty where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    return []


def open_files(pid: int) -> set[str]:
    """Paths that a process has open or mapped, and its working directory."""
    links = [Path(f"/proc/{pid}/cwd"), *Path(f"/proc/{pid}/fd").iterdir(), *Path(f"/proc/{pid}/map_files").iterdir()]
    found = set()
    for link in links:
        with suppress(OSError):
            found.add(os.readlink(link))
    return found


def listening_ports(pid: int) -> set[int]:
    """TCP ports on which a process listens."""
    inodes = {path.removeprefix("socket:[").removesuffix("]") for path in open_files(pid) if path.startswith("socket:")}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def resident_mb(pid: int) -> float:
    """The memory that a process holds, 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6
