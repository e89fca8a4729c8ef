from personalign.models.model import Model as Model
from personalign.models.sampling import Sampling as Sampling
from personalign.personas import Persona as Persona
from personalign.personas import load as load
from personalign.study import Study as Study
from personalign.study.alone import verify as verify
from personalign.training.config import TrainingConfig as TrainingConfig
from personalign.training.persona import train as train

__version__: str
__all__: list[str]
