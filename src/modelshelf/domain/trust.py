"""Whether a model may be loaded that brings code: classes of its own, or weights that are Python pickles."""

from __future__ import annotations

from collections.abc import Collection

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.model_facts import ModelFacts
from modelshelf.domain.weight_files import PYTORCH
from modelshelf.errors import BadInput


def check_trust(
    model_name: str,
    facts: ModelFacts,
    choice: EngineChoice,
    *,
    takes: Collection[str],
    runs_code: bool,
    allow_remote_code: bool,
) -> None:
    """Do nothing where a model is trusted with all that loading it may run.

    Args:
        model_name: Its name.
        facts: What it is.
        choice: What a person allowed it.
        takes: The formats that would be loaded.
        runs_code: Whether what loads it would look for its classes.
        allow_remote_code: Whether ALLOW_REMOTE_CODE lets any model's code run.

    Raises:
        BadInput: It isn't; says what it lacks.
    """
    if facts.needs_code and runs_code and not (choice.trust_remote_code and allow_remote_code):
        flags = {"its own flag": choice.trust_remote_code, "ALLOW_REMOTE_CODE=1": allow_remote_code}
        lacking = " and ".join(what for what, is_set in flags.items() if not is_set)
        command = f"shelf engines {model_name} --trust-remote-code"
        raise BadInput(
            f"{model_name} brings Python code that would run here (auto_map in its config.json): that needs its own"
            f" flag and ALLOW_REMOTE_CODE=1, and lacks {lacking}.",
            hint=f"If you trust it: {command}, and ALLOW_REMOTE_CODE=1 in the settings.",
            model_name=model_name,
        )
    if facts.is_pickle and PYTORCH in takes and not choice.allow_pickle:
        raise BadInput(
            f"The weights of {model_name} are Python pickles, which can run code when they are loaded.",
            hint=f"If you trust it: shelf engines {model_name} --allow-pickle. Or choose a revision with safetensors.",
            model_name=model_name,
        )
