"""How fast `/hf` gives a file away, against nginx with sendfile, in one run over the same file.

    python bench/hub_face.py [--size-gib 2] [--rounds 5] [--folder /dev/shm]

curl reads the whole file over loopback and drops it; the two servers take turns, the first round is thrown away. Prints
the medians in GB/s (10^9 bytes a second) and their ratio, for one reader and for four.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COMMIT = "b" * 40
DIGEST = "d" * 64
NGINX = """
user root;
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main() -> None:
    """Run the comparison, or, with --serve, the server that it measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gib", type=float, default=2.0, help="size of the file (2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the file is put (/dev/shm)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve_face(args.serve)
        return
    nginx, curl = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin"), shutil.which("curl")
    if not nginx or not curl:
        sys.exit("This needs nginx and curl: apt-get install -y nginx-light curl")
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as folder:
        compare(Path(folder), nginx, size_bytes=int(args.size_gib * 2**30), rounds=args.rounds)


def compare(folder: Path, nginx: str, *, size_bytes: int, rounds: int) -> None:
    """Serve one file from both servers and print how they do."""
    blob = write_cache(folder, size_bytes)
    print(f"{size_bytes / 1e9:.2f} GB in {folder}, loopback, median of {rounds} rounds")
    with run_face(folder) as face, run_nginx(nginx, folder, blob.parent) as plain:
        urls = {"modelshelf": f"{face}/hf/bench/model/resolve/main/model.bin", "nginx": f"{plain}/{blob.name}"}
        for readers in (1, 4):
            rates: dict[str, list[float]] = {name: [] for name in urls}
            for number in range(rounds + 1):
                for name in list(urls) if number % 2 else reversed(urls):
                    rate = fetch(urls[name], readers, size_bytes)
                    if number:
                        rates[name].append(rate)
            ours, theirs = (statistics.median(rates[name]) for name in ("modelshelf", "nginx"))
            spread = ", ".join(f"{name} {min(all_):.2f} to {max(all_):.2f}" for name, all_ in rates.items())
            print(
                f"readers {readers}: modelshelf {ours:.2f} GB/s, nginx {theirs:.2f} GB/s, "
                f"ratio {ours / theirs:.2f}   ({spread})"
            )


def write_cache(folder: Path, size_bytes: int) -> Path:
    """Lay out a stock cache with one file; returns its blob."""
    repo = folder / "hub" / "models--bench--model"
    for name in ("blobs", f"snapshots/{COMMIT}", "refs"):
        (repo / name).mkdir(parents=True)
    blob = repo / "blobs" / DIGEST
    block = bytes(range(256)) * 4096
    with blob.open("wb") as file:
        for start in range(0, size_bytes, len(block)):
            file.write(block[: size_bytes - start])
    (repo / "snapshots" / COMMIT / "model.bin").symlink_to(f"../../blobs/{DIGEST}")
    (repo / "refs" / "main").write_text(COMMIT)
    return blob


def fetch(url: str, readers: int, size_bytes: int) -> float:
    """Return the rate at which some readers together get the file, in GB/s."""
    begin = time.perf_counter()
    command = ["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download}", url]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(readers)]
    sizes = [int(child.communicate()[0] or 0) for child in children]
    took_s = time.perf_counter() - begin
    if sizes != [size_bytes] * readers:
        sys.exit(f"{url} gave {sizes} bytes instead of {size_bytes}")
    return sum(sizes) / took_s / 1e9


def serve_face(base: Path) -> None:
    """Serve a base and print the URL."""
    from fastapi import FastAPI

    from modelshelf.server.hub.routes import create_router
    from modelshelf.server.uvicorn_server import serve
    from modelshelf.services.mirror.lookup import HubFace
    from modelshelf.store.layout import Base

    app = FastAPI()
    app.include_router(create_router(HubFace(lambda: [Base(base)])))
    serve(app, host="127.0.0.1", port=0, log_level="warning", announce=lambda url: print(url, flush=True))


@contextlib.contextmanager
def run_face(base: Path) -> Iterator[str]:
    """Run our server as a process of its own; gives its URL."""
    command = [sys.executable, __file__, "--serve", str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child.stdout.readline().strip() if child.stdout else ""
        finally:
            child.terminate()


@contextlib.contextmanager
def run_nginx(nginx: str, folder: Path, root: Path) -> Iterator[str]:
    """Run nginx over a folder; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, root=root))
    with subprocess.Popen([nginx, "-c", str(config)]) as child:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    sys.exit("nginx did not start")


if __name__ == "__main__":
    main()
