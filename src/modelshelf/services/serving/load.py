"""Loading a model from its pinned snapshot, offline, and trying it out."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelshelf.domain.backend_choice import check_parts
from modelshelf.domain.outcomes import Trial
from modelshelf.domain.tool_environment import ENGINE_PACKAGES
from modelshelf.domain.trust import check_trust
from modelshelf.domain.weight_files import PYTORCH, SAFETENSORS
from modelshelf.errors import BadInput, Unavailable
from modelshelf.services.catalog.facts import facts_of
from modelshelf.store.probe import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.domain.models import Model
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.catalog.leases import Leaser


_TAKES = frozenset({SAFETENSORS, PYTORCH})


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads models through transformers."""

    leaser: Leaser
    adapters: Adapters
    allow_remote_code: bool = False

    def load(self, model_name: str, **options: Any) -> tuple[Any, Any]:
        """Return a model and its tokenizer from the pinned snapshot, without the network.

        It is leased while it loads; afterwards its open and mapped files keep it from being deleted.

        Args:
            model_name: The model.
            options: Passed to `AutoModelForCausalLM.from_pretrained` (dtype, device_map, …).

        Raises:
            NotFound, Conflict: There is no such model, or it isn't whole; or so for an adapter's base model.
            BadInput: transformers can't load its files, or the model isn't trusted with the code that it brings.
            Unavailable: transformers isn't installed, or the model's tier is offline.
        """
        with self.using(model_name, f"a load in pid {os.getpid()}") as (model, base):
            assert model.path is not None
            if self.runs_code(base or model):
                options = {"trust_remote_code": True, **options}
            return _from_pretrained(Path(model.path), options, _path_of(base))

    def runs_code(self, model: Model) -> bool:
        """Return whether a model that may be loaded brings code, which runs then."""
        return facts_of(model, self.adapters.library.files(model.row)).needs_code

    @contextlib.contextmanager
    def using(self, model_name: str, holder: str) -> Iterator[tuple[Model, Model | None]]:
        """Hold a model that is to be loaded and, for an adapter, its base model; raises as `load` does."""
        with contextlib.ExitStack() as held:
            model = held.enter_context(self.leaser.using(model_name, "load", holder))
            base = self.adapters.base_of(model)
            if base is not None:
                base = held.enter_context(self.leaser.using(base.row.model_name, "load", holder))
            for one in filter(None, (model, base)):
                self._check_trust(one)
            yield model, base

    def _check_trust(self, model: Model) -> None:
        facts = facts_of(model, self.adapters.library.files(model.row))
        check_parts(facts)
        check_trust(
            model.row.model_name,
            facts,
            model.row.engine,
            takes=_TAKES,
            runs_code=True,
            allow_remote_code=self.allow_remote_code,
        )


def try_out(path: Path, prompt: str, base: Path | None = None, *, runs_code: bool = False) -> Trial:
    """Load the model of a snapshot folder, ask it one question, and return the times.

    The calling process must already have the right environment; no library is opened.

    Args:
        path: The snapshot.
        prompt: The question.
        base: The snapshot of an adapter's base model; None for a model that isn't an adapter.
        runs_code: Whether code in its files runs.
    """
    started_s = time.monotonic()
    model, tokenizer = _from_pretrained(path, {"trust_remote_code": True} if runs_code else {}, base)
    loaded_s = time.monotonic()
    answer = _answer(model, tokenizer, prompt)
    answered_s = time.monotonic()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Trial(loaded_s - started_s, answered_s - loaded_s, peak_bytes, prompt, answer)


def _path_of(model: Model | None) -> Path | None:
    return None if model is None or model.path is None else Path(model.path)


def _from_pretrained(path: Path, options: dict[str, Any], base: Path | None = None) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as err:
        hint = f"{shlex.quote(sys.executable)} -m pip install {ENGINE_PACKAGES}"
        raise Unavailable("transformers is not installed.", hint=hint) from err
    if base is not None:
        return _adapted(path, base, options)
    source: dict[str, Any] = {"local_files_only": True, **_gguf(path)}
    trust = {name: options[name] for name in ("trust_remote_code",) if name in options}
    tokenizer = AutoTokenizer.from_pretrained(path, **source, **trust)
    if "gguf_file" in source:
        from transformers import GgufConfig

        options = {"quantization_config": GgufConfig(dequantize=True), "dtype": "bfloat16", **options}
    return AutoModelForCausalLM.from_pretrained(path, **source, **options), tokenizer


def _adapted(path: Path, base: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return a base model with an adapter in it, and the adapter's tokenizer if it has one."""
    from transformers import AutoTokenizer

    if importlib.util.find_spec("peft") is None:
        hint = f"{shlex.quote(sys.executable)} -m pip install peft"
        raise Unavailable("peft is not installed, and transformers needs it for adapters.", hint=hint)
    model, tokenizer = _from_pretrained(base, options)
    model.load_adapter(str(path), adapter_kwargs={"local_files_only": True})
    if is_file(path / "tokenizer_config.json"):
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return model, tokenizer


def _gguf(path: Path) -> dict[str, str]:
    """Return the option that makes transformers read a GGUF, if the snapshot has nothing else.

    Raises:
        BadInput: There are several, or nothing that can be loaded.
    """
    if is_file(path / "config.json"):
        return {}
    found = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.gguf"))
    if len(found) == 1:
        return {"gguf_file": found[0]}
    if found:
        raise BadInput(
            f"There are {len(found)} GGUF files: {', '.join(found[:4])}.",
            hint="Register one of them: shelf add NAME REPO --include FILE",
        )
    raise BadInput(
        f"{path} has neither config.json nor a GGUF file.",
        hint="Run it with a program that knows it; shelf path prints its folder.",
    )


def _answer(model: Any, tokenizer: Any, prompt: str) -> str:
    import torch

    if tokenizer.chat_template:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
    else:
        inputs = tokenizer(prompt, return_tensors="pt")
    inputs = inputs.to(model.device)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()
