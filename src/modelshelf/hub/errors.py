"""A hub's failed answers as our own errors. A hub that is down is never "not found"."""

from __future__ import annotations

from collections.abc import Mapping

from modelshelf.domain.network import Proxy, origin
from modelshelf.errors import Corrupt, Denied, NotFound, ShelfError, Unavailable
from modelshelf.units import format_size

_RETRYABLE = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 3600


def shown_origin(url: str) -> tuple[str, str]:
    """Return an address's scheme and host, with an unusual port; no path, no secret."""
    scheme, host, port = origin(url)
    usual = origin(f"{scheme}://x")[2]
    return scheme, host if port in (None, usual) else f"{host}:{port}"


def not_found(repo_id: str, what: str, *, token: bool) -> NotFound:
    """Return the error for a repository, revision or file that the hub doesn't have.

    The Hub answers the same for a private repository and a wrong token, so the hint says so.
    """
    is_repo = what == f"repository {repo_id}"
    hint = f"To find it: shelf search {repo_id.rpartition('/')[2]}." if is_repo else "Check its name on the Hub."
    if not token:
        hint += " If it is private, set HF_TOKEN or run hf auth login."
    return NotFound(f"The hub has no {what}.", hint=hint, hf_path=repo_id)


def no_revision(repo_id: str, revision: str) -> NotFound:
    """Return the error for a branch, tag or commit that a repository doesn't have, or no longer has."""
    return NotFound(
        f"The hub has no revision {revision} of {repo_id}.",
        hint="Check its name on the Hub.",
        hf_path=repo_id,
        revision=revision,
    )


def gated(repo_id: str, endpoint: str) -> Denied:
    """Return the error for a repository whose conditions were not accepted."""
    return Denied(
        f"{repo_id} is gated: its authors ask you to accept their conditions.",
        hint=f"Accept them at {endpoint}/{repo_id}, then set HF_TOKEN or run hf auth login.",
        hf_path=repo_id,
    )


def unreachable(endpoint: str, why: str, retry_after_s: float | None = None) -> Unavailable:
    """Return the error for a hub that isn't reachable or fails."""
    return Unavailable(
        f"The hub {endpoint} isn't reachable: {why}",
        hint="Check the network and HF_ENDPOINT.",
        retry_after_s=retry_after_s,
        endpoint=endpoint,
    )


def is_page(headers: Mapping[str, str], path: str = "") -> bool:
    """Return whether an answer is a web page, as a network's login page is; no hub sends one for a model.

    Args:
        headers: The answer's.
        path: The requested file.
    """
    return headers.get("Content-Type", "").startswith("text/html") and not path.lower().endswith((".html", ".htm"))


def login_page(landed: str) -> Unavailable:
    """Return the error for a network that answers in the hub's place until somebody signs in."""
    return Unavailable(
        f"A web page came from {shown_origin(landed)[1]} in the hub's place: this network wants you to sign in.",
        hint="Open a page in a browser and sign in to the network; then run the same command again.",
    )


def too_slow(least_bytes_per_s: int) -> Unavailable:
    """Return the error for an answer that trickles."""
    return Unavailable(f"The hub sends less than {format_size(least_bytes_per_s)} a second.", hint="Try again later.")


def too_much(endpoint: str, what: str) -> Unavailable:
    """Return the error for an answer that is larger than any honest one."""
    return Unavailable(
        f"The hub {endpoint} answers with more than {what}.",
        hint="Check HF_ENDPOINT; take fewer files from another hub.",
        endpoint=endpoint,
    )


def nonsense(endpoint: str, why: str) -> Corrupt:
    """Return the error for an answer that violates the Hub's protocol."""
    return Corrupt(
        f"The hub at {endpoint} gave an invalid answer: {why}",
        hint="Nothing was downloaded. Check HF_ENDPOINT.",
        endpoint=endpoint,
    )


def without_hf(endpoint: str) -> NotFound:
    """Return the error for an endpoint that is one of our servers, asked at the wrong path."""
    return NotFound(
        f"{endpoint} is a modelshelf server, whose hub is at {endpoint}/hf.",
        hint=f"Add /hf: HF_ENDPOINT={endpoint}/hf",
        endpoint=endpoint,
    )


def no_search(endpoint: str) -> NotFound:
    """Return the error for a hub without a search, such as another modelshelf."""
    return NotFound(
        f"The hub {endpoint} can't be searched.",
        hint="If you know the repository: shelf files ORG/MODEL. To search the Hub: HF_ENDPOINT=https://huggingface.co",
        endpoint=endpoint,
    )


def not_trusted(host: str, why: str) -> Unavailable:
    """Return the error for a host whose certificate isn't trusted."""
    return Unavailable(
        f"The certificate of {host} isn't trusted: {why.strip('()')[:200]}",
        hint="For a certificate authority of your own: REQUESTS_CA_BUNDLE=/path/to/ca.pem",
    )


def proxy_wants_password(proxy: Proxy) -> Denied:
    """Return the error for a proxy that answers 407."""
    what = "a user and a password" if proxy.user is None else "another user or password"
    return Denied(
        f"The proxy {proxy.address} asks for {what} (407).",
        hint="Put them into the address: HTTPS_PROXY=http://USER:PASSWORD@host:port (HTTP_PROXY and ALL_PROXY too).",
        proxy=proxy.address,
    )


def proxy_away(proxy: Proxy, why: str) -> Unavailable:
    """Return the error for a proxy that can't be reached, or that doesn't reach the hub."""
    return Unavailable(
        f"The proxy {proxy.address} doesn't lead to the hub: {why.rpartition(': ')[2][:200]}",
        hint="Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
        proxy=proxy.address,
    )


def by_status(
    status: int, headers: Mapping[str, str], *, repo_id: str, revision: str, what: str, endpoint: str, token: bool
) -> ShelfError:
    """Return the error for a failed answer.

    Args:
        status: The HTTP status, 300 or above.
        headers: The answer's headers; their names in any case.
        repo_id: The repository asked for.
        revision: Its revision.
        what: The request, such as `file config.json in org/name`.
        endpoint: The hub.
        token: Whether there is a token.
    """
    code = headers.get("X-Error-Code")
    if status >= 500 or status in _RETRYABLE:
        return unreachable(endpoint, f"it answers {status}", retry_after(headers.get("Retry-After")))
    if code == "GatedRepo":
        return gated(repo_id, endpoint)
    if code == "RevisionNotFound":
        return no_revision(repo_id, revision)
    if status in (401, 404):
        return not_found(repo_id, what, token=token)
    if status == 403:
        return Denied(
            f"The hub refuses the {what}.", hint="Check the rights of your token (HF_TOKEN).", hf_path=repo_id
        )
    return unreachable(endpoint, f"it answers {status} for the {what}")


def retry_after(value: str | None) -> float | None:
    """Return a Retry-After header's seconds; None for a date or an invalid one, for which backoff serves as well."""
    text = (value or "").strip()
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    return min(float(text), _LONGEST_WAIT_S) if is_number else None
