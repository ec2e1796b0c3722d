"""What a model must reach to pass the gate: a list of clauses, typed, as a YAML or JSON file.

    clauses:
      - {kind: average, metric: macro_f1, at_least: 0.70}
      - {kind: class, class: mel, metric: recall, by: lower, at_least: 0.50}
      - {kind: operating_point, question: melanoma, at: specificity 0.9, metric: sensitivity, at_least: 0.7}
      - {kind: subgroup, field: sex, group: female, metric: accuracy, at_least: 0.7}
      - {kind: calibration, metric: ece, at_most: 0.05}
      - {kind: champion, metric: macro_f1, worse_by_at_most: 0.02}

`by: lower` (of a ceiling: `upper`) judges by that end of the metric's 95 % interval instead of its value.
"""

from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES
from lesionflow.settings_text import check_settings, read_settings
from lesionflow.taxonomy import SEXES, Taxonomy

if TYPE_CHECKING:
    AverageMetric = str
else:
    AverageMetric = Literal[tuple(AVERAGES)]  # those that metrics/averages holds
Label = Annotated[str, Field(min_length=1)]
"""The code of a class; whether the data has it is known once its taxonomy is: see `check_classes`."""
ClassMetric = Literal["precision", "recall", "f1", "auc"]
Question = Literal["melanoma", "malignant"]
Point = Literal["specificity 0.9", "specificity 0.95", "sensitivity 0.9", "sensitivity 0.95"]
PointMetric = Literal["sensitivity", "specificity", "ppv", "npv", "auc"]
GroupField = Literal["sex", "age", "localization", "source"]
AgeBand = Literal["under 30", "30 to 44", "45 to 59", "60 to 74", "75 and over", "unknown"]
GroupMetric = Literal[
    "accuracy", "balanced_accuracy", "malignant_auc", "malignant_sensitivity", "malignant_specificity"
]
CalibrationMetric = Literal["ece", "brier", "nll"]

Share = Annotated[float, Field(gt=0, le=1, strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )


class Average(_Strict):
    """A floor on an average over the classes."""

    kind: Literal["average"] = "average"
    metric: AverageMetric
    by: Literal["value", "lower"] = "value"
    at_least: Share

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return AVERAGES[self.metric]


class OfClass(_Strict):
    """A floor on a metric of one class."""

    kind: Literal["class"] = "class"
    label: Label = Field(alias="class")
    metric: ClassMetric
    by: Literal["value", "lower"] = "value"
    at_least: Share

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return f"{_spoken(self.metric)} of {self.label}"


class OperatingPoint(_Strict):
    """A floor on the test images at a threshold that the validation images chose, or on the area under the curve."""

    kind: Literal["operating_point"] = "operating_point"
    question: Question
    metric: PointMetric
    at: Point | None = None
    """What the threshold reaches on validation; of all metrics but `auc`, which has none."""
    by: Literal["value", "lower"] = "value"
    at_least: Share

    @model_validator(mode="after")
    def _one_threshold_or_all(self) -> Self:
        if (self.at is None) != (self.metric == "auc"):
            needs = "has no `at`" if self.metric == "auc" else f"needs `at`, one of {', '.join(get_args(Point))}"
            raise ValueError(f"the metric {self.metric} {needs}")
        return self

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return f"{_spoken(self.metric)} of {self.question}" + (f" at {self.at}" if self.at else "")


class Subgroup(_Strict):
    """A floor on a metric of the test images of one group."""

    kind: Literal["subgroup"] = "subgroup"
    field: GroupField
    group: str = Field(min_length=1)
    metric: GroupMetric
    by: Literal["value", "lower"] = "value"
    at_least: Share

    @model_validator(mode="after")
    def _known_group(self) -> Self:
        known = {"age": get_args(AgeBand), "sex": SEXES}.get(self.field, (self.group,))
        if self.group not in known:
            raise ValueError(f"there is no {self.field} group {self.group!r}; expected one of {', '.join(known)}")
        return self

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return f"{_spoken(self.metric)} of {self.field} {self.group}"


class OfCalibration(_Strict):
    """A ceiling on an error of the probabilities, as they will be served: scaled, where there is a temperature."""

    kind: Literal["calibration"] = "calibration"
    metric: CalibrationMetric
    label: Label | None = Field(default=None, alias="class")
    """Of `ece` only: the error of this class's probability."""
    by: Literal["value", "upper"] = "value"
    at_most: float = Field(gt=0, strict=True)

    @model_validator(mode="after")
    def _class_of_ece(self) -> Self:
        if self.label and self.metric != "ece":
            raise ValueError(f"the metric {self.metric} is not known of one class; only ece is")
        return self

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return _spoken(self.metric) + (f" of {self.label}" if self.label else "")


class AgainstChampion(_Strict):
    """Not worse than the version in use, on the test lesions that it was not trained on."""

    kind: Literal["champion"] = "champion"
    metric: AverageMetric
    by: Literal["value", "lower"] = "value"
    """Of the paired difference, this model minus the champion."""
    worse_by_at_most: float = Field(ge=0, lt=1, strict=True)

    @property
    def name(self) -> str:
        """What it judges, in words."""
        return f"difference of {AVERAGES[self.metric]} to the champion"


Clause = Annotated[
    Average | OfClass | OperatingPoint | Subgroup | OfCalibration | AgainstChampion, Field(discriminator="kind")
]


class Policy(_Strict):
    """All clauses must hold."""

    clauses: tuple[Clause, ...]

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        # With only a comparison, the first model would pass whatever it is, and each next one could be a bit worse.
        if not any(isinstance(clause, Average) for clause in self.clauses):
            raise ValueError("no clause is of the kind average; a floor on one of the averages is needed")
        return self

    @property
    def headline(self) -> Average:
        """The first floor on an average: by its metric, versions are compared."""
        return next(clause for clause in self.clauses if isinstance(clause, Average))

    @property
    def compares(self) -> bool:
        """Whether a champion is needed to judge by it."""
        return any(isinstance(clause, AgainstChampion) for clause in self.clauses)

    def text(self) -> str:
        """It as JSON on one line, as a parameter of the pipeline."""
        return self.model_dump_json()


DEFAULT = Policy(clauses=(Average(metric="macro_f1", at_least=0.7),))
"""The bar of the published method."""

PRESETS: dict[str, Policy] = {"default": DEFAULT}


def floor(metric: str, at_least: float) -> Policy:
    """The policy of one clause: a floor on an average.

    Raises:
        UserError: there is no such metric, or the threshold is not in (0, 1].
    """
    if metric not in AVERAGES:
        raise UserError(f"The gate cannot judge by {metric!r}; choose one of {', '.join(AVERAGES)}.")
    if not 0 < at_least <= 1:
        raise UserError(f"The gate's threshold must lie above 0 and not above 1, received {at_least}.")
    return Policy.model_validate({"clauses": [{"kind": "average", "metric": metric, "at_least": float(at_least)}]})


def choose_policy(policy: str | None, metric: str | None, at_least: float | None, folds: int | None) -> Policy:
    """The policy that a command's options ask for: --policy, or --metric and --min-f1, or the default.

    Args:
        policy: `default` or a file.
        metric: of the policy of one clause.
        at_least: likewise.
        folds: of a cross-validation; None to train one model.

    Raises:
        UserError: both ways are used, or the policy is none, or asks for what a cross-validation does not give.
    """
    if policy is not None and (metric is not None or at_least is not None):
        raise UserError("--policy says everything that --metric and --min-f1 say; leave these out.")
    if policy is None:
        headline = DEFAULT.headline
        return floor(metric or headline.metric, headline.at_least if at_least is None else at_least)
    chosen = load_policy(policy)
    if folds is not None:
        check_pooled(chosen)
    return chosen


def check_pooled(policy: Policy) -> None:
    """Refuse a policy by which a cross-validation cannot be judged.

    Raises:
        UserError: it asks for a metric of one model.
    """
    for number, clause in enumerate(policy.clauses, start=1):
        if not isinstance(clause, Average | OfClass):
            raise UserError(
                f"Clause {number} of the policy ({clause.kind}: {clause.name}) needs one model, and a cross-validation "
                "has one per fold; leave the clause out, or train without folds."
            )


def check_classes(policy: Policy, taxonomy: Taxonomy) -> None:
    """Refuse a policy that asks for what the classes of the data cannot answer.

    Raises:
        UserError: it names a class that is none of them, or a question that they leave open.
    """
    for number, clause in enumerate(policy.clauses, start=1):
        where = f"Clause {number} of the policy ({clause.kind}: {clause.name})"
        if isinstance(clause, OfClass | OfCalibration) and clause.label and clause.label not in taxonomy.codes:
            raise UserError(
                f"{where} names the class {clause.label!r}, which the taxonomy {taxonomy.name} does not have; expected "
                f"one of {', '.join(taxonomy.codes)}."
            )
        question = clause.question if isinstance(clause, OperatingPoint) else ""
        if isinstance(clause, Subgroup) and clause.metric.startswith("malignant"):
            question = "malignant"
        if question and question not in taxonomy.questions:
            raise UserError(
                f"{where} asks what is {question}, which the taxonomy {taxonomy.name} does not say of its classes; "
                "leave the clause out, or say it there."
            )


def load_policy(text: str) -> Policy:
    """Understand a policy given as `default`, a YAML or JSON file, or the YAML or JSON itself.

    Raises:
        UserError: no such file, or a clause is unknown or out of range.
    """
    if text in PRESETS:
        return PRESETS[text]
    fields, where = read_settings(text, "policy", PRESETS)
    return check_policy(fields, where)


def check_policy(fields: object, where: str) -> Policy:
    """A policy from what was read of a file.

    Raises:
        UserError: it is none.
    """
    return check_settings(Policy, fields, "policy", where, _place)


def _place(location: tuple[int | str, ...]) -> str:
    """Where in a policy, for people: ('clauses', 1, 'class', 'metric') is "clause 2 (class), metric"."""
    match location:
        case ("clauses", int(index)):
            return f"clause {index + 1}"
        case ("clauses", int(index), kind):
            return f"clause {index + 1} ({kind})"
        case ("clauses", int(index), kind, *field):
            return f"clause {index + 1} ({kind}), {'.'.join(map(str, field))}"
        case _:
            return ""


def _spoken(metric: str) -> str:
    special = {"f1": "F1", "auc": "AUC", "ppv": "PPV", "npv": "NPV", "ece": "ECE", "brier": "Brier score"}
    special |= {"nll": "log loss", "malignant_auc": "malignant AUC"}
    return special.get(metric, metric.replace("_", " "))
