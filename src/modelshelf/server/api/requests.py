"""The bodies of requests. An unknown or too long field is refused before anything else is checked."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from modelshelf.domain.engine_wishes import EngineChange
from modelshelf.domain.job_params import DedupeParams, GcParams
from modelshelf.domain.names import ModelName, RefName, RepoId

Name = Annotated[str, AfterValidator(ModelName)]
ModelInPath = Annotated[Name, Path(description="The model's name.")]
Location = Literal["primary", "secondary", "custom"]
Text = Annotated[str, Field(max_length=1000)]
FolderPath = Annotated[str, Field(max_length=4096)]
Pattern = Annotated[str, Field(max_length=256)]
"""Matching a pattern of brackets costs more than the square of its length."""
_MOST_PATTERNS = 256
Argument = Annotated[str, Field(max_length=256)]
_MOST_ARGUMENTS = 64
_MOST_BYTES_PER_S = 10**12
_MOST_AGE_S = 10**10


def _repo_or_none(text: str) -> str:
    return RepoId(text) if text else ""


class _Body(BaseModel):
    """The common part of all bodies; the string below a field describes it to readers of the API."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


def _examples(*examples: dict[str, JsonValue]) -> ConfigDict:
    """Return a body's configuration with bodies that a person can send as they are, or change."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class _Engine(_Body):
    """What is chosen for a model's engine."""

    engine: Annotated[str, Field(max_length=80)] | None = None
    """The engine that serves it from its next start on; `auto`: whichever can."""
    engine_args: list[Argument] | None = Field(default=None, max_length=_MOST_ARGUMENTS)
    """What that is started with beside, such as `threads=4`."""
    trust_remote_code: bool | None = None
    """Whether code in its files may run, where ALLOW_REMOTE_CODE=1."""
    allow_pickle: bool | None = None
    """Whether its weights may be loaded if they are Python pickles, which can run code."""

    @property
    def engine_change(self) -> EngineChange:
        """What that changes of the model's engine."""
        given = None if self.engine_args is None else tuple(self.engine_args)
        return EngineChange(self.engine, given, self.trust_remote_code, self.allow_pickle)


class NewModel(_Engine):
    """A model to register."""

    model_config = _examples(
        {"model_name": "qwen-3b", "hf_path": "Qwen/Qwen2.5-3B-Instruct", "cache_location": "primary"},
        {
            "model_name": "temp-model",
            "hf_path": "org/model",
            "cache_location": "custom",
            "cache_path": "/mnt/usb-drive/models",
        },
    )

    model_name: Name
    """Your name for it."""
    hf_path: Annotated[str, AfterValidator(RepoId)]
    """Its repository, `org/name`."""
    cache_location: Location = "primary"
    """The tier for it."""
    cache_path: FolderPath | None = None
    """The base for it, with `custom` only."""
    revision: Annotated[str, AfterValidator(RefName)] = "main"
    """The branch, tag or commit that it follows."""
    allow_patterns: list[Pattern] = Field(default=[], max_length=_MOST_PATTERNS)
    """Shell patterns of the files to take, none for all; one that begins with `!` leaves files out."""
    pinned: bool = False
    """Whether it is protected from eviction."""
    download: bool = True
    """Whether its download starts at once."""


class Change(_Engine):
    """What to change in a model; omitted fields stay."""

    model_config = _examples(
        {"cache_location": "secondary"}, {"pinned": True, "pin_reason": "The demo needs it."}, {"model_name": "qwen"}
    )

    model_name: Name | None = None
    """Its new name."""
    pinned: bool | None = None
    """Whether it is protected from eviction."""
    pin_reason: Text = ""
    """Why it is pinned."""
    cache_location: Location | None = None
    """The tier to move it to."""
    cache_path: FolderPath | None = None
    """The base to move it to, with `custom` only."""
    keep_source: bool = False
    """Whether a move keeps the old copy."""


class Load(_Body):
    """How a model is loaded."""

    model_config = _examples({"keep_alive": "30m"}, {"pinned": True})

    keep_alive: float | Text | None = None
    """How long it stays when it is idle: seconds or `30m`; -1 for ever; by default as before."""
    pinned: bool = False
    """Whether it makes no room for other models, until it is unloaded."""


class Update(_Body):
    """How to update a model."""

    model_config = _examples({"dry_run": True})

    dry_run: bool = False
    """Whether the answer only says what would be done."""
    keep_old: bool = False
    """Whether the old snapshot stays."""


class Reconcile(_Body):
    """How to reconcile registry and disks."""

    model_config = _examples({"dry_run": True})

    dry_run: bool = False
    """Whether the answer only says what would be done."""


class Adopt(_Body):
    """What to adopt, and how."""

    model_config = _examples(
        {"mode": "leave", "dry_run": True}, {"path": "/home/me/.lmstudio/models", "mode": "move", "to": "secondary"}
    )

    path: FolderPath | None = None
    """The folder; by default the server's HF_HOME, or where that is a tier or unset, its ~/.cache/huggingface."""
    mode: Literal["leave", "move", "link"]
    """Whether models are registered in place, moved, or moved and a link left at the folder's path."""
    to: FolderPath = "primary"
    """Where models go: `primary`, `secondary`, or the path of a base."""
    merge: bool = False
    """Whether second copies of registered models are deleted once the first is verified."""
    copies: bool = Field(default=False, alias="copy")
    """Whether another program's files are copied if they can't be linked."""
    repo: Annotated[str, AfterValidator(_repo_or_none)] = ""
    """The repository of a `local_dir` whose metadata doesn't name it."""
    dry_run: bool = False
    """Whether the answer only says what would be done."""


class AdoptAll(_Body):
    """To adopt what is at every known place."""

    model_config = _examples({"to": "secondary", "dry_run": True})

    to: FolderPath = "primary"
    """Where models go: `primary`, then the secondary; or `secondary`, or the path of a base."""
    dry_run: bool = False
    """Whether the answer only says what would be done."""


class ChangeSettings(_Body):
    """Settings to change."""

    model_config = _examples({"settings": {"PRIMARY_CACHE_LIMIT_GB": "200", "PROMOTE": "never"}, "dry_run": True})

    settings: dict[Annotated[str, Field(max_length=80)], FolderPath | None] = Field(max_length=100)
    """Their new texts by their names; null or an empty text takes one out of the file."""
    dry_run: bool = False
    """Whether the answer only says what would be done."""


class NewView(_Body):
    """A folder that another program reads."""

    model_config = _examples({"kind": "lmstudio", "root": "/home/me/.lmstudio/models", "models": ["qwen-3b"]})

    kind: Annotated[str, Field(max_length=40)]
    """Whose layout it has: `folder`, `lmstudio`, `ollama`, `jan`, `llama-server`, `llama-swap`, `textgen`,
    `gpt4all`, `comfyui`, `a1111`, `forge`, `invokeai`, `hf`, `cache_dir`."""
    root: FolderPath
    """The folder, on the server's machine."""
    models: list[Name] | None = Field(max_length=10_000)
    """The models; null for all, now and later."""
    dry_run: bool = False
    """Whether the answer only says what would be done."""


class Collect(_Body):
    """Which garbage to collect."""

    model_config = _examples({"dry_run": True}, {"tier": "primary", "quarantine": True})

    dry_run: bool = False
    """Whether the answer only says what would be done."""
    tier: FolderPath | None = None
    """`primary`, `secondary` or a base; by default every online tier."""
    quarantine: bool = False
    """Whether the quarantine is deleted too."""

    def params(self) -> GcParams:
        """Return the job's parameters."""
        return GcParams(**self.model_dump(exclude={"dry_run"}))


class Deduplicate(_Body):
    """Which tier to deduplicate."""

    model_config = _examples({"tier": "secondary", "dry_run": True})

    dry_run: bool = False
    """Whether the answer only says what would be done."""
    tier: FolderPath | None = None
    """`primary`, `secondary` or a base; by default every online tier."""

    def params(self) -> DedupeParams:
        """Return the job's parameters."""
        return DedupeParams(**self.model_dump(exclude={"dry_run"}))


class NewVerification(_Body):
    """How to verify."""

    model_config = _examples({"max_age_s": 604800, "repair": True})

    max_age_s: float | None = Field(default=None, ge=0, le=_MOST_AGE_S)
    """Skip blobs that were verified within this time, in seconds, and not written since."""
    rate_bytes_per_s: int | None = Field(default=None, gt=0, le=_MOST_BYTES_PER_S)
    """How much to read in a second; by default unlimited."""
    repair: bool = False
    """Whether to set damage aside and bring good bytes from another tier, else from the hub."""
