"""What the answers of a hub mean, in the errors of the house. A hub that is down is never "not found"."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from modelshelf.errors import Denied, NotFound, ShelfError, Unavailable

_RETRYABLE = frozenset({408, 425, 429})


def not_found(repo_id: str, what: str, *, token: bool) -> NotFound:
    """Return the error for a repository, revision or file that the hub does not have.

    The Hub answers the same for a private repository and a wrong token, so the hint says so.
    """
    hint = "Check its name on the Hub."
    if not token:
        hint += " If it is private, set HF_TOKEN or run hf auth login."
    return NotFound(f"The hub has no {what}.", hint=hint, hf_path=repo_id)


def gated(repo_id: str, endpoint: str) -> Denied:
    """Return the error for a repository whose conditions were not accepted."""
    return Denied(
        f"{repo_id} is gated: its authors ask you to accept their conditions.",
        hint=f"Accept them at {endpoint}/{repo_id}, then set HF_TOKEN or run hf auth login.",
        hf_path=repo_id,
    )


def unreachable(endpoint: str, why: str, retry_after_s: float | None = None) -> Unavailable:
    """Return the error for a hub that cannot be reached or fails."""
    return Unavailable(
        f"The hub {endpoint} cannot be reached: {why}",
        hint="Check the network and HF_ENDPOINT.",
        retry_after_s=retry_after_s,
        endpoint=endpoint,
    )


def by_status(
    status: int, headers: dict[str, str], *, repo_id: str, path: str, endpoint: str, token: bool
) -> ShelfError:
    """Return what a failed answer to a download means.

    Args:
        status: The HTTP status, 400 or above.
        headers: The answer's headers, names in lower case.
        repo_id: The repository asked for.
        path: The file asked for.
        endpoint: The hub.
        token: Whether a token was sent.
    """
    if status >= 500 or status in _RETRYABLE:
        return unreachable(endpoint, f"it answers {status}", retry_after(headers.get("retry-after")))
    if headers.get("x-error-code") == "GatedRepo":
        return gated(repo_id, endpoint)
    if status in (401, 404):
        return not_found(repo_id, f"file {path} in {repo_id}", token=token)
    if status == 403:
        return Denied(
            f"The hub refuses {path} of {repo_id}.",
            hint="Check the rights of your token (HF_TOKEN).",
            hf_path=repo_id,
        )
    return unreachable(endpoint, f"it answers {status} for {path} of {repo_id}")


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None for a date or nonsense, which backoff serves as well."""
    return float(value) if value is not None and value.strip().isdigit() else None


@contextlib.contextmanager
def translated(endpoint: str, repo_id: str, revision: str, *, token: bool) -> Iterator[None]:
    """Turn huggingface_hub's errors into ours."""
    import httpx2
    from huggingface_hub import errors as hf

    try:
        yield
    except hf.GatedRepoError as err:
        raise gated(repo_id, endpoint) from err
    except hf.RepositoryNotFoundError as err:
        raise not_found(repo_id, f"repository {repo_id}", token=token) from err
    except hf.RevisionNotFoundError as err:
        raise not_found(repo_id, f"revision {revision} of {repo_id}", token=token) from err
    except hf.OfflineModeIsEnabled as err:
        raise Unavailable("HF_HUB_OFFLINE is set.", hint="Unset it to reach the hub.", endpoint=endpoint) from err
    except hf.HfHubHTTPError as err:
        headers = {name.lower(): value for name, value in err.response.headers.items()}
        status = err.response.status_code
        raise by_status(status, headers, repo_id=repo_id, path=revision, endpoint=endpoint, token=token) from err
    except (httpx2.HTTPError, hf.LocalEntryNotFoundError, hf.FileMetadataError, ConnectionError) as err:
        raise unreachable(endpoint, str(err).partition("\n")[0] or type(err).__name__) from err
