"""The classes of a data set, as they come with it: HAM10000's, the ISIC challenge 2019's, or a YAML file's.

    name: clinic
    classes:
      - {code: mel, name: melanoma, malignant: true, aliases: [MM]}
      - {code: nevus, name: melanocytic nevus, malignant: false}
    columns: {image: file, group: patient, diagnosis: label}

Everything that counts, orders, colours or asks about classes asks a `Taxonomy`, which ingest writes into the images
artifact and finetune into the model.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lesionflow.errors import UserError
from lesionflow.settings_text import check_settings, read_settings

SEXES: tuple[str, ...] = ("female", "male", "unknown")
"""What metadata may say of a patient's sex, and the groups by it."""

COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c",
    "#b8a800", "#7b4ea3", "#5b8c5a", "#a0522d", "#3f5f8a",
)  # fmt: skip
"""Of classes that name none: Okabe and Ito's for colour-blind readers, as in `reporting.pictures`, and more."""

_TAKEN = frozenset({"image_id", "lesion_id", "dx", "predicted", "abstain", "error"})
"""Columns of the tables that have a column per class, lower case."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Diagnosis(_Frozen):
    """One class."""

    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$")]
    """What tables, metrics and the model's answers call it."""
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """In words."""
    malignant: bool | None = None
    """None: the data set does not sort its classes by it."""
    aliases: tuple[str, ...] = ()
    """What metadata may call it beside its code, in upper or lower case; the name of its column in a one-hot table."""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] | None = None
    """In diagrams; None for one of `COLOURS`."""


class Columns(_Frozen):
    """How a metadata table names what lesionflow reads, in upper or lower case."""

    image: str = "image_id"
    """File name of the image, with or without its ending."""
    group: str | None = "lesion_id"
    """What must not be torn apart by a split: the lesion, or the patient. None: each image stands for itself."""
    diagnosis: str = "dx"
    age: str = "age"
    """Years."""
    sex: str = "sex"
    site: str = "localization"
    """Of the body."""

    @property
    def ours(self) -> dict[str, str]:
        """The name of a column in lesionflow's own tables -> in the metadata."""
        names = {
            "image_id": self.image,
            "lesion_id": self.group,
            "dx": self.diagnosis,
            "age": self.age,
            "sex": self.sex,
            "localization": self.site,
        }
        return {ours: name for ours, name in names.items() if name is not None}

    @property
    def required(self) -> tuple[str, ...]:
        """Those without which a table is no metadata, as it names them."""
        return tuple(name for ours, name in self.ours.items() if ours in ("image_id", "lesion_id", "dx"))

    @field_validator("*")
    @classmethod
    def _in_lower_case(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.strip():
            raise ValueError("a column needs a name")
        return value.strip().lower()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        # The group may be the image itself; age, sex and site may be absent.
        names = [self.image, self.diagnosis]
        if len(set(names)) < len(names):
            raise ValueError(f"the column {names[0]} cannot be both the image and the diagnosis")
        return self


class Taxonomy(_Frozen):
    """The classes of a data set, in the order of every model output, metric and table."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    classes: Annotated[tuple[Diagnosis, ...], Field(min_length=2, max_length=256)]
    columns: Columns = Columns()

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        seen: dict[str, str] = {}
        for each in self.classes:
            if each.code.lower() in _TAKEN:
                raise ValueError(f"the code {each.code!r} is the name of a column in lesionflow's tables")
            for word in {each.code.lower(), *(alias.strip().lower() for alias in each.aliases)}:
                if word in seen or not word:
                    raise ValueError(f"{word!r} stands for {seen.get(word, 'nothing')} and for {each.code}")
                seen[word] = each.code
        flagged = [each.code for each in self.classes if each.malignant is not None]
        if flagged and len(flagged) < len(self.classes):
            raise ValueError(
                f"only {', '.join(flagged)} say whether they are malignant; let all classes say it or none"
            )
        return self

    @property
    def codes(self) -> tuple[str, ...]:
        """The classes' codes, in order."""
        return tuple(each.code for each in self.classes)

    @property
    def index(self) -> dict[str, int]:
        """Code -> its column in a model's output."""
        return {code: index for index, code in enumerate(self.codes)}

    @property
    def names(self) -> dict[str, str]:
        """Code -> what it means."""
        return {each.code: each.name for each in self.classes}

    @property
    def words(self) -> dict[str, str]:
        """What metadata may say, in lower case -> the code."""
        return {word.strip().lower(): each.code for each in self.classes for word in (each.code, *each.aliases)}

    @property
    def colours(self) -> dict[str, str]:
        """Code -> its colour in diagrams, #rrggbb."""
        return {each.code: each.colour or COLOURS[index % len(COLOURS)] for index, each in enumerate(self.classes)}

    @property
    def malignant(self) -> tuple[str, ...]:
        """The codes counted as malignant; none where the classes do not say, or where all of them are or none is."""
        codes = tuple(each.code for each in self.classes if each.malignant)
        return codes if len(codes) < len(self.classes) else ()

    @property
    def melanoma(self) -> str | None:
        """The code of the malignant class that is called melanoma, by its name or an alias."""
        for each in self.classes:
            if each.code in self.malignant and "melanoma" in (each.name.lower(), *map(str.lower, each.aliases)):
                return each.code
        return None

    @property
    def questions(self) -> dict[str, tuple[str, ...]]:
        """Question with yes or no -> the classes for which the answer is yes; none without malignant classes."""
        asked = {"melanoma": (self.melanoma,)} if self.melanoma else {}
        return {**asked, "malignant": self.malignant} if self.malignant else {}

    def text(self) -> str:
        """It as JSON on one line, as a parameter of the pipeline."""
        return self.model_dump_json(exclude_defaults=True)


def _of(name: str, *classes: tuple[str, str, bool, tuple[str, ...]]) -> Taxonomy:
    return Taxonomy(
        name=name,
        classes=tuple(
            Diagnosis(code=code, name=words, malignant=malignant, aliases=aliases)
            for code, words, malignant, aliases in classes
        ),
    )


HAM10000 = _of(
    "ham10000",
    ("akiec", "actinic keratosis / Bowen's disease", True, ()),
    ("bcc", "basal cell carcinoma", True, ()),
    ("bkl", "benign keratosis-like lesion", False, ()),
    ("df", "dermatofibroma", False, ()),
    ("mel", "melanoma", True, ()),
    ("nv", "melanocytic nevus", False, ()),
    ("vasc", "vascular lesion", False, ()),
)
"""Tschandl et al. 2018, doi 10.1038/sdata.2018.161; alphabetical.

The authors of the data describe `akiec` as non-invasive variants of squamous cell carcinoma, which others regard as
precursors of it (there, table of diagnoses): nothing to be sent home, so it is counted as malignant.
"""

ISIC2019 = _of(
    "isic2019",
    ("mel", "melanoma", True, ()),
    ("nv", "melanocytic nevus", False, ()),
    ("bcc", "basal cell carcinoma", True, ()),
    ("ak", "actinic keratosis", True, ("akiec",)),
    ("bkl", "benign keratosis-like lesion", False, ()),
    ("df", "dermatofibroma", False, ()),
    ("vasc", "vascular lesion", False, ()),
    ("scc", "squamous cell carcinoma", True, ()),
)
"""The classes of the ISIC challenge 2019, in the order of its ground truth; `ak` counts as `akiec` of HAM10000 does."""

TAXONOMIES: dict[str, Taxonomy] = {each.name: each for each in (HAM10000, ISIC2019)}
"""The built-in ones."""


def load_taxonomy(text: str) -> Taxonomy:
    """Understand a taxonomy given as a built-in name, a YAML or JSON file, or the YAML or JSON itself.

    Raises:
        UserError: no such file, or a field is unknown or contradicts another.
    """
    if text in TAXONOMIES:
        return TAXONOMIES[text]
    fields, where = read_settings(text, "taxonomy", TAXONOMIES)
    return check_taxonomy(fields, where)


def check_taxonomy(fields: object, where: str) -> Taxonomy:
    """A taxonomy from what was read of a file.

    Raises:
        UserError: it is none.
    """
    taxonomy = check_settings(Taxonomy, fields, "taxonomy", where, _place)
    if (built_in := TAXONOMIES.get(taxonomy.name)) and built_in.classes != taxonomy.classes:
        raise UserError(
            f"The taxonomy in {where} has other classes than the built-in {taxonomy.name}; choose another `name`."
        )
    return taxonomy


def _place(location: tuple[int | str, ...]) -> str:
    """Where in a taxonomy, for people: ('classes', 1, 'code') is "class 2, code"."""
    match location:
        case ("classes", int(index), *field):
            return f"class {index + 1}" + "".join(f", {part}" for part in field)
        case _:
            return ""
