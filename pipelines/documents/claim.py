"""The CLAIM checklist of a report: what the program knows is filled in, the rest is left to the author.

Tejani AS et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update. Radiology: Artificial
Intelligence 2024;6(4):e240300. The items have its numbers and headings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..bundle import Bundle
from . import answers
from .answers import Known


class Item(NamedTuple):
    """An item of the checklist.

    Attributes:
        number: 1 to 44.
        section: of the checklist.
        heading: what is to be reported.
        answer: what the program knows of it; empty if nothing.
        left: what is left to the author; empty if nothing.
    """

    number: int
    section: str
    heading: str
    answer: str
    left: str


def checklist(
    bundle: Bundle,
    overlays: Sequence[str],
    about: Mapping[str, Any],
    manifest: Mapping[str, Any],
    result: Mapping[str, Any],
) -> list[Item]:
    """The 44 items, in their order. See :class:`Known` for the arguments."""
    known = Known(bundle.metadata, bundle.read(["train", *overlays]), about, manifest, result)
    return [
        Item(number, section, heading, answer(known) if answer else "", left)
        for number, (section, heading, answer, left) in enumerate(ITEMS, 1)
    ]


TITLE, METHODS, RESULTS = "Title and abstract", "Methods", "Results"
Answer: TypeAlias = "Callable[[Known], str] | None"
ITEMS: tuple[tuple[str, str, Answer, str], ...] = (
    (
        TITLE,
        "Identification as a study of AI methodology, and the category of technology",
        lambda known: f"Deep learning: {known.metadata['task']}.",
        "the title",
    ),
    (TITLE, "Summary of study design, methods, results, and conclusions", None, "all"),
    (
        "Introduction",
        "Background, with the intended use and role of the AI approach",
        lambda known: f"Intended use: {known.metadata['intended_use']}.",
        "the background",
    ),
    ("Introduction", "Study aims, objectives, and hypotheses", None, "all"),
    (f"{METHODS}: study design", "Prospective or retrospective study", None, "all"),
    (f"{METHODS}: study design", "Study goal", None, "all"),
    (f"{METHODS}: data", "Data sources", answers.data, "sites and dates"),
    (f"{METHODS}: data", "Inclusion and exclusion criteria", None, "all"),
    (f"{METHODS}: data", "Data preprocessing", answers.preparation, ""),
    (f"{METHODS}: data", "Selection of data subsets", None, "all"),
    (
        f"{METHODS}: data",
        "De-identification methods",
        lambda known: "This report and its files name no patient and no file.",
        "how the images were de-identified",
    ),
    (f"{METHODS}: data", "How missing data were handled", answers.missing, "data missing at the source"),
    (f"{METHODS}: data", "Image acquisition protocol", lambda known: f"{known.metadata['data_type']}.", "the protocol"),
    (
        f"{METHODS}: reference standard",
        "Definition of the method to obtain it",
        answers.reference,
        "how it was obtained",
    ),
    (f"{METHODS}: reference standard", "Rationale for choosing it", None, "all"),
    (f"{METHODS}: reference standard", "Source of its annotations", None, "all"),
    (f"{METHODS}: reference standard", "Annotation of the test set", None, "all"),
    (f"{METHODS}: reference standard", "Inter- and intrarater variability", None, "all"),
    (f"{METHODS}: data partitions", "How data were assigned to partitions", answers.partitions, ""),
    (
        f"{METHODS}: data partitions",
        "Level at which partitions are disjoint",
        answers.level,
        "whether images of one patient were known as such",
    ),
    (f"{METHODS}: testing data", "Intended sample size", None, "all"),
    (f"{METHODS}: model", "Detailed description of the model", answers.model, ""),
    (f"{METHODS}: model", "Software libraries, frameworks, and packages", answers.software, ""),
    (f"{METHODS}: model", "Initialization of model parameters", answers.start, ""),
    (f"{METHODS}: training", "Details of the training approach", answers.training, "changes by options"),
    (f"{METHODS}: training", "Method of selecting the final model", answers.selection, ""),
    (f"{METHODS}: training", "Ensembling techniques", answers.ensembling, ""),
    (
        f"{METHODS}: evaluation",
        "Metrics of model performance",
        lambda known: f"{', '.join(known.result['metrics'])}.",
        "why these",
    ),
    (f"{METHODS}: evaluation", "Statistical measures of significance and uncertainty", answers.uncertainty, ""),
    (f"{METHODS}: evaluation", "Robustness or sensitivity analysis", answers.robustness, "other analyses"),
    (f"{METHODS}: evaluation", "Methods for explainability or interpretability", None, "all"),
    (f"{METHODS}: evaluation", "Evaluation on internal data", answers.internal, "whether the data are internal"),
    (f"{METHODS}: evaluation", "Testing on external data", answers.external, "whether the data are external"),
    (f"{METHODS}: evaluation", "Clinical trial registration", None, "all"),
    (
        f"{RESULTS}: data",
        "Numbers of patients or examinations included and excluded",
        answers.numbers,
        "who was excluded",
    ),
    (f"{RESULTS}: data", "Characteristics of cases in each partition", answers.who, "the other partitions"),
    (
        f"{RESULTS}: model performance",
        "Performance metrics and measures of statistical uncertainty",
        answers.performance,
        "",
    ),
    (
        f"{RESULTS}: model performance",
        "Estimates of diagnostic performance and their precision",
        answers.diagnostic,
        "their precision",
    ),
    (
        f"{RESULTS}: model performance",
        "Failure analysis of incorrect results",
        lambda known: "The worst cases, where pictures of them were kept, and a table of all cases: see Cases.",
        "why they fail",
    ),
    ("Discussion", "Study limitations", None, "all"),
    (
        "Discussion",
        "Implications for practice, with the intended use and clinical role",
        lambda known: f"{known.metadata['intended_use']}.",
        "the implications",
    ),
    (
        "Other information",
        "Reference to the full study protocol or to additional technical details",
        lambda known: f"The bundle's model card and configuration. Made by: {known.result['command']}",
        "the protocol",
    ),
    ("Other information", "Availability of software, trained model, and data", answers.available, "where they are"),
    ("Other information", "Sources of funding and other support; role of funders", None, "all"),
)
