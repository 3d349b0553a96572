"""What HTTP takes and gives, for validation and for the documentation of the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelshelf.domain.names import ModelName, RefName, RepoId

Name = Annotated[str, AfterValidator(ModelName)]
Location = Literal["primary", "secondary", "custom"]
Text = Annotated[str, Field(max_length=1000)]
FolderPath = Annotated[str, Field(max_length=4096)]
Pattern = Annotated[str, Field(max_length=256)]
"""Comparing a pattern of brackets costs more than the square of its length."""
_MOST_PATTERNS = 256
_MOST_BYTES_PER_S = 10**12
_MOST_AGE_S = 10**10


def _repo_or_none(text: str) -> str:
    return RepoId(text) if text else ""


class NewModel(BaseModel):
    """A model to register."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "model_name": "qwen-3b",
                    "hf_path": "Qwen/Qwen2.5-3B-Instruct",
                    "cache_location": "primary",
                    "cache_path": None,
                },
                {
                    "model_name": "temp-model",
                    "hf_path": "org/model",
                    "cache_location": "custom",
                    "cache_path": "/mnt/usb-drive/models",
                },
            ]
        },
    )

    model_name: Name
    hf_path: Annotated[str, AfterValidator(RepoId)]
    cache_location: Location = "primary"
    cache_path: FolderPath | None = None
    revision: Annotated[str, AfterValidator(RefName)] = "main"
    allow_patterns: list[Pattern] = Field(default=[], max_length=_MOST_PATTERNS)
    pinned: bool = False
    download: bool = True


class Change(BaseModel):
    """What to change of a model; what is left out stays."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_name: Name | None = None
    pinned: bool | None = None
    pin_reason: Text = ""
    cache_location: Location | None = None
    cache_path: FolderPath | None = None
    keep_source: bool = False


class Update(BaseModel):
    """How a model is updated."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    keep_old: bool = False


class Reconcile(BaseModel):
    """How registry and disks are brought together."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class Adopt(BaseModel):
    """What is to be adopted, and how."""

    model_config = ConfigDict(extra="forbid")

    path: FolderPath | None = Field(default=None, description="Default: ~/.cache/huggingface of the server.")
    mode: Literal["leave", "move", "link"]
    to: FolderPath = "primary"
    merge: bool = False
    copies: bool = Field(default=False, alias="copy")
    repo: Annotated[str, AfterValidator(_repo_or_none)] = ""
    dry_run: bool = False


class ModelFile(BaseModel):
    """One file of a model."""

    path: str
    size_bytes: int
    digest: str


class ModelOut(BaseModel):
    """A model as it is now."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    hf_path: str
    revision: str
    commit_hash: str | None
    cache_location: str
    cache_path: str
    path: str | None
    state: str
    detail: str
    size_bytes: int
    allow_patterns: list[str]
    pinned: bool
    pin_reason: str
    created_at: str
    last_used_at: str | None
    uses: int
    job_id: int | None


class ModelWithFiles(ModelOut):
    """A model with its files."""

    files: list[ModelFile]


class Leaving(BaseModel):
    """A model that leaves a tier to make room."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    free_bytes: int


class NewModelOut(ModelOut):
    """A registered model, and what leaves its tier for it."""

    makes_room: list[Leaving]


class CapabilitiesOut(BaseModel):
    """What a file system can."""

    file_system: str
    symlinks: bool
    hardlinks: bool
    reflinks: bool
    case_sensitive: bool
    any_names: bool
    locks: bool
    network: bool
    max_file_bytes: int | None
    weaknesses: list[str]


class TierOut(BaseModel):
    """A tier as it is now."""

    cache_location: str
    cache_path: str
    online: bool
    detail: str
    limit_bytes: int | None
    usage_bytes: int
    allocated_bytes: int
    reserved_bytes: int
    free_bytes: int
    free_entries: int | None
    warning: bool
    writable: bool
    breakdown: dict[str, int]
    capabilities: CapabilitiesOut | None


class JobOut(BaseModel):
    """Long work."""

    model_config = ConfigDict(protected_namespaces=())

    id: int
    kind: str
    model_name: str
    state: str
    phase: str
    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: int
    eta_s: float | None
    detail: str
    error: dict[str, object] | None
    result: dict[str, object] | None
    parent_id: int | None
    reason: str
    attempts: int
    due_at: str | None
    created_at: str
    finished_at: str | None


class MoveJobOut(JobOut):
    """A move, and what leaves the target for it."""

    makes_room: list[Leaving]


class Collect(BaseModel):
    """Which garbage to collect."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    tier: FolderPath | None = None
    quarantine: bool = False


class Deduplicate(BaseModel):
    """Which tier's identical blobs shall share their bytes."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    tier: FolderPath | None = None


class ItemOut(BaseModel):
    """One file, link or folder of a plan."""

    kind: str
    path: str
    size_bytes: int
    why: str
    age_s: float


class GcPlanOut(BaseModel):
    """What collecting garbage would delete on one tier."""

    cache_location: str
    cache_path: str
    items: list[ItemOut]
    free_bytes: int
    quarantine_bytes: int
    recent_bytes: int
    notes: list[str]


class DedupePlanOut(BaseModel):
    """Which blobs of one tier would share their bytes."""

    cache_location: str
    cache_path: str
    items: list[ItemOut]
    share_bytes: int
    notes: list[str]


class NewVerification(BaseModel):
    """How something is to be verified."""

    model_config = ConfigDict(extra="forbid")

    max_age_s: float | None = Field(default=None, ge=0, le=_MOST_AGE_S)
    rate_bytes_per_s: int | None = Field(default=None, gt=0, le=_MOST_BYTES_PER_S)
    repair: bool = False


class RemovedOut(BaseModel):
    """What a removal did, measured."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    removed_files: list[str]
    freed_bytes: int
    freed_allocated_bytes: int
    kept: str
    needed_by: list[str]


class DiagnosisOut(BaseModel):
    """One thing that the doctor looked at."""

    severity: Literal["error", "warning", "info", "ok"]
    topic: str
    detail: str
    command: str
    path: str
    size_bytes: int
    fixable: bool


class DoctorOut(BaseModel):
    """What the doctor found, the worst first."""

    settings: str
    registry: str
    errors: int
    warnings: int
    fixed: list[str]
    findings: list[DiagnosisOut]


class UpdatePlanOut(BaseModel):
    """What an update would do."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    hf_path: str
    revision: str
    old_commit: str | None
    new_commit: str
    is_current: bool
    size_bytes: int
    fetch_bytes: int
    shared_bytes: int
    keep_old: bool
    note: str


class ReconcilePlanOut(BaseModel):
    """What reconciling would do."""

    steps: list[dict[str, object]]
    skipped: list[dict[str, object]]
    untouched: list[dict[str, object]]
    unregistered: list[dict[str, object]]


class AdoptPlanOut(BaseModel):
    """What adopting would do."""

    path: str
    mode: str
    cache_location: str
    cache_path: str
    need_bytes: int
    backup: str
    models: list[dict[str, object]]
    others: list[dict[str, object]]
    notes: list[str]


class StatusOut(BaseModel):
    """What is in force."""

    settings: dict[str, Any]
    registry: dict[str, Any]
    bases: list[dict[str, Any]]
    other_libraries: list[dict[str, Any]]
    hugging_face_tools: dict[str, Any]
    servers: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    jobs: list[JobOut]
    owners: list[dict[str, Any]]
    versions: dict[str, str]
