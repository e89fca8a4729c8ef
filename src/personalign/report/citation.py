"""How to cite a run: a citation file that repositories and reference managers read.

Source: Druskat et al. (2021), Citation File Format 1.2.0, doi:10.5281/zenodo.5171937.
"""

from __future__ import annotations

from typing import Any

import yaml

from personalign import __version__
from personalign.findings import Findings

__all__ = ["citation"]


def citation(found: Findings) -> str:
    """The run as a data set, made with this software on its base model, in CFF 1.2.0."""
    finished = sorted(done.finished for done in found.steps)
    software = {
        "type": "software",
        "title": "personalign",
        "version": __version__,
        "authors": [{"name": "the personalign authors"}],
    }
    model = {
        "type": "generic",
        "title": f"Base model {found.manifest.get('base_model') or found.base}",
        "authors": [{"name": "the authors of the base model"}],
    }
    file: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "Cite this run, the software that made it, and the base model.",
        "title": f"{found.name}: persona study of {', '.join(found.personas) or 'no persona'}",
        "type": "dataset",
        "authors": [{"name": "the authors of this run"}],
        **({"date-released": finished[-1][:10]} if finished else {}),
        "references": [software, model],
    }
    return yaml.safe_dump(file, sort_keys=False, allow_unicode=True)
