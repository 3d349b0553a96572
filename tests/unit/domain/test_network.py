"""Which proxy serves an address, and what of a proxy may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.network import Network, Proxy
from modelshelf.errors import BadInput
from modelshelf.settings import load_settings

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "address", "user", "password"),
    [
        pytest.param("http://proxy.example:3128", "http://proxy.example:3128", None, "", id="whole"),
        pytest.param("proxy.example", "http://proxy.example:80", None, "", id="a bare host"),
        pytest.param("10.0.0.1:8080/", "http://10.0.0.1:8080", None, "", id="address and port"),
        pytest.param("https://proxy.example", "https://proxy.example:443", None, "", id="over TLS"),
        pytest.param("socks5h://[::1]", "socks5h://[::1]:1080", None, "", id="socks on IPv6"),
        pytest.param(
            "http://a%40b:p%3Aw@proxy.example:1", "http://proxy.example:1", "a@b", "p:w", id="with a password"
        ),
        pytest.param("me@proxy.example:1", "http://proxy.example:1", "me", "", id="with a user alone"),
    ],
)
def test_a_proxy_is_read_as_curl_reads_it(text: str, address: str, user: str | None, password: str) -> None:
    """A proxy's scheme and port may be missing; user and password are percent-decoded."""
    proxy = Proxy.parse(text)

    assert (proxy.address, proxy.user, proxy.password) == (address, user, password)
    assert not password or password not in repr(proxy)


@pytest.mark.parametrize(
    "text", ["ftp://h:1", "http://", "http://h:99999", "http://[::1", "http://a b:1", "http://u:s3cret@"]
)
def test_what_is_no_proxy_is_refused_unseen(text: str) -> None:
    """An invalid proxy is refused without repeating it, because it may hold a password."""
    with pytest.raises(ValueError, match="isn't the address of a proxy") as refused:
        Proxy.parse(text)

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes_past"),
    [
        pytest.param("", "http://hub.example", False, id="nothing named"),
        pytest.param("*", "http://hub.example", True, id="everything"),
        pytest.param("hub.example", "https://hub.example/x", True, id="the host"),
        pytest.param("HUB.example", "https://hub.EXAMPLE./x", True, id="in any case"),
        pytest.param("example", "http://hub.example", True, id="a domain above it"),
        pytest.param(".example", "http://hub.example", True, id="that with a dot"),
        pytest.param("*.example", "http://hub.example", True, id="that with a star"),
        pytest.param("ub.example", "http://hub.example", False, id="half a name"),
        pytest.param("hub.example:8000", "http://hub.example:8000", True, id="the host's port"),
        pytest.param("hub.example:443", "https://hub.example", True, id="the usual port"),
        pytest.param("hub.example:8000", "http://hub.example", False, id="another port"),
        pytest.param("a.example, 10.0.0.0/8 b.example", "http://10.20.30.40:8000", True, id="a network among others"),
        pytest.param("10.0.0.0/8", "http://11.0.0.1", False, id="another network"),
        pytest.param("10.1.2.3", "http://10.1.2.3", True, id="an address"),
        pytest.param("hub.example", "http://10.1.2.3", False, id="a name isn't an address"),
        pytest.param("fd00::/8", "http://[fd00::1]:80", True, id="a network of IPv6"),
        pytest.param("[::1]:8000", "http://[::1]:8000", True, id="IPv6 with a port"),
        pytest.param("[::1]", "http://[::1]:8000", True, id="IPv6 in brackets"),
    ],
)
def test_no_proxy_means_what_it_means_elsewhere(no_proxy: str, url: str, goes_past: bool) -> None:
    """NO_PROXY names hosts, domains, networks and ports."""
    proxy = Proxy.parse("http://proxy.example:3128")

    assert Network({"all": proxy}, no_proxy).proxy_for(url) == (None if goes_past else proxy)


def test_each_scheme_has_its_proxy() -> None:
    """HTTPS_PROXY is for https alone, and ALL_PROXY for schemes without one of their own."""
    http, other = Proxy.parse("http://a:1"), Proxy.parse("http://b:1")

    assert Network({"http": http, "all": other}).proxy_for("http://x") == http
    assert Network({"http": http, "all": other}).proxy_for("https://x") == other
    assert Network({"http": http}).proxy_for("https://x") is None


def test_the_environment_is_read_once(tmp_path: Path) -> None:
    """Lower case comes first, a `.env` after the environment, and a `$` in a password stays a dollar."""
    env = tmp_path / ".env"
    env.write_text("https_proxy=http://file:1\nSSL_CERT_FILE=ca.pem\n")
    environ = {
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://u:a$HOME@environment:1",
        "all_proxy": "b:1",
        "ALL_PROXY": "c",
    }

    network = load_settings(env, environ | {"no_proxy": "d", "HF_HUB_OFFLINE": "1"}).network

    assert network.proxies["https"] == Proxy("http://environment:1", "u", "a$HOME")
    assert network.proxies["all"].address == "http://b:1"
    assert (network.no_proxy, network.ca_bundle, network.offline_by) == (
        "d",
        str(tmp_path / "ca.pem"),
        "HF_HUB_OFFLINE",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HF_ENDPOINT", f"https://me:{SECRET}@hub.example"),
        ("HF_ENDPOINT", f"me:{SECRET}@hub.example"),
        ("HF_ENDPOINT", f"https://me:{SECRET}@hub.example:port"),
        ("HTTPS_PROXY", f"ftp://me:{SECRET}@proxy.example"),
    ],
)
def test_a_password_in_an_address_is_never_repeated(tmp_path: Path, name: str, text: str) -> None:
    """A hub address with a password and an invalid proxy are refused without showing them."""
    with pytest.raises(BadInput) as refused:
        load_settings(None, {"HOME": str(tmp_path), name: text})

    assert name in refused.value.detail
    assert SECRET not in f"{refused.value.to_dict()}"
