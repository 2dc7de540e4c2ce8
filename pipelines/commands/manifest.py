"""``manifest``: a manifest from a data set's folder, of one of several kinds. ``audit``: images in two of its splits.

A new kind is a row of :data:`KINDS` and a module with ``add_arguments(parser)``, which sets the parser's ``command``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .verb import Verb, add_saying, saying

KINDS = {  # module and help of each
    "rsna": ("rsna_pneumonia", "the RSNA Pneumonia Detection Challenge, or data in its layout"),
    "masks": ("mask_folders", "folders of radiographs and of masks drawn on them"),
    "coco": ("coco_boxes", "radiographs with boxes in COCO's layout"),
    "join": ("joined", "manifests of several data sets, joined"),
    "trauma": ("abdominal_trauma", "the RSNA 2023 Abdominal Trauma challenge, or data in its layout"),
    "trauma_png": ("abdominal_trauma_png", "PNG slices of the RSNA 2023 Abdominal Trauma challenge"),
}


def add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(required=True, metavar="KIND", parser_class=_KindParser)
    for kind, (module, text) in KINDS.items():
        kinds.add_parser(kind, help=text, module=module)


class _KindParser(ArgumentParser):
    """Gets its arguments when it has to parse, so that the help of the others imports nothing."""

    def __init__(self, module: str, **settings: Any):
        super().__init__(**settings)
        self.module: str | None = module

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        if self.module:
            import_module(f"..manifests.{self.module}", __package__).add_arguments(self)
            add_saying(self)
            self.module = None
        return super().parse_known_args(*args, **kwargs)


def run(command: Callable[..., dict[str, Any]], quiet: bool, as_json: bool, **settings: Any) -> None:
    with saying(quiet, as_json) as say:
        manifest = command(**settings)
        if as_json:
            from ..manifests.splits import SPLITS

            entries = {split: manifest[split] for split in SPLITS}
            images = {split: len(found) for split, found in entries.items()}
            patients = {split: len({entry["patient_id"] for entry in found}) for split, found in entries.items()}
            about = {key: manifest[key] for key in ("name", "task", "seed", "split")}
            say({"manifest": settings["out"], **about, "images": images, "patients": patients})


def add_audit(parser: ArgumentParser) -> None:
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--dataset_dir", required=True, metavar="DIR")
    parser.add_argument("--strict", action="store_true", help="end with an error if an image is in two splits")


def run_audit(manifest: str, dataset_dir: str, strict: bool) -> None:
    from ..manifests.leakage import audit

    if not audit(manifest, dataset_dir, strict=strict):
        print(f"{manifest}: no image is in two splits")


MANIFEST = Verb("manifest", "make a manifest from a data set's folder", add_arguments, run)
AUDIT = Verb("audit", "find images that are in two splits of a manifest", add_audit, run_audit)
