"""Real caches before a real origin, all on loopback, for tests that want to see what a cache does."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests import needs
from tests.edges.origin import MEMBERS, Origin, Request

__all__ = ["MEMBERS", "Nginx", "Origin", "Request", "Varnish"]

TEMPLATES = Path(__file__).parent
_READY_WITHIN = 15  # seconds


class _Edge:
    """A real program that caches before an origin: started by `with`, as an unprivileged user, in a private folder.

    `config` is the name of a template beside this file, or a path. Raises RuntimeError with the program's output when
    its port does not answer within 15 s.
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

    def __enter__(self) -> Self:
        root = os.geteuid() == 0
        self.port = free_port()
        with contextlib.ExitStack() as undo:
            # Root's own TMPDIR may be closed to others.
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="edge-", dir="/tmp" if root else None)))
            config = folder / self.template.name
            config.write_text(self._filled(folder))
            command = self.command(folder, config)
            for name in self.folders:
                (folder / name).mkdir()
            user = pwd.getpwnam("nobody") if root else None
            if user:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, user.pw_uid, user.pw_gid)
            with (folder / "output").open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(folder)},
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

    def _filled(self, folder: Path) -> str:
        text = self.template.read_text()
        for name, value in {"DIR": folder, "PORT": self.port, "ORIGIN_PORT": self.origin.port}.items():
            text = text.replace(f"@{name}@", str(value))
        return text

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
