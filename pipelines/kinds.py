"""The kinds of manifests that can be made, for the command line. Light: a kind's module is imported once it is chosen.

A new kind is a row of :data:`KINDS` and a module with ``add_arguments(parser)``, which sets the parser's ``command``.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

KINDS = {  # module and help of each
    "rsna": ("rsna_pneumonia", "the RSNA Pneumonia Detection Challenge, or data in its layout"),
    "masks": ("mask_folders", "folders of radiographs and of masks drawn on them"),
    "coco": ("coco_boxes", "radiographs with boxes in COCO's layout"),
    "trauma": ("abdominal_trauma", "the RSNA 2023 Abdominal Trauma challenge, or data in its layout"),
    "trauma_png": ("abdominal_trauma_png", "PNG slices of the RSNA 2023 Abdominal Trauma challenge"),
}


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Add each kind to the parser of the verb ``manifest``."""
    kinds = parser.add_subparsers(required=True, metavar="KIND", parser_class=_KindParser)
    for kind, (module, text) in KINDS.items():
        kinds.add_parser(kind, help=text, module=module)


class _KindParser(argparse.ArgumentParser):
    """Gets its arguments when it has to parse, so that the help of the others imports nothing."""

    def __init__(self, module: str, **settings: Any):
        super().__init__(**settings)
        self.module: str | None = module

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        if self.module:
            import_module(f".{self.module}", __package__).add_arguments(self)
            self.module = None
        return super().parse_known_args(*args, **kwargs)
