"""What Inspect finds under `personalign`: the model providers and every task.

Named in `pyproject.toml` as an entry point, so that `inspect eval personalign/social --model
personalign/embedded` works wherever the package is installed.
"""

from personalign.evals.registry import TASKS
from personalign.models.provider import personalign
from personalign.models.vllm import personalign_vllm
from personalign.psychometrics.remote import letter_choice, rated_statements

__all__ = ["TASKS", "letter_choice", "personalign", "personalign_vllm", "rated_statements"]
