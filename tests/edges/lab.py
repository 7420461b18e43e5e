"""Real caches before a real origin, all on loopback, for tests that want to see what a cache does."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests import needs
from tests.edges.origin import MEMBERS, Origin, Request
from tests.ports import free_port

__all__ = ["MEMBERS", "Nginx", "Origin", "Request", "Squid", "TrafficServer", "Varnish"]

TEMPLATES = Path(__file__).parent
_READY_WITHIN = 15  # seconds


class _Edge:
    """A real program that caches before an origin: started by `with`, as an unprivileged user, in a private folder.

    `config` is the name of a template beside this file, or a path; a template is a file or a folder of them. Raises
    RuntimeError with the program's output when its port does not answer within 15 s.
    """

    folders: tuple[str, ...] = ()

    def __init__(self, config: str | Path, origin: Origin) -> None:
        self.template = TEMPLATES / config
        self.origin = origin
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The program's process, which leads the group of its children; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def command(self, folder: Path, config: Path) -> list[str]:
        """The program and its arguments; skips the test where the machine lacks it."""
        raise NotImplementedError

    def env(self, _folder: Path) -> dict[str, str]:
        """What the program wants to find in its environment."""
        return {}

    def __enter__(self) -> Self:
        root = os.geteuid() == 0
        self.port = free_port()
        with contextlib.ExitStack() as undo:
            # Root's own TMPDIR may be closed to others.
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="edge-", dir="/tmp" if root else None)))
            for name in self.folders:
                (folder / name).mkdir()
            command = self.command(folder, self._fill(folder))
            user = pwd.getpwnam("nobody") if root else None
            if user:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, user.pw_uid, user.pw_gid)
            with (folder / "output").open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={
                        "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        "TMPDIR": str(folder),
                        **self.env(folder),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}),
                )
            undo.callback(self._end)
            self._wait(folder / "output")
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the program and its children, and remove its folder. A second time does nothing."""
        if self._process:
            self._undo.close()

    def _fill(self, folder: Path) -> Path:
        """The template, or all files of one that is a folder, written into the private folder."""
        files = [file for file in self.template.rglob("*") if file.is_file()] or [self.template]
        for file in files:
            text = file.read_text()
            for name, value in {"DIR": folder, "PORT": self.port, "ORIGIN_PORT": self.origin.port}.items():
                text = text.replace(f"@{name}@", str(value))
            filled = folder / file.relative_to(self.template.parent)
            filled.parent.mkdir(exist_ok=True, parents=True)
            filled.write_text(text)
        return folder / self.template.name

    def _wait(self, output: Path) -> None:
        until = time.monotonic() + _READY_WITHIN
        while self._process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        said = output.read_text(errors="replace")
        raise RuntimeError(f"{self._process.args[0]} does not answer on port {self.port}. It said:\n{said}")

    def _end(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


class Varnish(_Edge):
    """Varnish with a VCL; `X-Cache` says HIT or MISS, and the method PURGE purges."""

    def command(self, folder: Path, config: Path) -> list[str]:
        varnishd = needs.program("varnishd")
        installed = any(any(Path("/usr").glob(f"{at}/varnish/vmods/libvmod_xkey.so")) for at in ("lib*", "lib/*"))
        if "import xkey" in config.read_text() and not installed:
            needs.lacking("varnish-modules")
        listen = f"127.0.0.1:{self.port}"
        return [varnishd, *f"-j none -F -n {folder} -a {listen} -f {config} -s malloc,16M -T none".split()]


class Nginx(_Edge):
    """nginx with its purge module; `X-Cache-Status` says HIT or MISS, and a GET of `/__purge<target>` purges."""

    folders = ("tmp", "logs", "cache")

    def command(self, folder: Path, config: Path) -> list[str]:
        nginx = needs.program("nginx")
        needs.file("/usr/lib/nginx/modules/ngx_http_cache_purge_module.so")
        return [nginx, "-c", str(config), "-p", str(folder)]


class TrafficServer(_Edge):
    """Traffic Server; asked with `X-Debug: X-Cache` it says hit-fresh or miss, and the method PURGE purges."""

    folders = ("cache", "data", "log", "run")

    def command(self, folder: Path, config: Path) -> list[str]:
        traffic_server = needs.program("traffic_server")
        shipped = needs.file("/etc/trafficserver")
        shutil.copy(shipped / "ip_allow.yaml", config / "etc")
        shutil.copytree(shipped / "body_factory", config / "etc" / "body_factory")
        return [traffic_server]

    def env(self, folder: Path) -> dict[str, str]:
        return {"TS_RUNROOT": str(folder / self.template.name)}


class Squid(_Edge):
    """Squid before an origin; `X-Cache` says HIT or MISS from squid-lab, and the method PURGE purges."""

    def command(self, folder: Path, config: Path) -> list[str]:
        # The service's name keeps its shared memory apart from that of another Squid.
        return [needs.program("squid"), "-N", "-n", f"lab{self.port}", "-f", str(config)]
