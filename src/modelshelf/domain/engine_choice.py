"""What a person chose for the engine of one model, as the registry keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from modelshelf.domain.outside import flag_of, list_of, object_of, parse_json, text_of


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine of a model, and what it may do."""

    engine: str = ""
    """The name of its backend; empty: whichever serves it."""
    arguments: tuple[str, ...] = ()
    """What its command has beside: `--name` or `--name=value`."""
    trust_remote_code: bool = False
    """Whether code that the model's files bring may run, where ALLOW_REMOTE_CODE lets it."""
    allow_pickle: bool = False
    """Whether weights may be loaded that are Python pickles, which can run code."""

    @property
    def text(self) -> str:
        """It as JSON; empty where nothing was chosen.

        >>> EngineChoice().text, EngineChoice.parse(EngineChoice("vllm", ("--dtype=half",)).text).arguments
        ('', ('--dtype=half',))
        """
        return "" if self == NOTHING_CHOSEN else json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: object) -> EngineChoice:
        """Return what a text of the registry says.

        Raises:
            BadInput: It isn't one.
        """
        if text == "":
            return NOTHING_CHOSEN
        said = object_of(parse_json(text_of(text)), "engine", "arguments", "trust_remote_code", "allow_pickle")
        return cls(
            text_of(said["engine"], 80),
            list_of(said["arguments"], text_of),
            flag_of(said["trust_remote_code"]),
            flag_of(said["allow_pickle"]),
        )


NOTHING_CHOSEN = EngineChoice()
