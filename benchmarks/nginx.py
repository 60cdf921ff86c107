"""A rate limiter we did not write: nginx's `limit_req` on loopback, in front of a server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

_CONFIG = """
daemon off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  log_format line '$msec $status';
  access_log {folder}/access.log line;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  limit_req_zone $binary_remote_addr zone=all:1m rate={rate}r/s;
  limit_req_status 429;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      limit_req zone=all {burst};
      proxy_pass {upstream};
      proxy_http_version 1.1;
    }}
  }}
}}
"""


@frozen
class Nginx:
    """A running nginx; `answers` reads its access log."""

    url: str
    folder: Path

    def answers(self) -> list[tuple[float, int]]:
        """(time the answer was logged, status) of every request so far."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [(float(time), int(status)) for time, status in map(str.split, lines)]

    def refused(self) -> int:
        """How many answers were 429."""
        return sum(status == 429 for _, status in self.answers())


def find_nginx() -> str | None:
    """The nginx program, which Debian keeps off a user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(upstream: str, *, rate: int, burst: int) -> Iterator[Nginx]:
    """Run nginx with `limit_req` at `rate` requests/s and `burst=N nodelay`."""
    program = find_nginx()
    if program is None:
        raise RuntimeError("nginx is not installed (Debian: apt-get install nginx-light)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                rate=rate,
                port=port,
                upstream=upstream,
                burst=f"burst={burst} nodelay" if burst else "",
            )
        )
        server = subprocess.Popen([program, "-p", name, "-c", str(config)])
        try:
            _wait_for(port, server)
            yield Nginx(f"http://127.0.0.1:{port}", folder)
        finally:
            server.terminate()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise RuntimeError("nginx did not start")
