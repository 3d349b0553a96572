"""Metadata and bytes take the same way through every kind of proxy and certificate authority."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.fakes.proxy import Proxy
from tests.world import Home, random_bytes, tree

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(400_000)}
PASSWORD = "me:pass%40word"
"""As in an address."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    what = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hub -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *what.split(), "-keyout", key, "-out", pem], check=True, capture_output=True)
    return pem


@pytest.fixture
def secure_hub(certificate: Path) -> Iterator[FakeHub]:
    """A hub that speaks https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with FakeHub(tls=context) as hub:
        yield hub


def kinds(proxy: Proxy) -> set[str]:
    """Return which kinds of requests a proxy got."""
    return {asked.partition(" ")[0] for asked in proxy.asked}


def add(home: Home, **more: str) -> dict[str, bytes]:
    """Add the model in a child process; return its files."""
    home.run("add", "m", REPO, **more).checked()
    return tree(Path(home.run("path", "m").checked().out.strip()))


def test_a_proxy_that_closes_a_kept_connection_is_asked_again(hub: FakeHub, home: Home) -> None:
    """If a proxy closes an idle connection just before a request, the request is sent again."""
    hub.add_repo(REPO, FILES)

    with Proxy(hangs_up=True) as proxy:
        assert add(home, HTTP_PROXY=f"http://{proxy.address}") == FILES


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_everything_goes_through_the_proxy(hub: FakeHub, home: Home, name: str) -> None:
    """Metadata and bytes both go through the proxy from the environment."""
    hub.add_repo(REPO, FILES)

    with Proxy() as proxy:
        assert add(home, **{name: f"http://{proxy.address}"}) == FILES

    assert kinds(proxy) == {"GET"}
    assert any("/api/models/" in asked for asked in proxy.asked)
    assert len(proxy.asked) == len(hub.requests)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_https_goes_through_a_tunnel(secure_hub: FakeHub, certificate: Path, home: Home, name: str) -> None:
    """An https hub is reached by CONNECT with the proxy's password, and the proxy doesn't see the token."""
    secure_hub.add_repo(REPO, FILES, private=True)
    home.endpoint = secure_hub.url
    more = {"REQUESTS_CA_BUNDLE": str(certificate), "HF_TOKEN": secure_hub.token}

    with Proxy("me:pass@word") as proxy:
        assert add(home, **{name: f"http://{PASSWORD}@{proxy.address}"}, **more) == FILES

    assert kinds(proxy) == {"CONNECT"}
    assert proxy.secrets == set()


def test_a_password_is_sent_with_metadata_and_bytes(hub: FakeHub, home: Home) -> None:
    """A proxy's password is sent with metadata and bytes."""
    hub.add_repo(REPO, FILES)

    with Proxy("me:pass@word") as proxy:
        assert add(home, ALL_PROXY=f"http://{PASSWORD}@{proxy.address}") == FILES

    assert len(hub.requests) == len(proxy.asked)


@pytest.mark.parametrize("user", ["", "me:wrong@"], ids=["none", "wrong"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_that_wants_a_password_says_so(
    hub: FakeHub, secure_hub: FakeHub, home: Home, user: str, secure: bool
) -> None:
    """If a proxy wants a password, the error names the proxy, nothing is registered, and no secret is shown."""
    home.endpoint = secure_hub.url if secure else hub.url

    with Proxy("me:pass@word") as proxy:
        refused = home.run("add", "m", REPO, ALL_PROXY=f"http://{user}{proxy.address}")

    assert refused.code == 3
    assert f"The proxy http://{proxy.address} asks for" in refused.err
    assert "HTTPS_PROXY=http://USER:PASSWORD@" in refused.err
    assert "wrong" not in refused.err
    assert "m" not in home.run("ls", "--json").checked().out.split('"')


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "127.0.0.1", "*"])
def test_no_proxy_is_heeded(hub: FakeHub, home: Home, no_proxy: str) -> None:
    """A hub in NO_PROXY is asked directly."""
    hub.add_repo(REPO, FILES)

    with Proxy() as proxy:
        assert add(home, ALL_PROXY=f"http://{proxy.address}", NO_PROXY=no_proxy) == FILES

    assert proxy.asked == []


def test_a_storage_elsewhere_has_its_own_exception(hub: FakeHub, home: Home) -> None:
    """NO_PROXY is checked for each address: the hub is asked directly, and its storage through the proxy."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", redirect_to="/cdn/{digest}")

    with Proxy() as proxy:
        assert add(home, ALL_PROXY=f"http://{proxy.address}", NO_PROXY=hub.url.removeprefix("http://")) == FILES

    assert {asked.partition("/cdn/")[0] for asked in proxy.asked} == {f"GET {hub.cdn_url}"}


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_carries_everything(hub: FakeHub, home: Home, scheme: str) -> None:
    """With its package installed, a SOCKS proxy with a password works like any other."""
    hub.add_repo(REPO, FILES)

    with Proxy("me:pass@word", socks=True) as proxy:
        assert add(home, ALL_PROXY=f"{scheme}://{PASSWORD}@{proxy.address}") == FILES

    assert kinds(proxy) == {"SOCKS"}


def test_socks_without_its_package_says_what_to_install(home: Home) -> None:
    """Without its package a SOCKS proxy is an error that names the package."""
    code = "import sys; sys.modules['socks'] = None; from modelshelf.cli.main import main; main()"

    refused = home.python(code, "add", "m", REPO, ALL_PROXY="socks5://127.0.0.1:9")

    assert refused.code == 2
    assert "pip install pysocks" in refused.err


def test_an_authority_that_nobody_knows_is_not_trusted(secure_hub: FakeHub, home: Home) -> None:
    """An untrusted certificate is an error that says how to trust it."""
    secure_hub.add_repo(REPO, FILES)
    home.endpoint = secure_hub.url

    refused = home.run("add", "m", REPO)

    assert refused.code == 7
    assert "isn't trusted" in refused.err
    assert "REQUESTS_CA_BUNDLE=" in refused.err


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_of_ones_own_is_trusted(secure_hub: FakeHub, certificate: Path, home: Home, name: str) -> None:
    """REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE name the trusted certificates."""
    secure_hub.add_repo(REPO, FILES)
    secure_hub.fail("*/model.safetensors", redirect_to="/cdn/{digest}")
    home.endpoint = secure_hub.url

    assert add(home, **{name: str(certificate)}) == FILES


def test_certificates_that_are_not_there_are_named(secure_hub: FakeHub, home: Home) -> None:
    """A path without certificates is an error that names it and the variables."""
    home.endpoint = secure_hub.url

    refused = home.run("add", "m", REPO, REQUESTS_CA_BUNDLE="/nowhere/ca.pem")

    assert refused.code == 2
    assert "/nowhere/ca.pem" in refused.err
