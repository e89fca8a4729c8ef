"""The composition root: one study file, every step in order, each resumable."""

from personalign.study.config import Measures, StudyConfig, read_config
from personalign.study.steps import TASKS, Study
from personalign.study.tasks import PERSONA
from personalign.study.verdicts import verdicts

__all__ = ["PERSONA", "TASKS", "Measures", "Study", "StudyConfig", "read_config", "verdicts"]
