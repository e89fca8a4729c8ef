"""The composition root: one study file, every step in order, each resumable.

`Study` brings torch and transformers, and is loaded when it is first named, so that a mistake in
a study file is said at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personalign.study.config import StudyConfig, read_config

if TYPE_CHECKING:
    from personalign.study.study import Study

__all__ = ["Study", "StudyConfig", "read_config"]


def __getattr__(name: str) -> Any:
    if name != "Study":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from personalign.study.study import Study

    return Study
