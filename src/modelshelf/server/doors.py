"""The check of every path that a request can contain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from modelshelf.domain.http_roots import DRIVES, NamedFolder, check_http_path
from modelshelf.domain.setting_changes import Wanted
from modelshelf.domain.views import USUAL_ROOTS
from modelshelf.errors import BadInput, Denied
from modelshelf.services.adopt.folder import ELSEWHERE
from modelshelf.services.shelf import Shelf


class PathDoor:
    """Checks whether a request may name a path.

    Args:
        shelf: The library, whose bases, and those of CACHE_PATH_MAP, are allowed.
        roots: Folders below which all are allowed; None: where drives are mounted.
    """

    def __init__(self, shelf: Shelf, roots: Sequence[str] | None) -> None:
        self._tiers = shelf.services.tiers
        self._roots = DRIVES if roots is None else roots

    def check_base(self, cache_location: str, cache_path: str | None) -> None:
        """Raise unless a request may put a model there.

        Raises:
            BadInput: There is no such tier, or the path isn't a base.
            Denied: A request may not name this path.
        """
        tier = self._tiers.settings.chosen(cache_location, cache_path)
        self._check(tier.base, self._bases())

    def check_target(self, to: str) -> None:
        """Raise unless a request may adopt models to a tier, or to the base at this path.

        Raises:
            BadInput, Denied: See `check_base`.
        """
        if to in ("primary", "secondary"):
            return
        if not to.startswith("/"):
            raise BadInput(f"{to!r:.200} isn't a tier.", hint="Use primary, secondary, or the whole path of a base.")
        self.check_base("custom", to)

    def check_source(self, path: str) -> None:
        """Raise unless a request may adopt from a folder.

        Raises:
            BadInput: It isn't an absolute path.
            Denied: A request may not name it.
        """
        usual = [str(Path(place).expanduser()) for place in ELSEWHERE]
        self._check(path, [*self._bases(), *usual])

    def check_view(self, root: str) -> None:
        """Raise unless a request may make a view in a folder: a base, where the programs look, or below the roots.

        Raises:
            Denied: A request may not name it.
        """
        self._check(root, [*self._bases(), *(str(Path(place).expanduser()) for place in USUAL_ROOTS.values())])

    def check_settings(self, wanted: Wanted) -> None:
        """Raise unless a request may make the bases in a change of settings the tiers'.

        Raises:
            Denied: It may not; `problems` names the settings.
        """
        for name, text in wanted.items():
            if not name.endswith("_CACHE_PATH") or not text:
                continue
            try:
                if not text.startswith("/"):
                    raise Denied(f"{text!r:.200} isn't a whole path.", hint="A request names a base from / on.")
                self._check(text, self._bases())
            except Denied as err:
                problem = {"name": name, "origin": "", "detail": f"{err.detail} {err.hint}"}
                raise Denied(err.detail, hint=err.hint, problems=[problem]) from err

    def _bases(self) -> list[str]:
        return [*(tier.base for tier in self._tiers.all()), *self._mapped()]

    def _mapped(self) -> list[str]:
        return list(self._tiers.settings.custom_map.values())

    def _check(self, path: str, known: Sequence[str]) -> None:
        roots = [NamedFolder(root, os.path.realpath(root)) for root in [*self._roots, *self._mapped()]]
        check_http_path(NamedFolder(path, os.path.realpath(path) if "\0" not in path else ""), known, roots)
