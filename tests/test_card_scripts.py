"""The scripts that the bundles' cards hold do what the cards say of them."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.resuming.saved_model import write_model
from tests.conftest import ROOT

CARDS = sorted(ROOT.glob("bundles/*/docs/README.md"))
SCRIPT = re.compile(r"`(\w+\.py)`[^`]*?:\n```\n(.*?)^```", re.DOTALL | re.MULTILINE)
SCRIPTS = {name: text for card in CARDS for name, text in SCRIPT.findall(card.read_text())}


def run(name: str, folder: Path, *arguments: Path | str) -> None:
    (folder / name).write_text(SCRIPTS[name])
    subprocess.run([sys.executable, name, *map(str, arguments)], cwd=folder, check=True)


def test_each_script_that_a_card_runs_stands_in_it():
    named = {name for card in CARDS for name in re.findall(r"^python (\w+\.py) ", card.read_text(), re.MULTILINE)}
    assert named == SCRIPTS.keys() == {"average.py", "healthy.py"}


def test_the_mean_of_two_models_is_a_model_that_knows_what_it_learnt_from(tmp_path):
    values = {"first": torch.tensor([1.0, 2.0]), "second": torch.tensor([5.0, -2.0])}
    for name, weight in values.items():
        (tmp_path / name).mkdir()
        about = {"trained_on": name, "trained_images": {}, "settings": {"image_size": 8}, "epoch": 3}
        path, state = tmp_path / name / "model.pt", {"w": weight, "steps": torch.tensor(len(name))}
        write_model(state, path, about, path.with_suffix(".json"))
    run("average.py", tmp_path, "first", "second")
    mean = torch.load(tmp_path / "first" / "model.pt", weights_only=True)
    assert mean["w"].tolist() == [4.0, -1.0] and mean["steps"] == len("second")  # a quarter of the first
    about = json.loads((tmp_path / "first" / "model.json").read_text())
    assert about["trained_on"] == "second" and "epoch" not in about


@pytest.mark.real
def test_healthy_patients_are_one_image_a_person_and_none_is_in_both_parts(tmp_path, real_data):
    rsna = real_data / "rsna_real"
    montgomery = real_data / "lungs_elsewhere" / "montgomery"
    run("healthy.py", tmp_path, real_data / "shenzhen", montgomery, rsna, "DATA", "REST")
    places = ("DATA/shenzhen", "DATA/rsna", "REST/rsna", "REST/montgomery")
    found = {place: {path.stem for path in (tmp_path / place / "images").iterdir()} for place in places}
    assert [len(names) for names in found.values()] == [60, 60, 100, 24]
    with open(rsna / "rsna_to_nih.csv") as file:
        person = {row["patientId"]: row["nih_image"].split("_")[0] for row in csv.DictReader(file)}
    with open(rsna / "stage_2_detailed_class_info.csv") as file:
        classes = {row["patientId"]: row["class"] for row in csv.DictReader(file)}
    both = [*found["DATA/rsna"], *found["REST/rsna"]]
    assert len({person[name] for name in both}) == 160 and {classes[name] for name in both} == {"Normal"}
