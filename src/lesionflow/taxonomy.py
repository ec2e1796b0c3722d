"""The seven diagnoses of HAM10000, and the words of its metadata (Tschandl et al. 2018, doi 10.1038/sdata.2018.161)."""

DIAGNOSES: dict[str, str] = {
    "akiec": "actinic keratosis / Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}
"""Label in the metadata -> what it means; alphabetical."""

LABELS: tuple[str, ...] = tuple(DIAGNOSES)
"""Class order of every model output, metric and table of this project: alphabetical."""

LABEL_INDEX: dict[str, int] = {label: index for index, label in enumerate(LABELS)}
"""Label -> its column in a model's output."""

MALIGNANT: tuple[str, ...] = ("akiec", "bcc", "mel")
"""Those counted as malignant; the other four are benign.

The authors of the data describe `akiec` as non-invasive variants of squamous cell carcinoma, which others regard as
precursors of it (Tschandl et al. 2018, table of diagnoses): nothing to be sent home, so it is counted here.
"""

SEXES: tuple[str, ...] = ("female", "male", "unknown")
"""What the metadata may say of a patient's sex, and the groups by it."""
