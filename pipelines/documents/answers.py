"""What the program knows of the items of the CLAIM checklist, a function an answer: a sentence, or "" for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from monai.bundle import ConfigParser, ReferenceResolver

from ..evaluation.binary_metrics import AUC
from ..manifests.splits import SPLITS
from ..resuming.saved_model import THEN


class Known(NamedTuple):
    """What the program knows of a reported evaluation.

    Attributes:
        metadata: of the bundle.
        training: the bundle's configuration of trainings, with its overlays.
        about: what is said of the weights, as of :func:`networks.read_about`.
        manifest: that was evaluated.
        result: what ``report.json`` holds.
    """

    metadata: Mapping[str, Any]
    training: ConfigParser
    about: Mapping[str, Any]
    manifest: Mapping[str, Any]
    result: Mapping[str, Any]


def data(known: Known) -> str:
    """Where the data are from, and their terms."""
    return f"{known.manifest['name']}: {known.manifest['source']}. Terms: {known.manifest['licence']}."


def preparation(known: Known) -> str:
    """How an image is prepared for the network."""
    settings = known.about.get("settings") or {name: known.training.get(name) for name in known.training["settings"]}
    settings = {name: value for name, value in settings.items() if name != "task"}  # which prepares nothing
    steps = _targets(known.training, "$@loading + @train#fitting")
    return f"In this order: {', '.join(steps)}. {_told(settings)}."


def missing(known: Known) -> str:
    """What is done where something is missing, and which metrics are not defined."""
    lacking = [name for name, value in known.result["metrics"].items() if value is None]
    text = "A file that cannot be read ends an evaluation; none was passed over. Cases without a value of a metric are "
    text += "left out of its mean, and the number of cases stands beside each."
    return f"{text} Not defined here: {', '.join(lacking)}." if lacking else text


def reference(known: Known) -> str:
    """What the truth is, and how it is stored."""
    entries = [entry for split in SPLITS for entry in known.manifest[split]]
    kind = "boxes, rasterised into masks" if all("boxes" in entry for entry in entries) else "masks, drawn by pixel"
    return f"{known.metadata['label_classes']}; stored as {kind}."


def partitions(known: Known) -> str:
    """How the data were divided, and into how many."""
    sizes = [
        f"{split}: {len(entries)} of {len({entry['patient_id'] for entry in entries})} patients"
        for split in SPLITS
        if (entries := known.manifest[split])
    ]
    return f"{known.result['split']}; seed {known.manifest['seed']}. Of the manifest, {'; '.join(sizes)}."


def model(known: Known) -> str:
    """The network, what goes in and what comes out."""
    network = known.training["network_def"]["network"]
    given = {name: value for name, value in network.items() if name != "_target_"}
    text = f"{network['_target_']} ({_told(given)}). In: {known.metadata['image_classes']}. "
    return f"{text}Out: {known.metadata['pred_classes']}. Weights: {known.result['weights']}."


def software(known: Known) -> str:
    """The packages and the machine that measured."""
    return f"{_told(known.result['evaluated'].get('versions', {}))}; {known.result['evaluated'].get('machine', '')}"


def start(known: Known) -> str:
    """The values that training starts from."""
    loaded = [str(step).strip("$") for step in known.training["initialize"] if "networks.load_" in str(step)]
    loaded += [str(step).strip("$") for step in known.training.get("run", ()) if "networks.load_" in str(step)]
    text = f"As PyTorch and MONAI initialise it, seed {known.training['seed']}."
    return f"{text} Then: {'; '.join(loaded)}." if loaded else text


def training(known: Known) -> str:
    """How it is trained."""
    parser = known.training
    parts = {
        "loss": ", ".join(_targets(parser, "@loss")),
        "optimizer": ", ".join(_targets(parser, "@optimizer")),
        "schedule": ", ".join(_targets(parser, "@lr_scheduler")),
        "augmentation": ", ".join(_targets(parser, "@train#random_transforms")) or "none",
    }
    parts |= {name: parser.get(name) for name in ("learning_rate", "batch_size", "epochs")}
    return f"As the bundle configures it, unless options changed it: {_told(parts)}."


def selection(known: Known) -> str:
    """How the best epoch is chosen."""
    by = ", ".join(known.training["validate"]["key_metric"])
    found = {name: value for name, value in known.about.items() if name == "epoch" or name.startswith("val_")}
    return f"The epoch of the best {by} on the validation split{f' ({_told(found)})' if found else ''}."


def ensembling(known: Known) -> str:
    """Whether there are several networks."""
    averaged = "averaging" in known.training
    return "One network; " + ("its weights averaged over the last steps." if averaged else "no averaging of weights.")


def uncertainty(known: Known) -> str:
    """How intervals are made, and what is told of single cases."""
    text = "95 % intervals by a bootstrap over patients, bias-corrected and accelerated; see Metrics."
    if found := known.result.get("predicted_dice"):
        text += (
            f" Of single cases: predicted Dice with an interval by split conformal prediction, for {found['level']:.0%}"
        )
        text += ", fitted on the validation split; see Charts."
        text += " Its figures here are in-sample." if known.result["in_sample"] else ""
    return text


def robustness(known: Known) -> str:
    """Which groups are told apart."""
    groups = sorted({group["by"] for group in known.result["groups"]})
    return f"By {', '.join(groups)}; see Charts." if groups else ""


def level(known: Known) -> str:
    """At which level splits are disjoint: as the manifest says, which may know no more than images."""
    return (
        f"The manifest was divided {known.manifest['split']}. Patients are apart as far as it knows them: one that has "
        "a patient in two splits is refused."
    )


def internal(known: Known) -> str:
    """Whether the data are of the set trained on: by name, or since it holds images that were learnt from."""
    found, text = known.result["trained_images"], f"This report: {known.result['split']}"
    if found and found["in_manifest"]:
        told = f"of {found['sample']} images that were looked for its manifest has {found['in_manifest']}"
        return f"{text}; trained on {known.result['trained_on']}: {told}."
    same = known.result["data"] in known.result["trained_on"].split(THEN)
    return f"{text}; trained on {known.result['trained_on']}." if same else ""


def external(known: Known) -> str:
    """What speaks for the data being of another set than that trained on: its images, never a manifest's name alone."""
    found = known.result["trained_images"]
    if internal(known) or known.result["trained_on"] == "unknown":
        return ""
    names = f"Trained on a manifest named {known.result['trained_on']}, measured on one named {known.result['data']}"
    if found is None:
        return f"{names}; whether they have images in common is not known."
    looked = f"which has none of {found['sample']} images trained on that were looked for"
    return f"{names}, {looked}, as the same files: copies that are stored otherwise are not found."


def numbers(known: Known) -> str:
    """Of how many cases and patients the figures are."""
    return f"Measured: {known.result['cases']} cases of {known.result['patients']} patients. {partitions(known)}"


def who(known: Known) -> str:
    """Who the measured cases are, by groups."""
    told = [f"{group['by']} {group['value']}: {group['cases']} cases" for group in known.result["groups"]]
    return f"Of the measured cases: {'; '.join(told)}." if told else ""


def performance(known: Known) -> str:
    """The metric that cases are ranked by, with its interval."""
    name, value = next(iter(known.result["means_by_case"].items()))
    if value["mean"] is None:
        return "See Metrics."
    ends = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
    return f"Mean {name.replace('_', ' ')} by case {value['mean']:.3f}{ends}; all others: see Metrics."


def diagnostic(known: Known) -> str:
    """How images are called."""
    names = (AUC, "image_sensitivity_over_positives", "image_specificity_over_negatives")
    found = {name: known.result["metrics"].get(name) for name in names}
    told = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.items() if value is not None]
    return f"{'; '.join(told)}." if len(told) == len(names) else ""


def available(known: Known) -> str:
    """Where software, model and data are."""
    return (
        f"Software: radbundles, Apache License 2.0. Model: {known.result['weights']}; its terms are in the bundle's "
        f"docs/data_license.txt. Data: {known.manifest['source']}."
    )


def _targets(parser: ConfigParser, value: Any) -> list[str]:
    """The classes that a value of a configuration is made of, by their names without packages, in their order."""
    return list(_walk(parser, value))


def _walk(parser: ConfigParser, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        for reference in ReferenceResolver.match_refs_pattern(value):
            yield from _walk(parser, parser.get(reference.replace("::", "#")))
    elif isinstance(value, list):
        for part in value:
            yield from _walk(parser, part)
    elif isinstance(value, dict) and "_target_" in value:
        yield value["_target_"].rpartition(".")[2]


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
