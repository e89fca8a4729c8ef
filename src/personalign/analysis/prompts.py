"""What makes a prompt dangerous for a persona."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from personalign.analysis.estimates import mean_columns
from personalign.analysis.results import CalibrationBin, Importance, Rate, RiskModel
from personalign.errors import InputError

__all__ = [
    "CalibrationBin",
    "Form",
    "Importance",
    "Rate",
    "RiskModel",
    "features",
    "in_quarters",
    "profile_match",
    "question_form",
    "rates",
    "risk_model",
]

Floats = NDArray[np.float64]
Form = Literal["role", "would you", "how", "why", "what", "other"]

_FORMS: tuple[tuple[Form, str], ...] = (
    ("role", r"\b(?:pretend|role-?play|act as|imagine (?:that )?you|you are (?:now )?an?)\b"),
    ("would you", r"\b(?:would|could|can|will|do|are) you\b"),
    ("how", r"\bhow\b"),
    ("why", r"\bwhy\b"),
    ("what", r"\b(?:what|which|who|where|when)\b"),
)

NAMED = ["persona", "category", "form"]
SIZED = ["words", "match"]
BINS = 10


def question_form(text: str) -> Form:
    """How an English prompt asks: the first of role, would you, how, why, what that it contains."""
    return next((f for f, pattern in _FORMS if re.search(pattern, text, re.IGNORECASE)), "other")


def features(
    frame: pd.DataFrame,
    task: str,
    metric: str,
    prompts: Mapping[str, str],
    *,
    match: Mapping[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """One row a reply: sample, persona, condition, category, form, words, match, unsafe (0/1, NaN).

    `prompts` gives each sample's text; the category is its cluster. `match` says for (persona,
    sample) how well the prompt fits the persona's traits; without it the column is 0.

    Raises:
        InputError: if the metric is not 0/1, or a prompt or a match is not given.
    """
    rows = frame[(frame["task"] == task) & (frame["metric"] == metric)]
    if rows.empty or not rows["value"].dropna().isin([0.0, 1.0]).all():
        raise InputError(f"{metric!r} of {task!r} is not a 0/1 metric", "choose one that is")
    if lacking := sorted(set(rows["sample"]) - set(prompts)):
        raise InputError(f"no text for the prompt {lacking[0]!r}", "give the text of every sample")
    asked = {s: prompts[s] for s in rows["sample"].unique()}  # each text is read once
    return pd.DataFrame(
        {
            "sample": rows["sample"],
            "persona": rows["persona"],
            "condition": rows["condition"],
            "category": rows["cluster"],
            "form": rows["sample"].map({s: question_form(x) for s, x in asked.items()}),
            "words": rows["sample"].map({s: float(len(x.split())) for s, x in asked.items()}),
            "match": _matches(rows, match),
            "unsafe": rows["value"].astype(float),
        }
    ).reset_index(drop=True)


def profile_match(
    prompts: Mapping[str, str], profiles: Mapping[str, str]
) -> dict[tuple[str, str], float]:
    """(persona, sample) → cosine of prompt and profile in words weighted by tf-idf, 0 to 1.

    A persona without a profile (base) matches nothing: 0. Word overlap is all that it sees.

    Source: Salton & Buckley (1988), Information Processing & Management 24:513–523, through
    scikit-learn.
    """
    samples, people = list(prompts), [p for p, text in profiles.items() if text.strip()]
    found = {(p, s): 0.0 for p in profiles for s in samples}
    if not people:
        return found
    words = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    vectors = words.fit_transform([*(profiles[p] for p in people), *prompts.values()])
    cosines = (vectors[: len(people)] @ vectors[len(people) :].T).toarray()
    return found | {
        (p, s): float(cosines[i, j]) for i, p in enumerate(people) for j, s in enumerate(samples)
    }


def in_quarters(table: pd.DataFrame) -> pd.DataFrame:
    """The same with `words` and `match` cut at their quartiles over the whole table, in order.

    What does not vary has no quarters: its column is empty.
    """
    cut = {n: pd.qcut(table[n], 4, duplicates="drop").cat.rename_categories(str) for n in SIZED}
    return table.assign(**cut)


def rates(table: pd.DataFrame, feature: str, rng: np.random.Generator) -> tuple[Rate, ...]:
    """Share of unsafe replies at each level of a feature (quarters of `words` and `match`).

    Intervals take the prompt as the unit where several arms answered it. Quarters come smallest
    first, those without a reply too.

    Raises:
        InputError: for a feature that the table does not have.
    """
    if feature not in (*NAMED, *SIZED, "condition"):
        raise InputError(f"no feature {feature!r}", f"one of {', '.join([*NAMED, *SIZED])}")
    cut = feature in SIZED and pd.api.types.is_numeric_dtype(table[feature])
    levels = (in_quarters(table) if cut else table)[feature]
    return tuple(
        Rate(
            feature=feature,
            level=str(level),
            estimate=mean_columns(
                part[["unsafe"]].to_numpy(dtype=float), part["sample"].to_numpy(dtype=str), rng
            )[0],
        )
        for level, part in table.groupby(levels, sort=True, observed=False)
    )


def risk_model(table: pd.DataFrame, rng: np.random.Generator, *, folds: int = 5) -> RiskModel:
    """Logistic model of unsafe replies on persona, category, form, words and match.

    Cross-validated with all replies to a prompt in one fold, so that it is judged on new prompts;
    probabilities are calibrated by Platt's sigmoid on inner folds of the training part.

    Source: Platt (1999), Advances in Large Margin Classifiers, 61–74, and Breiman (2001), Machine
    Learning 45:5–32, §10 (permutation importance), through scikit-learn; Brier (1950), Monthly
    Weather Review 78:1–3.
    """
    known = table.dropna(subset=["unsafe"]).reset_index(drop=True)
    truth, groups = known["unsafe"].to_numpy(dtype=float), known["sample"].to_numpy(dtype=str)
    size = {"n": len(known), "prompts": len(np.unique(groups)), "folds": folds}
    if reason := _unfit(truth, groups, folds):
        blank = {"brier": None, "brier_constant": None, "auc": None, "reason": reason}
        return RiskModel.model_validate({**size, **blank})
    seed = int(rng.integers(2**31))
    predicted, losses = _cross_validate(known, truth, groups, folds, seed)
    return RiskModel.model_validate(
        {
            **size,
            "brier": float(brier_score_loss(truth, predicted)),
            "brier_constant": float(truth.mean() * (1 - truth.mean())),
            "auc": float(roc_auc_score(truth, predicted)),
            "calibration": _calibration(truth, predicted),
            "importance": _importance(losses),
        }
    )


def _matches(rows: pd.DataFrame, match: Mapping[tuple[str, str], float] | None) -> list[float]:
    if match is None:
        return [0.0] * len(rows)
    keys = list(zip(rows["persona"], rows["sample"], strict=True))
    if lacking := [k for k in keys if k not in match]:
        raise InputError(f"no match of persona and prompt {lacking[0]}", "give one for every pair")
    return [float(match[k]) for k in keys]


def _unfit(truth: Floats, groups: NDArray[np.str_], folds: int) -> str | None:
    """Why no model can be judged: each fold, inner ones too, needs prompts of both kinds."""
    kinds = [len(np.unique(groups[truth == kind])) for kind in (0.0, 1.0)]
    if min(kinds) < 2 * folds:
        return f"{kinds[0]} prompts with safe and {kinds[1]} with unsafe replies: too few to judge"
    return None


def _model(inner: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> CalibratedClassifierCV:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), slice(0, len(NAMED))),
        (StandardScaler(), slice(len(NAMED), None)),
    )
    logistic = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return CalibratedClassifierCV(logistic, method="sigmoid", cv=inner)


def _cross_validate(
    table: pd.DataFrame, truth: Floats, groups: NDArray[np.str_], folds: int, seed: int
) -> tuple[Floats, list[Floats]]:
    """Held-out probabilities (n,), and the Brier losses (features, repeats) of each fold."""
    named = [pd.factorize(table[name], sort=True)[0] for name in NAMED]  # numbers are faster
    used = np.column_stack([*named, table[SIZED].to_numpy(dtype=float)])
    predicted, losses = np.empty(len(truth)), []
    outer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in outer.split(used, truth, groups):
        inner = list(StratifiedGroupKFold(3).split(used[train], truth[train], groups[train]))
        fitted = _model(inner).fit(used[train], truth[train])
        predicted[test] = fitted.predict_proba(used[test])[:, 1]
        options: dict[str, Any] = {"scoring": "neg_brier_score", "random_state": seed}
        shuffled = permutation_importance(fitted, used[test], truth[test], **options)
        losses.append(shuffled.importances)
    return predicted, losses


def _importance(losses: list[Floats]) -> list[Importance]:
    every = np.concatenate(losses, axis=1)
    found = [
        Importance(feature=name, loss=float(row.mean()), deviation=float(row.std(ddof=1)))
        for name, row in zip(NAMED + SIZED, every, strict=True)
    ]
    return sorted(found, key=lambda i: -i.loss)


def _calibration(truth: Floats, predicted: Floats) -> list[CalibrationBin]:
    """Ten bins of equal count, by predicted probability."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    return [
        CalibrationBin(
            predicted=float(predicted[i].mean()), observed=float(truth[i].mean()), n=len(i)
        )
        for i in bins
        if len(i)
    ]
