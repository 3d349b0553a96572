"""Settings: the command's flags over the environment over `.env`; every problem is reported at once.

A dataclass and python-dotenv's parser, not pydantic-settings: `shelf path` has 150 ms for everything, and importing
pydantic-settings alone takes as long.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf import setting_values
from modelshelf.domain.download_hours import DownloadHours
from modelshelf.domain.engine_wishes import EngineSettings
from modelshelf.domain.job_rules import JobRules
from modelshelf.domain.mirror import MirrorSettings
from modelshelf.domain.names import BasePath
from modelshelf.domain.network import PROXIED, Network
from modelshelf.domain.retention import USES_DAYS
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.tiers import PRIMARY, SECONDARY, PromoteMode, Tier, Tiers
from modelshelf.domain.tool_environment import SECRETS, VARIABLES, is_offline, usual_hub
from modelshelf.domain.view_kinds import DEFAULT_KINDS, ViewKind
from modelshelf.domain.webhooks import WebhookSettings
from modelshelf.errors import BadInput
from modelshelf.setting_lines import MAY_BE_EMPTY, Problems, Reading, expand, parse_env_text, read_env_file
from modelshelf.setting_values import HUB_ENDPOINT, Value
from modelshelf.store import settings_file
from modelshelf.store.mounts import mount_at
from modelshelf.store.probe import is_file, is_folder
from modelshelf.store.settings_file import usual_base


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings."""

    tiers: Tiers
    """PRIMARY_CACHE_PATH, PRIMARY_CACHE_LIMIT_GB, SECONDARY_CACHE_PATH, SECONDARY_CACHE_LIMIT_GB, CACHE_PATH_MAP."""
    warning_threshold: float
    """CACHE_WARNING_THRESHOLD: the fraction of a limit above which a tier has a warning."""
    on_full: str
    """ON_FULL: `demote` or `refuse`."""
    on_secondary_full: str
    """ON_SECONDARY_FULL: `refuse` or `remove-unpinned`."""
    use_symlinks: bool
    """False with HF_HUB_DISABLE_SYMLINKS: snapshots hold their bytes themselves, as huggingface_hub then makes them."""
    promote: PromoteMode
    """PROMOTE: `never`, `auto` or `always`."""
    views: frozenset[ViewKind]
    """VIEWS: the kinds of views that are kept in the bases that the settings name."""
    database_url: str = field(repr=False)
    """DATABASE_URL, which may hold a password; by default SQLite in the primary base."""
    hf_token: str | None = field(repr=False)
    """HF_TOKEN; None: the one that `hf auth login` stored."""
    hf_endpoint: str
    """HF_ENDPOINT."""
    peers: tuple[str, ...]
    """SHELF_PEERS: LAN hubs, which are asked for bytes first."""
    peer_key: str | None = field(repr=False)
    """SHELF_PEER_KEY."""
    mirror: MirrorSettings
    """SHELF_MIRROR, SHELF_MIRROR_SHARE."""
    network: Network
    """HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY (or in lower case), REQUESTS_CA_BUNDLE and the like."""
    host: str
    """SHELF_HOST."""
    port: int
    """SHELF_PORT."""
    published_on: str | None
    """SHELF_PUBLISHED_ON: the host in it; None outside a container that Compose started."""
    api_key: str | None = field(repr=False)
    """SHELF_API_KEY."""
    custom_roots: tuple[str, ...] | None
    """SHELF_CUSTOM_ROOTS: folders below which a request may name a path; None: where drives are mounted."""
    log_as_json: bool
    """SHELF_LOG: `text` or `json`."""
    download_limit_bytes_per_s: int | None
    """SHELF_DOWNLOAD_LIMIT; None: unlimited."""
    download_hours: DownloadHours | None
    """SHELF_DOWNLOAD_HOURS; None: always."""
    job_rules: JobRules
    """JOBS_DAYS, MAX_DOWNLOADS, MAX_MOVES."""
    webhooks: WebhookSettings
    """WEBHOOK_URL, WEBHOOK_SECRET."""
    engine_rules: Rules
    """MAX_LOADED, QUEUE_LIMIT, KEEP_ALIVE, LOAD_WAIT_S."""
    uses_days: int
    """USES_DAYS: how long requests to models stay in the ledger of uses; 0: none is written there."""
    config_home: Path
    """XDG_CONFIG_HOME."""
    require_mount: bool | None
    """SHELF_REQUIRE_MOUNT: whether to refuse a base in a container's own layer; None: warn."""
    state_home: Path
    """XDG_STATE_HOME: the folder of the lists of known bases and libraries."""
    engines: EngineSettings
    """LLAMA_SERVER, VLLM_COMMAND, SHELF_ENGINES."""
    env_file: Path | None
    """The `.env` that was read; None without one."""
    named_by: str = ""
    """What names the library: `environment`, `file`, or nothing: the primary is where other tools keep their models."""
    session_bus: bool = False
    """DBUS_SESSION_BUS_ADDRESS: whether this process belongs to the session of a person at a desktop."""


def load_settings(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        env_file: The file to read; by default the one that `settings_file.find` chooses.
        environ: The environment; by default this process's.

    Raises:
        BadInput: Settings are invalid; every one is named, with file and line.
    """
    settings, problems = _load(env_file, environ)
    problems.raise_any()
    return settings


def load_what_is_right(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[dict[str, str]]]:
    """Return the settings with defaults for the invalid ones, and the problems: name, origin, detail."""
    settings, problems = _load(None, environ)
    return settings, problems.found


def _load(env_file: Path | None, environ: Mapping[str, str] | None) -> tuple[Settings, Problems]:
    environ = os.environ if environ is None else environ
    problems = Problems()
    here = settings_file.working_directory()
    path = _env_file(env_file, environ, here)
    values = read_env_file(path, problems) if path else {}
    said = {name: text.strip() for name, text in environ.items() if text.strip() or name in MAY_BE_EMPTY}
    values |= {name: Value(text, "environment", here) for name, text in said.items()}
    _check_spelling(values, problems)
    network = {name: value for name, value in values.items() if name.upper() in _NETWORK}  # a password may hold a $
    values = {name: expand(value, values, environ) for name, value in values.items() if name in _NAMES} | network
    return _build(values, environ, path, problems), problems


_NAMES = frozenset(
    "PRIMARY_CACHE_PATH PRIMARY_CACHE_LIMIT_GB SECONDARY_CACHE_PATH SECONDARY_CACHE_LIMIT_GB"
    " CACHE_WARNING_THRESHOLD CACHE_PATH_MAP DATABASE_URL HF_TOKEN HF_ENDPOINT HF_HOME SHELF_HOST SHELF_PORT"
    " SHELF_API_KEY SHELF_CUSTOM_ROOTS SHELF_LOG SHELF_DOWNLOAD_LIMIT SHELF_DOWNLOAD_HOURS SHELF_REQUIRE_MOUNT ON_FULL"
    " ON_SECONDARY_FULL PROMOTE HF_HUB_DISABLE_SYMLINKS SHELF_PUBLISHED_ON SHELF_PEERS SHELF_PEER_KEY"
    " SHELF_MIRROR SHELF_MIRROR_SHARE"
    " LLAMA_SERVER VLLM_COMMAND SHELF_ENGINES MAX_LOADED QUEUE_LIMIT KEEP_ALIVE LOAD_WAIT_S USES_DAYS JOBS_DAYS"
    " ALLOW_REMOTE_CODE MAX_DOWNLOADS MAX_MOVES VIEWS WEBHOOK_URL WEBHOOK_SECRET".split()
)
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_NETWORK = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *_CERTIFICATES})
"""Every program's; the first four in lower case too."""


def _check_spelling(values: Mapping[str, Value], problems: Problems) -> None:
    """Report a mistyped limit, because the tier would have no limit and nobody would know.

    In our own .env a near-miss is a typo too. In the environment it may belong to another program.
    """
    for name, value in values.items():
        if value.origin != "environment" and (meant := _nearly(name)):
            problems.add(name, value.origin, f"There is no such setting. Did you mean {meant}?")
        elif (ours := re.match("(PRIMARY|SECONDARY)_CACHE_", name)) and name not in _NAMES:
            meant = " and ".join(sorted(known for known in _NAMES if known.startswith(ours[0])))
            problems.add(name, value.origin, f"There is no such setting; there are {meant}.")


def _nearly(name: str) -> str:
    """Return the setting that a name is a typo of; empty for a setting, and for other programs' names."""
    if name in _NAMES:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - 3 ms that only an unknown name costs

    alone = [known for known in _NAMES if not known.startswith(("HF_", "DATABASE_"))]
    return next(iter(get_close_matches(name, alone, 1, 0.85)), "")


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment with some variables set, and those with None unset."""
    return {name: text for name, text in (dict(os.environ) | dict(changes)).items() if text is not None}


@dataclass(frozen=True, slots=True)
class Places:
    """Where settings and models are by default, and what the environment says."""

    here: Path
    """The `.env` of the working directory."""
    ours: Path
    """The `.env` of this user."""
    usual: Path
    """The base that Hugging Face programs use."""
    exported: Mapping[str, str] = field(repr=False)
    """The settings in the environment, which override each file, for a process elsewhere: paths are absolute."""


def places(environ: Mapping[str, str] | None = None) -> Places:
    """Return the places of this user.

    Args:
        environ: The environment; by default this process's.
    """
    environ = os.environ if environ is None else environ
    here, exported = settings_file.working_directory(), {}
    for name in sorted(_NAMES | {"XDG_STATE_HOME", "XDG_CONFIG_HOME"}):
        text = environ.get(name, "").strip()
        if text or (name in MAY_BE_EMPTY and name in environ):
            text = expand(Value(text, "environment", here), {}, environ).text
            exported[name] = os.path.normpath(here / text) if name.endswith(("_CACHE_PATH", "_HOME")) else text
    usual = exported.get("HF_HOME") or usual_base(environ)
    if usual_hub(environ) and "PRIMARY_CACHE_PATH" not in exported:
        exported["HF_HOME"] = usual  # a process elsewhere has no HF_HUB_CACHE
    return Places(here / ".env", settings_file.of_user(environ), Path(usual), exported)


def check_settings(path: Path, text: str) -> None:
    """Raise BadInput if a text isn't valid as the settings file at a path, whatever is in the environment."""
    _read(path, text)[1].raise_any()


def settings_in(path: Path, text: str) -> tuple[Settings, list[dict[str, str]]]:
    """Return what a text says as the settings file at a path, whatever is in the environment, and the problems."""
    settings, problems = _read(path, text)
    return settings, problems.found


def _read(path: Path, text: str) -> tuple[Settings, Problems]:
    problems = Problems()
    values = parse_env_text(text, path, problems)
    _check_spelling(values, problems)
    environ = {name: value for name, value in os.environ.items() if name not in _NAMES}
    values = {name: expand(value, values, environ) for name, value in values.items() if name in _NAMES}
    return _build(values, environ, path, problems), problems


def tool_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that decide where other tools look; of a secret only that it is set, even if empty."""
    environ = os.environ if environ is None else environ
    found = {name: environ[name] for name in VARIABLES if name in environ}
    return found | {name: "set" for name in found.keys() & SECRETS if found[name]}


def variables(names: Iterable[str]) -> dict[str, str]:
    """Return those of these variables of the environment that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _env_file(env_file: Path | None, environ: Mapping[str, str], here: Path) -> Path | None:
    if env_file is None:
        return settings_file.find(here, environ)
    if not is_file(env_file):
        why = (
            f"{env_file} is a folder, and not a file of settings."
            if is_folder(env_file)
            else f"There is no file {env_file}."
        )
        raise BadInput(why, hint="shelf init writes one, which is found without being named.")
    return env_file.absolute()


def _build(
    values: Mapping[str, Value], environ: Mapping[str, str], env_file: Path | None, problems: Problems
) -> Settings:
    read = Reading(values, problems)
    return Settings(
        tiers=_tiers(read, environ),
        warning_threshold=read("CACHE_WARNING_THRESHOLD", setting_values.fraction, 0.9),
        on_full=read("ON_FULL", setting_values.one_of("demote", "refuse"), "demote"),
        on_secondary_full=read("ON_SECONDARY_FULL", setting_values.one_of("refuse", "remove-unpinned"), "refuse"),
        use_symlinks=read("HF_HUB_DISABLE_SYMLINKS", lambda value: value.text.upper() not in setting_values.TRUE, True),
        promote=read("PROMOTE", setting_values.promote, "auto"),
        views=read("VIEWS", setting_values.views, frozenset(DEFAULT_KINDS)),
        database_url=read("DATABASE_URL", setting_values.database_url, ""),
        hf_token=read("HF_TOKEN", lambda value: value.text, None),
        hf_endpoint=read("HF_ENDPOINT", setting_values.url, HUB_ENDPOINT),
        peers=read("SHELF_PEERS", setting_values.urls, ()),
        peer_key=read("SHELF_PEER_KEY", lambda value: value.text, None),
        mirror=setting_values.mirror_settings(read),
        network=_network(read, environ),
        host=read("SHELF_HOST", lambda value: value.text, "127.0.0.1"),
        port=read("SHELF_PORT", setting_values.port, 8000),
        published_on=read("SHELF_PUBLISHED_ON", setting_values.published_host, None),
        api_key=read("SHELF_API_KEY", lambda value: value.text, None),
        custom_roots=read("SHELF_CUSTOM_ROOTS", setting_values.folders, None),
        log_as_json=read("SHELF_LOG", setting_values.one_of("text", "json"), "text") == "json",
        download_limit_bytes_per_s=read("SHELF_DOWNLOAD_LIMIT", setting_values.rate, None),
        download_hours=read("SHELF_DOWNLOAD_HOURS", setting_values.hours, None),
        job_rules=setting_values.job_rules(read),
        webhooks=setting_values.webhook_settings(read),
        engine_rules=setting_values.engine_rules(read),
        uses_days=read("USES_DAYS", setting_values.days, USES_DAYS),
        config_home=settings_file.config_home(environ),
        require_mount=read("SHELF_REQUIRE_MOUNT", setting_values.yes_or_no, None),
        state_home=settings_file.state_home(environ),
        session_bus=bool(environ.get("DBUS_SESSION_BUS_ADDRESS")),
        engines=setting_values.engine_settings(read),
        env_file=env_file,
        named_by=_named_by(values),
    )


def _tiers(read: Reading, environ: Mapping[str, str]) -> Tiers:
    primary_name = "PRIMARY_CACHE_PATH" if "PRIMARY_CACHE_PATH" in read.values else "HF_HOME"
    primary_base = read(primary_name, setting_values.base, None) or BasePath(usual_base(environ))
    primary = Tier(PRIMARY, primary_base, read("PRIMARY_CACHE_LIMIT_GB", setting_values.limit, None))
    secondary_base = read("SECONDARY_CACHE_PATH", setting_values.base, None)
    secondary_limit = read("SECONDARY_CACHE_LIMIT_GB", setting_values.limit, None)
    secondary = Tier(SECONDARY, secondary_base, secondary_limit) if secondary_base else None
    _check_apart(primary, secondary, read.values, read.problems)
    return Tiers(primary, secondary, read("CACHE_PATH_MAP", setting_values.path_map, {}))


def _named_by(values: Mapping[str, Value]) -> str:
    origins = {values[name].origin for name in settings_file.NAMES_A_LIBRARY if name in values}
    return "environment" if "environment" in origins else "file" if origins else ""


def _network(read: Reading, environ: Mapping[str, str]) -> Network:
    def name(upper: str) -> str:
        """Return the spelling that is set: the environment's first, lower case first."""
        found = [name for name in (upper.lower(), upper) if name in read.values]
        return min(found, key=lambda name: read.values[name].origin != "environment", default=upper)

    proxies = {scheme: read(name(f"{scheme.upper()}_PROXY"), setting_values.proxy, None) for scheme in PROXIED}
    bundles = (read(name, lambda value: str(value.folder / value.text), None) for name in _CERTIFICATES)
    return Network(
        proxies={scheme: proxy for scheme, proxy in proxies.items() if proxy is not None},
        no_proxy=read(name("NO_PROXY"), lambda value: value.text, ""),
        ca_bundle=next(filter(None, bundles), None),
        offline_by=is_offline(environ),
    )


def _check_apart(primary: Tier, secondary: Tier | None, values: Mapping[str, Value], problems: Problems) -> None:
    """Report two tiers in one folder, or one inside the other, which would count the same bytes twice."""
    if secondary is None:
        return
    first, second = _real(primary.base), _real(secondary.base)
    if first == second or first in second.parents or second in first.parents:
        origin = values["SECONDARY_CACHE_PATH"].origin
        detail = f"{secondary.base} and the primary base {primary.base} overlap (one contains the other)."
        problems.add("SECONDARY_CACHE_PATH", origin, detail)


def _real(base: str) -> Path:
    """Return where a base leads; by its name alone on a network mount, which may hang."""
    path = Path(base)
    return path if mount_at(path).may_hang else path.resolve()
