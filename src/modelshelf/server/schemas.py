"""What HTTP takes and gives, for validation and for the documentation of the API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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

    model_name: str
    hf_path: str
    cache_location: Literal["primary", "secondary", "custom"] = "primary"
    cache_path: str | None = None
    revision: str = "main"
    allow_patterns: list[str] = []
    pinned: bool = False
    download: bool = True


class Change(BaseModel):
    """What to change of a model; what is left out stays."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_name: str | None = None
    pinned: bool | None = None
    pin_reason: str = ""
    cache_location: Literal["primary", "secondary", "custom"] | None = None
    cache_path: str | None = None
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

    path: str = "~/.cache/huggingface"
    wish: Literal["leave", "move", "link"]
    to: str = "primary"
    merge: bool = False
    copies: bool = Field(default=False, alias="copy")
    repo: str = ""
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
    tier: str | None = None
    quarantine: bool = False


class Deduplicate(BaseModel):
    """Which tier's identical blobs shall share their bytes."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    tier: str | None = None


class ItemOut(BaseModel):
    """One file, link or folder of a plan."""

    kind: str
    path: str
    size_bytes: int
    why: str


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

    max_age_s: float | None = Field(default=None, ge=0)
    rate_bytes_per_s: int | None = Field(default=None, gt=0)
    repair: bool = False


class RemovedOut(BaseModel):
    """What a removal did, measured."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    removed_files: list[str]
    freed_bytes: int
    freed_allocated_bytes: int


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

    errors: int
    warnings: int
    fixed: list[str]
    findings: list[DiagnosisOut]
