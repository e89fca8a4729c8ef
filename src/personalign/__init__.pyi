from personalign.models.local import Sampling as Sampling
from personalign.models.model import Model as Model
from personalign.personas import Persona as Persona
from personalign.personas import load as load
from personalign.study import Study as Study
from personalign.study.alone import verify as verify
from personalign.training.config import TrainingConfig as TrainingConfig

__version__: str
__all__: list[str]
