"""personalign: give a language model a persona, prove that it took, measure what that did.

    import personalign as pa

    base = pa.Model.load()                      # or a Hub id, or a folder
    infp = base.with_adapter("runs/quickstart/adapters/INFP", strength=0.8)
    infp.reply("My landlord raised the rent.")
    pa.verify(infp, persona="INFP").word

    pairs = pa.Study.read("recipes/quickstart.yaml").content.pairs("INFP")
    own = pa.train(base, pa.load("INFP"), pairs, pa.TrainingConfig(nll=2, kl=1))

    study = pa.Study.read("recipes/quickstart.yaml")
    study.run()
    study.findings.contrasts

Names are loaded when they are first used, so that importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Model",
    "Persona",
    "Sampling",
    "Study",
    "TrainingConfig",
    "__version__",
    "load",
    "train",
    "verify",
]

_WHERE = {
    "Model": "models.model",
    "Persona": "personas",
    "Sampling": "models.sampling",
    "Study": "study",
    "TrainingConfig": "training.config",
    "load": "personas",
    "train": "training.persona",
    "verify": "study.alone",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
