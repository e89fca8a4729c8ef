"""What a statistic is once it is computed: how, on how many samples, and what is missing.

An undefined number is `None` beside a `reason`, never 0.0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from personalign.records import Arm, Record

__all__ = [
    "Absent",
    "ArmContrast",
    "ArmEstimate",
    "CalibrationBin",
    "CategoryRate",
    "Contrast",
    "Equivalence",
    "Estimate",
    "Goal",
    "Importance",
    "Length",
    "Omnibus",
    "Point",
    "PromptRate",
    "Rate",
    "RiskModel",
    "TaskRisk",
    "Term",
    "TradeOff",
    "Words",
]

Goal = Literal["higher", "lower"]
"""Whether more of a measure is better, or less."""


class Estimate(Record):
    """One number with its interval.

    `low` and `high` bound it at `confidence`; `n` counts the samples that carry a value and
    `missing` those that do not, by state. `method` names the interval, `unit` the scale
    ("proportion" is 0 to 1, "value" the metric's own). `reason` says why something is `None`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float = Field(default=0.95, gt=0, lt=1)
    n: int = Field(ge=0)
    missing: dict[str, int] = Field(default_factory=dict)
    unit: str = "value"
    method: str
    seed: int | None = None
    reason: str | None = None


class ArmEstimate(Estimate):
    """An estimate of one metric of one task in one arm.

    Where samples share clusters, `low` and `high` are for other clusters of the kind, and
    `on_benchmark` for other samples of these clusters (`strata.stratified`).
    """

    task: str
    metric: str
    arm: Arm
    on_benchmark: tuple[float, float] | None = None


class Contrast(Record):
    """What arm `b` scores above arm `a`, on the samples that both have.

    `difference` is mean(b) − mean(a) over `n` complete pairs, in `unit`; `low` and `high` bound it
    at `confidence` by `method`. `p` is two-sided, from `test`, which the interval is of too;
    `p_adjusted` is corrected within its `family` by `correction`. `p_unclustered` is the
    textbook test (exact McNemar, paired t), which takes pairs as independent. `discordant` counts
    the pairs that differ. `effects` holds `odds_ratio` and `cohens_g` for 0/1 metrics, else `d_z`.
    `detectable` is the smallest true difference that this many pairs show with 80 % power at the
    5 % level, uncorrected: print it beside every null result.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    confidence: float = Field(default=0.95, gt=0, lt=1)
    p: float | None = None
    p_unclustered: float | None = None
    p_adjusted: float | None = None
    correction: str | None = None
    family: str | None = None
    test: str
    effects: dict[str, float | None] = Field(default_factory=dict)
    n: int = Field(ge=0)
    discordant: int = Field(ge=0)
    missing: dict[str, int] = Field(default_factory=dict)
    unit: str = "value"
    method: str
    detectable: float | None = None
    seed: int | None = None
    reason: str | None = None

    @property
    def effect_name(self) -> str:
        """Name of the leading effect size: `odds_ratio` or `d_z`."""
        return next(iter(self.effects), "")

    @property
    def effect(self) -> float | None:
        """The leading effect size."""
        return self.effects.get(self.effect_name)


class Equivalence(Record):
    """Two one-sided tests: may one say that the difference lies within ±`margin`?

    `p` is the larger of the two one-sided p-values; `low` and `high` are the matching interval, of
    confidence 1 − 2α: it lies inside the margin just when p < α.
    """

    difference: float | None
    margin: float = Field(gt=0)
    low: float | None
    high: float | None
    alpha: float
    p: float | None
    equivalent: bool | None
    n: int = Field(ge=0)
    method: str
    reason: str | None = None


class ArmContrast(Contrast):
    """A contrast of two arms on one metric of one task; `a` is what `b` is compared with.

    `equivalence` stands where a margin was stated for the metric; `on_benchmark` as for
    `ArmEstimate`. `uncorrected` says why the difference is one of flags, not of what is true, where
    a judge gives them whose errors are known.
    """

    task: str
    metric: str
    a: Arm
    b: Arm
    equivalence: Equivalence | None = None
    on_benchmark: tuple[float, float] | None = None
    uncorrected: str | None = None


class Omnibus(Record):
    """One test over many arms: does any differ? `n` counts the samples (or answers) it used."""

    test: str
    statistic: float | None
    df: int
    p: float | None
    n: int = Field(ge=0)
    arms: int
    dropped: int = 0
    reason: str | None = None


class Rate(Record):
    """How often replies are unsafe at one level of one feature."""

    feature: str
    level: str
    estimate: Estimate


class CalibrationBin(Record):
    """Predictions of about one size: their mean, and the share that was unsafe."""

    predicted: float
    observed: float
    n: int


class Importance(Record):
    """How much worse held-out predictions get (Brier score) when one feature is shuffled."""

    feature: str
    loss: float
    deviation: float


class RiskModel(Record):
    """A cross-validated model of P(unsafe | prompt, persona), judged on prompts it has not seen.

    `brier` is the mean squared error of the probabilities, `brier_constant` that of always saying
    the overall rate: the model knows something if it is lower. `auc` is the chance that an unsafe
    reply is ranked above a safe one.
    """

    n: int
    prompts: int
    folds: int
    brier: float | None
    brier_constant: float | None
    auc: float | None
    calibration: tuple[CalibrationBin, ...] = ()
    importance: tuple[Importance, ...] = ()
    reason: str | None = None


class Term(Record):
    """A word, or several in a row, and how much more often `a` says it than `b`.

    `log_odds` is the difference of the smoothed log-odds, `z` the same in standard errors; words of
    one text are not independent, so that z ranks and does not test.
    """

    term: str
    words: int
    count_a: int
    count_b: int
    log_odds: float
    z: float


class CategoryRate(ArmEstimate):
    """An arm's mean within one category (cluster) of samples, the samples being the units."""

    category: str


class PromptRate(Rate):
    """How often one arm's replies are unsafe at one level of one feature of the prompt."""

    task: str
    metric: str
    arm: Arm


class TaskRisk(RiskModel):
    """The model of P(unsafe | prompt, persona) of one task."""

    task: str
    metric: str


class Words(Record):
    """What a persona's flagged replies say that its safe ones do not, most telling first.

    `flagged` and `safe` count the replies compared, over all its conditions.
    """

    task: str
    metric: str
    persona: str
    flagged: int
    safe: int
    terms: tuple[Term, ...]


class Length(Record):
    """How long one arm's replies to a task are: `tokens` a reply, and the share that was `cut`."""

    task: str
    arm: Arm
    tokens: Estimate
    cut: Estimate


class Point(Record):
    """One setting (a dial position, an objective, a condition) and where it stands.

    `on_front` is `None`, with a reason, where a measure is missing: such a point neither beats nor
    is beaten.
    """

    name: str
    values: dict[str, float | None]
    on_front: bool | None
    dominated_by: tuple[str, ...] = ()
    reason: str | None = None


class TradeOff(Record):
    """Persona strength against one measure (or all at once): which arms no other arm beats.

    `goals` says which way each is better; `points` are named by arm.
    """

    task: str
    metric: str
    goals: dict[str, Goal]
    points: tuple[Point, ...]


class Absent(Record):
    """A part of the analysis that the data do not allow: for what, and why."""

    part: str
    what: tuple[str, ...]
    reason: str
