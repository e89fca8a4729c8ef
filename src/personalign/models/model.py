"""A model to talk to from Python: a base in memory, with an adapter or a system prompt or both.

infp = Model.load().with_adapter("runs/quickstart/adapters/INFP", strength=0.8)
infp.reply("My landlord raised the rent.")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from personalign.models import embedded
from personalign.models.engine import adopt
from personalign.models.local import LocalModel
from personalign.models.respondent import Respondent, respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.records import Message

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """A base in memory and what was done to it.

    Attributes:
        local: The base in memory, shared by all models made from it.
        system: The system prompt that it answers under, if any.
        adapter: Name of its adapter in memory, if any.
    """

    local: LocalModel
    system: str | None = None
    adapter: str | None = None

    @classmethod
    def load(
        cls, base: str = embedded.EMBEDDED, dtype: str = "auto", device: str = "auto"
    ) -> Model:
        """A base: `embedded`, a local folder, or a Hub id; see `LocalModel.load`."""
        return cls(LocalModel.load(base, dtype, device))

    @property
    def respondent(self) -> Respondent:
        """What is asked."""
        return respondent(self.local, self.system, self.adapter)

    @property
    def base(self) -> Model:
        """The same base, as it is."""
        return Model(self.local)

    def with_adapter(self, folder: str | Path, strength: float = 1.0) -> Model:
        """The same model through an adapter (a folder in PEFT's format), at a strength of 0 to 2.

        Raises:
            ModelError: where the folder holds no adapter that fits.
            InputError: where the strength is out of range.
        """
        return replace(self, adapter=adopt(self.local).adapter_of(Path(folder), strength))

    def with_system(self, text: str) -> Model:
        """The same model under a system prompt, such as `load("INFP").system_prompt()`."""
        return replace(self, system=text)

    def reply(
        self, prompt: str | Sequence[Message], sampling: Sampling | None = None, seed: int = 0
    ) -> str:
        """What it says: model output, so untrusted text.

        Args:
            prompt: What the user says, or a conversation that ends with it.
            sampling: By default greedy, at most 256 tokens.
            seed: Of the study; the reply's own follows from it and the prompt.
        """
        told = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
        how = sampling or Sampling(max_new_tokens=256)
        (drawn,) = self.respondent.draw([told], how, [seed_of(seed, told)])
        return drawn.text
