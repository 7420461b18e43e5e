"""A shop with as many articles as one likes, for the benchmarks of sweeps: sitemaps in nginx, Varnish before it."""

import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.probe import _program as program
from benchmarks.probe import _wait_for as wait_for
from tests.ports import free_port

RULE = {
    "name": "articles",
    "paths": ["/articles/**"],
    "cache": {"by": "everyone", "edge_ttl": "5m..24h", "vary": []},
    "examples": {"cached": ["/articles/0"]},
    "expected_result": "A copy at most a day old.",
    "rollback": {"note": "kept", "command": ["true"]},
}
#: The core of who asks. The servers have the others, so that "one core" is one.
OURS = 0
#: Addresses of one sitemap, by the protocol.
PER_FILE = 50_000
_NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off; types {{ text/html html; application/xml xml; }}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


def path(number: int) -> str:
    """The path of an article."""
    return f"/articles/{number:07}-how-to-plant-tomatoes"


@contextmanager
def shop(count: int, delay: int = 0) -> Iterator[str]:
    """The address of a shop of so many articles; each takes `delay` milliseconds."""
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name, ExitStack() as stack:
        folder, port, origin = Path(name), free_port(), free_port()
        folder.chmod(0o755)
        address = f"http://127.0.0.1:{port}"
        (folder / "www").mkdir(mode=0o755)
        (folder / "www" / "article.html").write_text("x" * 2048)
        _sitemaps(folder / "www", address, count)
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=origin))
        _start(stack, origin, [program("nginx"), "-p", name, "-c", f"{name}/nginx.conf"])
        vcl = (
            Path(__file__)
            .with_name("sweep.vcl")
            .read_text()
            .replace("@PORT@", str(origin))
            .replace("@DELAY@", str(delay))
        )
        (folder / "sweep.vcl").write_text(vcl)
        command = [program("varnishd"), "-j", "none", "-F", "-n", f"{name}/n", "-a", f"127.0.0.1:{port}"]
        command += ["-f", f"{name}/sweep.vcl", "-s", "malloc,32M", "-T", "none", "-p", "thread_pool_min=200"]
        _start(stack, port, command)
        yield address


def _sitemaps(folder: Path, address: str, count: int) -> None:
    space = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    files = []
    for start in range(0, count, PER_FILE):
        urls = "".join(
            f"<url><loc>{address}{path(n)}</loc></url>\n" for n in range(start, min(start + PER_FILE, count))
        )
        files.append(f"<sitemap><loc>{address}/sitemap-{start}.xml</loc></sitemap>")
        (folder / f"sitemap-{start}.xml").write_text(f"<urlset {space}>{urls}</urlset>")
    (folder / "sitemap.xml").write_text(f"<sitemapindex {space}>{''.join(files)}</sitemapindex>")


def _start(stack: ExitStack, port: int, command: list[str]) -> None:
    cores = sorted(set(range(os.cpu_count() or 1)) - {OURS}) or [OURS]
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    server = stack.enter_context(subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    stack.callback(server.terminate)
    wait_for(port, server)


def alone(work: Callable[..., Any], *args: Any) -> Any:
    """What a fresh process comes to, on a core of its own."""
    with multiprocessing.get_context("spawn").Pool(1, os.sched_setaffinity, (0, {OURS})) as pool:
        return pool.apply(work, args)


def pinned(*command: str) -> tuple[float, float]:
    """Seconds and seconds of CPU of a program, on a core of its own."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        ["taskset", "-c", str(OURS), *command],
        check=True,
        timeout=900,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
