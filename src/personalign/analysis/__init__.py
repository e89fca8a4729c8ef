"""Pure statistics on the one long table of scores; knows neither torch nor Inspect.

`analysis.prompts` loads scikit-learn: import it by name where it is needed.
"""

from personalign.analysis.context import Context
from personalign.analysis.contrasts import adjust, contrast, contrast_columns, equivalence
from personalign.analysis.corrected import corrected_prevalence, corrected_rate
from personalign.analysis.estimates import (
    bootstrap,
    clustered_proportion,
    mean_columns,
    proportion,
    t_mean,
)
from personalign.analysis.factorial import Factorial, trait_effects
from personalign.analysis.judges import Agreement, JudgeErrors, agreement
from personalign.analysis.omnibus import chi_square, omnibus_test
from personalign.analysis.power import detectable_proportion, mcnemar_power, needed_pairs
from personalign.analysis.results import (
    ArmContrast,
    ArmEstimate,
    Contrast,
    Equivalence,
    Estimate,
    Omnibus,
)
from personalign.analysis.summary import Analysis, ArmOmnibus, analyse
from personalign.analysis.table import Wide, read, to_frame, validate, wide, write
from personalign.analysis.tradeoffs import pareto

__all__ = [
    "Agreement",
    "Analysis",
    "ArmContrast",
    "ArmEstimate",
    "ArmOmnibus",
    "Context",
    "Contrast",
    "Equivalence",
    "Estimate",
    "Factorial",
    "JudgeErrors",
    "Omnibus",
    "Wide",
    "adjust",
    "agreement",
    "analyse",
    "bootstrap",
    "chi_square",
    "clustered_proportion",
    "contrast",
    "contrast_columns",
    "corrected_prevalence",
    "corrected_rate",
    "detectable_proportion",
    "equivalence",
    "mcnemar_power",
    "mean_columns",
    "needed_pairs",
    "omnibus_test",
    "pareto",
    "proportion",
    "read",
    "t_mean",
    "to_frame",
    "trait_effects",
    "validate",
    "wide",
    "write",
]
