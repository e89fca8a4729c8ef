"""Who answers for each arm of a study: loaded when first asked, one base for all adapters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock

from personalign.models import embedded
from personalign.models.chat import Chat, open_chat
from personalign.models.engine import Engine, adopt
from personalign.models.local import LocalModel
from personalign.models.respondent import LocalRespondent, Respondent
from personalign.personas import Persona
from personalign.progress import Announce
from personalign.records import Arm
from personalign.study.config import StudyConfig
from personalign.study.parts import wrapped
from personalign.training.card import trained_under
from personalign.training.persona import persona_prompt

__all__ = ["Respondents"]


class Respondents:
    """A study's base and what is asked through it."""

    def __init__(
        self,
        config: StudyConfig,
        personas: Mapping[str, Persona],
        adapters: Path,
        announce: Announce,
    ) -> None:
        self.config = config
        self.personas = personas
        self.adapters = adapters
        self.announce = announce
        self._whole: dict[str, Engine] = {}
        self._made: dict[Arm, Respondent] = {}
        self._one = Lock()

    @cached_property
    def identity(self) -> str:
        """Name and content of the base's weights."""
        return embedded.identity(self.config.base)

    @cached_property
    def chat(self) -> Chat:
        """How the base is asked, without its weights; what cannot be asked is refused."""
        chat = open_chat(self.config.base, self.config.thinking)
        chat.check()
        return chat

    @cached_property
    def base(self) -> LocalModel:
        """The base in memory."""
        tick = self.announce("load base", 1)
        local = LocalModel.load(self.config.base, self.config.dtype, thinking=self.config.thinking)
        tick(1)
        return local

    @property
    def is_loaded(self) -> bool:
        """Is the base in memory?"""
        return "base" in self.__dict__

    def of(self, arm: Arm) -> Respondent:
        """Who answers for an arm."""
        with self._one:
            if arm not in self._made:
                origin = LocalRespondent(adopt(self.base)) if self.is_whole(arm) else None
                who = LocalRespondent(self._engine(arm), self._adapter(arm), origin)
                self._made[arm] = wrapped(who, arm, self)
            return self._made[arm]

    def is_whole(self, arm: Arm) -> bool:
        """Does a model of its own answer, not an adapter?"""
        return self.config.training.method == "full" and arm.adapter is not None

    def prompt(self, name: str) -> str:
        """A persona's system prompt: the one it was trained under, where there was one."""
        own = persona_prompt(self.personas[name], self.config.training)
        given = self.config.adapters.get(name)
        return own if given is None else trained_under(given) or own

    def system(self, arm: Arm) -> str | None:
        """The system prompt an arm is asked under, if any."""
        return self.prompt(arm.persona) if "prompted" in arm.condition.parts else None

    def _engine(self, arm: Arm) -> Engine:
        """The base's, or of what a full fine-tuning made of it."""
        return self._whole_engine(arm.persona) if self.is_whole(arm) else adopt(self.base)

    def _whole_engine(self, persona: str) -> Engine:
        """What a full fine-tuning made of the base; one is kept in memory at a time."""
        if persona not in self._whole:
            self._whole.clear()
            self._made = {a: who for a, who in self._made.items() if not self.is_whole(a)}
            path = self.adapters / persona
            local = LocalModel.load(str(path), self.config.dtype, thinking=self.config.thinking)
            self._whole[persona] = Engine(local)
        return self._whole[persona]

    def _adapter(self, arm: Arm) -> str | None:
        """Load an arm's adapter where it has one; returns its name."""
        if arm.adapter is None or self.is_whole(arm):
            return None
        if arm.adapter not in self.base.adapters:
            folder = self.adapters / arm.adapter
            adopt(self.base).load(arm.adapter, folder, self.config.strength)
        return arm.adapter
