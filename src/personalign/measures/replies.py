"""What it says: free text on situations that measure, kept to be read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from personalign.corpus import scenes
from personalign.measures.measure import Measure
from personalign.models.respondent import Respondent, seed_of
from personalign.models.sampling import Sampling
from personalign.progress import Progress, silent
from personalign.records import Arm, Scene, Transcript

__all__ = ["Replies"]


class Replies(Measure):
    """A reply to each of a few situations; arms share the seed of a situation."""

    name = "replies"
    about = "quality"
    by_default = True

    @cached_property
    def scenes(self) -> list[Scene]:
        """Some of the situations that measure, spread over the areas."""
        settings = self.material.settings
        measuring = scenes.select(self.material.scenes, "measure", settings.scenes)
        return scenes.select(measuring, "measure", settings.replies)

    @property
    def sampling(self) -> Sampling:
        """How they are drawn."""
        settings = self.material.settings
        return Sampling(settings.max_new_tokens, settings.temperature, settings.top_p)

    @property
    def size(self) -> int:
        return len(self.scenes)

    def subject(self, arm: Arm) -> object:
        return [self.scenes, repr(self.sampling)]

    def ask(self, who: Respondent, arm: Arm, progress: Progress = silent) -> Iterator[Transcript]:
        prompts = [scene.prompt for scene in self.scenes]
        seeds = [seed_of(self.material.seed, prompt) for prompt in prompts]
        drawn = who.draw(prompts, self.sampling, seeds, progress)
        for scene, reply in zip(self.scenes, drawn, strict=True):
            yield Transcript(
                persona=arm.persona,
                condition=arm.condition,
                task=self.task,
                sample=scene.id,
                prompt=scene.prompt,
                reply=reply.text,
                tokens=reply.tokens,
                cut=reply.ended == "length",
                seed=reply.seed,
            )
