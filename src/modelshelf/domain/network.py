"""How this process reaches other hosts: proxies and certificates, decided once for everything that asks a hub.

The variables are those of curl, requests and huggingface_hub, with the same meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
PROXIED = ("http", "https", "all")
"""The schemes with a proxy of their own, and the one for all others."""
SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


def origin(url: str) -> tuple[str, str, int | None]:
    """Return an address's scheme, host and port, beyond which a secret isn't sent.

    >>> origin("https://Hub.example/a") == origin("https://hub.example:443/b") != origin("http://hub.example/a")
    True
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, with its secret apart from the address that may be shown."""

    address: str
    """Scheme, host and port."""
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Parse a variable such as HTTPS_PROXY; without a scheme it is an http proxy.

        Raises:
            ValueError: The text isn't a proxy's address; it isn't repeated, because it may hold a password.
        """
        wrong = ValueError("It isn't the address of a proxy, such as http://proxy.example:3128")
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in (*PORTS, *SOCKS) or not _HOST.fullmatch(host):
            raise wrong
        host = f"[{host}]" if ":" in host else host
        address = f"{parts.scheme}://{host}:{port or PORTS.get(parts.scheme, 1080)}"
        user = unquote(parts.username) if parts.username is not None else None
        return cls(address, user, unquote(parts.password or ""))


@dataclass(frozen=True, slots=True)
class Network:
    """The environment's settings for reaching other hosts."""

    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    """By scheme (HTTP_PROXY, HTTPS_PROXY), and `all` (ALL_PROXY) for a scheme without one of its own."""
    no_proxy: str = ""
    """NO_PROXY."""
    ca_bundle: str | None = None
    """REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR; None: what the system trusts."""
    offline_by: str = ""
    """The variable that forbids asking a hub; empty if none does."""

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy for an address; None for none."""
        parts = urlsplit(url)
        if self._goes_past(parts):
            return None
        return self.proxies.get(parts.scheme) or self.proxies.get("all")

    def _goes_past(self, parts: SplitResult) -> bool:
        """Return whether NO_PROXY names a host: itself, a domain above it, its network, or `*`, perhaps with a port."""
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme)
        for name, only_port in self._exceptions():
            if only_port in (None, port) and (name == "*" or _is_within(host, name)):
                return True
        return False

    def _exceptions(self) -> Iterator[tuple[str, int | None]]:
        for word in re.split(r"[\s,]+", self.no_proxy.lower()):
            bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(\d+))?", word)
            found = bracketed or re.fullmatch(r"([^:]+):(\d+)", word)
            name, port = (found[1], found[2]) if found else (word, None)
            if name:
                yield name, int(port) if port else None


def _is_within(host: str, name: str) -> bool:
    import ipaddress  # noqa: PLC0415 - 6 ms that only a NO_PROXY costs

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
