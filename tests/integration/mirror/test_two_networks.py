"""A mirror between two networks of clients that reach nothing else, and a hub that only the mirror reaches."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.world import DEADLINE_S, MIB, Home, random_bytes, wait_until

WEIGHTS = random_bytes(9 * MIB + 1000)
KEY = "hf_" + "k" * 34


@dataclass(frozen=True)
class Network:
    """A network namespace whose only way leads to this machine."""

    pid: int
    """A process in it."""
    server: str
    """This machine's address there."""

    def start(self, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program in it."""
        command = ["nsenter", "-t", str(self.pid), "-n", *words]
        return subprocess.Popen(command, env={"PATH": os.environ["PATH"], **environ}, stderr=subprocess.PIPE)

    def lost_packets(self) -> int:
        """Return how many packets its programs wanted to send to anywhere else."""
        lines = Path(f"/proc/{self.pid}/net/snmp").read_text().splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Ip: "))
        return int(dict(zip(names, values, strict=True))["OutNoRoutes"])


def ip(*words: str) -> bool:
    """Run `ip`; return whether it could."""
    return subprocess.run(["ip", *words], capture_output=True, timeout=DEADLINE_S).returncode == 0


@contextlib.contextmanager
def network(number: int) -> Iterator[Network]:
    """Make a network, which ends with its last process."""
    mine, theirs, net = f"shelf-t{number}", f"shelf-c{number}", f"10.213.{number}"
    with subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) as holder:
        try:
            me = Path("/proc/self/ns/net").readlink()
            wait_until(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != me, "the network to be")
            if not ip("link", "add", mine, "type", "veth", "peer", "name", theirs, "netns", str(holder.pid)):
                pytest.skip("this machine makes no networks")
            inside = ("nsenter", "-t", str(holder.pid), "-n", "ip")
            assert ip("address", "add", f"{net}.1/30", "dev", mine)
            assert ip("link", "set", mine, "up")
            subprocess.run([*inside, "address", "add", f"{net}.2/30", "dev", theirs], check=True)
            subprocess.run([*inside, "link", "set", theirs, "up"], check=True)
            yield Network(holder.pid, f"{net}.1")
        finally:
            holder.kill()
            ip("link", "delete", mine)


@pytest.fixture
def networks() -> Iterator[list[Network]]:
    """Two networks."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("only root makes networks, with ip")
    with network(1) as one, network(2) as other:
        yield [one, other]


def test_two_networks_have_one_fetch(networks: list[Network], home: Home, hub: FakeHub, tmp_path: Path) -> None:
    """Ten clients of two networks have every byte of one fetch, and ask for nothing beyond the mirror."""
    hub.add_repo("Org/Name", {"config.json": b"{}", "model.safetensors": WEIGHTS})
    hub.pause(after_bytes=5 * MIB)
    with home.serve(SHELF_MIRROR="on", SHELF_HOST="0.0.0.0", SHELF_API_KEY=KEY) as server:
        clients, files = [], []
        for number, net in enumerate(networks * 5):
            url = f"http://{net.server}:{server.url.rpartition(':')[2].rstrip('/')}/hf"
            if number < len(networks):
                environ = {"HF_ENDPOINT": url, "HF_TOKEN": KEY, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
                target = tmp_path / f"stock-{number}"
                words = [str(Path(sys.executable).with_name("hf")), "download", "Org/Name", "--local-dir", str(target)]
                clients.append(
                    net.start(*words, **environ, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_UPDATE_CHECK="1")
                )
                files.append(target / "model.safetensors")
            else:
                files.append(tmp_path / f"curl-{number}")
                words = ["curl", "-sSf", "-H", f"Authorization: Bearer {KEY}", "-o", str(files[-1])]
                clients.append(net.start(*words, f"{url}/Org/Name/resolve/main/model.safetensors"))
        hub.wait_for_bytes(5 * MIB)
        hub.resume()
        ended = [(client.communicate(timeout=DEADLINE_S)[1], client.returncode) for client in clients]

    assert [code for _, code in ended] == [0] * 10, ended
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == {hashlib.sha256(WEIGHTS).hexdigest()}
    assert hub.bytes_sent < 2 * len(WEIGHTS)  # a connection that stalls is asked again for the rest
    assert [net.lost_packets() for net in networks] == [0, 0]
    assert not [request for request in hub.requests if KEY in request.headers.get("authorization", "")]
