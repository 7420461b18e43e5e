"""Runs one program where no network, no Unix socket and no file but a few can be written or reached.

It is run as a script and imports nothing of this project: `python -I -S migration_confine.py ORDER PROGRAM ARGV...`.
ORDER is JSON: `cwd`, `control` (the socket of whoever started it), `confine`, `ports`, `writable`, `read_only`,
`hidden` (files), `decoy` (the file that stands in their place), `resolver` (a file in the place of resolv.conf), and
`devices` (an empty folder).

The program gets namespaces of its own (user, network, mounts, processes, IPC), no capability, and a filter of system
calls that asks whoever started it about each connection. Sockets that listen on `ports` inside, and the filter's
descriptor, are handed over through `control`; nothing else leads out. When anything of this can't be had, the program
is not run: the reason goes to `control`, and the exit code is 125.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

#: linux/sched.h: CLONE_NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
#: linux/mount.h
_MS_READ_ONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
#: linux/prctl.h
_DEATH_SIGNAL, _CAPABILITY_DROP, _NO_NEW_PRIVILEGES = 1, 24, 38
#: linux/sockios.h: SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP.
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_MOUNT_SETATTR, _IO_URING_SETUP = 442, 425
#: By machine: the audit number of its instruction set, and its numbers of the calls `seccomp` and `connect`.
_MACHINES = {"x86_64": (0xC000003E, 317, 42), "aarch64": (0xC00000B7, 277, 203)}
_DEVICES = ("null", "zero", "full", "random", "urandom")
NOT_CONFINED = 125

libc = ctypes.CDLL(None, use_errno=True)


def main(words: list[str]) -> int:
    """Confine this process and run the program; its exit code, 128 + N after signal N."""
    order, argv = json.loads(words[0]), words[1:]
    if not order["confine"]:
        os.chdir(order["cwd"])
        os.execv(argv[0], argv)  # noqa: S606 - a command of the database file, as a list of words
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(order["control"])
        try:
            _leave()
            _mounts(order)
            os.chdir(order["cwd"])
            inside = _listeners(order["ports"])
            first = os.fork()  # the first process of the new namespace; when it ends, all that it started ends
            if first == 0:
                os._exit(_first(control, inside, argv))
        except OSError as error:
            _refuse(control, error)
            return NOT_CONFINED
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    return _code(os.waitpid(first, 0)[1])


def _refuse(control: socket.socket, error: OSError) -> None:
    with suppress(OSError):
        control.sendall(f"{error.filename or 'this system'}: {error.strerror}".encode())


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _leave() -> None:
    """Leave the namespaces of whoever started this, and stay the same user."""
    user, group = os.geteuid(), os.getegid()
    _checked(libc.unshare(_NAMESPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [word.encode() for word in (source, target, kind)]
    _checked(libc.mount(*words, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _attributes(path: str, added: int, removed: int, *, recursive: bool = False) -> None:
    """Set and clear attributes of mounts; others stay, which an older remount could not promise."""
    attributes = struct.pack("=4Q", added, removed, 0, 0)
    how = _AT_RECURSIVE if recursive else 0
    done = libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), how, attributes, ctypes.c_size_t(len(attributes)))
    _checked(done, f"mount_setattr {path}")


def _mounts(order: dict[str, Any]) -> None:
    """Make everything read-only but the writable folders, and put the decoy in the place of hidden files."""
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    # From the outside in: what is bound later lies on top of what its parent brought along.
    for folder in sorted({*order["writable"], *order["read_only"]}, key=lambda path: path.count("/")):
        _mount(folder, folder, "", _MS_BIND | _MS_REC)
    for file in order["hidden"]:
        _mount(order["decoy"], file, "", _MS_BIND)
    with suppress(FileNotFoundError):
        _mount(order["resolver"], str(Path("/etc/resolv.conf").resolve(strict=True)), "", _MS_BIND)
    devices = _devices(Path(order["devices"]))
    _attributes("/", _READ_ONLY | _NO_DEVICES | _NO_SUID, 0, recursive=True)
    for path in {*order["writable"], *order["hidden"], "/dev/shm"} - {*order["read_only"]}:  # noqa: S108 - its own mount
        _attributes(path, 0, _READ_ONLY)
    for device in devices:
        _attributes(device, 0, _NO_DEVICES)


def _devices(folder: Path) -> list[str]:
    """A /dev without disks: to their owner they are files like others, and he may be who runs this."""
    _mount("none", str(folder), "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755,size=64k")
    for name in _DEVICES:
        (folder / name).touch()
        _mount(f"/dev/{name}", str(folder / name), "", _MS_BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (folder / name).symlink_to(f"/proc/self/fd/{number}")
    (folder / "fd").symlink_to("/proc/self/fd")
    (folder / "shm").mkdir()
    _mount("none", str(folder / "shm"), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    _mount(str(folder), "/dev", "", _MS_BIND | _MS_REC)
    return [f"/dev/{name}" for name in _DEVICES]


def _listeners(ports: list[int]) -> list[socket.socket]:
    """Bring the loopback up, and listen on it: for names by UDP first, then for each port by TCP."""
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("16sH14x", b"lo", 0)
    flags = struct.unpack("16sH14x", fcntl.ioctl(names, _GET_FLAGS, request))[1]
    fcntl.ioctl(names, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))
    names.bind(("127.0.0.1", 53))
    inside = [names]
    for port in ports:
        inside.append(_listening(socket.AF_INET, "0.0.0.0", port))
        with suppress(OSError):  # a system without IPv6
            inside.append(_listening(socket.AF_INET6, "::1", port))
    return inside


def _listening(family: int, host: str, port: int) -> socket.socket:
    one = socket.socket(family)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, port))
    one.listen(128)
    return one


def _first(control: socket.socket, inside: list[socket.socket], argv: list[str]) -> int:
    """The first process: gives up its rights, starts the program, and buries whoever dies."""
    try:
        _checked(libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
        _processes()
        _give_up_rights()
        program = os.fork()
        if program == 0:
            _become(control, inside, argv)
    except OSError as error:
        _refuse(control, error)
        return NOT_CONFINED
    control.close()
    for one in inside:
        one.close()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    while True:
        ended, status = os.wait()
        if ended == program:
            return _code(status)


def _processes() -> None:
    """A /proc that shows no process outside; the kernel's settings in it belong to root, who may run this.

    Where a part of it is covered, as containers and systemd do, the kernel permits no other one: then it is empty.
    """
    flags = _MS_READ_ONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    try:
        _mount("proc", "/proc", "proc", flags)
    except PermissionError:
        _mount("none", "/proc", "tmpfs", flags, "mode=555,size=4k")


def _give_up_rights() -> None:
    """No capability, now or by whatever is run: not even root's programs have one here."""
    for capability in range(64):
        if libc.prctl(_CAPABILITY_DROP, capability, 0, 0, 0) < 0 and ctypes.get_errno() == errno.EINVAL:
            break
    nothing = struct.pack("=6I", *[0] * 6)
    _checked(libc.capset(struct.pack("=Ii", 0x20080522, 0), nothing), "capset")
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def _become(control: socket.socket, inside: list[socket.socket], argv: list[str]) -> None:
    """Become the program, once the descriptors are handed over. Never returns."""
    try:
        asking = _filter()
        socket.send_fds(control, [b"\0"], [asking, *(one.fileno() for one in inside)])
    except OSError as error:
        _refuse(control, error)
        os._exit(NOT_CONFINED)
    os.closerange(3, 65536)
    with suppress(OSError):
        os.execv(argv[0], argv)  # noqa: S606 - a command of the database file, as a list of words
    os.write(2, f"{argv[0]} can't be run\n".encode())
    os._exit(126)


def _filter() -> int:
    """Ask about each `connect`; there are no other ways to one: no io_uring, no calls of another instruction set."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOTSUP, "no filter is known for it", machine)
    audit, seccomp, connect = _MACHINES[machine]
    load, jump_equal, jump_at_least, answer = 0x20, 0x15, 0x35, 0x06
    allow, ask, refuse = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
    steps = [
        (load, 0, 0, 4),  # the instruction set
        (jump_equal, 0, 4, audit),
        (load, 0, 0, 0),  # the call's number
        (jump_at_least, 2, 0, 0x40000000),  # x32 on x86-64
        (jump_equal, 2, 0, connect),
        (jump_equal, 0, 2, _IO_URING_SETUP),
        (answer, 0, 0, refuse),
        (answer, 0, 0, ask),
        (answer, 0, 0, allow),
    ]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    return _checked(libc.syscall(seccomp, 1, 8, program), "seccomp")  # SET_MODE_FILTER, FLAG_NEW_LISTENER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
