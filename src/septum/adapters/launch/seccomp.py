"""Which system calls may an app in a sandbox not make? A seccomp filter: a program for the kernel, made of bytes.

The namespaces keep files, processes and the network away. The filter makes the kernel itself a smaller target: what no
training needs, and what has been the way out of sandboxes, is refused. It also closes what namespaces leave open:
sockets to the host of a virtual machine (AF_VSOCK), and memory that no limit counts (memfd, System V shared memory).

The numbers are those of x86-64; elsewhere there is no filter. Layout: <linux/seccomp.h>, <linux/filter.h>.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct

# <linux/bpf_common.h>: load a word of seccomp_data; jump if equal, if at least, if a bit is set; return
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data; its low half is first

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32 = 0x40000000  # system calls of another calling convention begin here

_REFUSED = {  # with EPERM
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "move_mount": 429, "open_tree": 428,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "setns": 308, "unshare": 272,
    "open_by_handle_at": 304, "fanotify_init": 300, "quotactl": 179, "quotactl_fd": 443, "acct": 163,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "reboot": 169, "swapon": 167, "swapoff": 168, "syslog": 103, "vhangup": 153,
    "settimeofday": 164, "clock_settime": 227, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "modify_ldt": 154, "uselib": 134, "nfsservctl": 180, "_sysctl": 156,
}  # fmt: skip
_ABSENT = {  # with ENOSYS, at which programs do without: clone3 hides its flags from a filter, clone does not
    "clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "memfd_create": 319, "memfd_secret": 447, "shmget": 29,
}  # fmt: skip
_CLONE, _SOCKET, _SOCKETPAIR = 56, 41, 53
_CLONE_NEW_ANY = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


def program(machine: str = "") -> bytes | None:
    """The filter for a machine, this one unless named; None where there is none.

    >>> program("riscv64") is None, len(program("x86_64")) % 8
    (True, 0)
    """
    if (machine or platform.machine()) != "x86_64":
        return None
    refusals = [(number, errno.EPERM) for number in _REFUSED.values()]
    absences = [(number, errno.ENOSYS) for number in _ABSENT.values()]
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_IF_EQUAL, _AUDIT_ARCH_X86_64, then=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_IF_AT_LEAST, _X32, otherwise=1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number, code in refusals + absences:
        steps += [_step(_IF_EQUAL, number, otherwise=1), _step(_RETURN, _ERRNO | code)]
    steps += _no_new_namespaces() + _known_families()
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _no_new_namespaces() -> list[bytes]:
    """A new process may not have a namespace of its own."""
    return [
        _step(_IF_EQUAL, _CLONE, otherwise=4),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_IF_ANY_BIT, _CLONE_NEW_ANY, otherwise=1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]


def _known_families() -> list[bytes]:
    """Sockets are of those families alone that the network namespace holds in."""
    refused = _step(_RETURN, _ERRNO | errno.EAFNOSUPPORT)
    known = [_step(_IF_EQUAL, family, then=len(_FAMILIES) - at) for at, family in enumerate(_FAMILIES)]
    return [
        _step(_IF_EQUAL, _SOCKET, then=1),
        _step(_IF_EQUAL, _SOCKETPAIR, otherwise=len(known) + 2),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        *known,
        refused,
    ]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction. A jump skips `then` or `otherwise` instructions."""
    return struct.pack("=HBBI", code, then, otherwise, value)
