"""The page on a model: its figures, whom it names, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, LoadImaged
from sklearn.metrics import roc_auc_score

from pipelines import EvaluationReport, datalist, draw_phantoms
from pipelines.bundle import Bundle
from pipelines.evaluation.binary_metrics import AUC
from pipelines.evaluation.rsna_score import CHALLENGE
from pipelines.manifests.manifest import images_of
from pipelines.provenance import weights_hash
from pipelines.reporting.report import write_report
from pipelines.resuming.sample import sample_of
from pipelines.resuming.saved_model import write_model
from pipelines.schemas import read_described
from tests.conftest import ROOT
from transforms import BoxesToMaskd, DataError, RadiographReader

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two splits of 30 phantoms, of which bright pixels are called."""
    root = tmp_path_factory.mktemp("report")
    data = draw_phantoms(root / "data", patients=40, size=64, truth="boxes")
    manifest = json.loads((Path(data) / "manifest.json").read_text())
    entries = [entry for split in ("training", "validation", "test") for entry in manifest[split]]
    manifest |= {"training": entries[:2], "validation": entries[2:10], "test": entries[10:]}
    for number, entry in enumerate(manifest["test"]):
        entry["patient_id"] = f"secret{number // 2}"
    (root / "manifest.json").write_text(json.dumps(manifest))
    chain = Compose([LoadImaged("image", reader=RadiographReader(), ensure_channel_first=True), BoxesToMaskd()])
    for split in ("validation", "test"):
        entries = datalist(root / "manifest.json", data, split)
        SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(entries, chain), batch_size=1),
            network=torch.nn.Identity(),
            val_handlers=[EvaluationReport(root / "out" / split, entries)],
        ).run()
    return root, data


def written(evaluated, **settings):
    root, data = evaluated
    given = {"folder": root / "out" / "test", "validation": root / "out" / "validation", **settings}
    return write_report(
        Bundle(ROOT / "bundles" / "pneumonia"), manifest=root / "manifest.json", dataset_dir=data, **given
    )


@pytest.fixture(scope="module")
def page(evaluated):
    return written(evaluated).read_text()


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def views_of(evaluated):
    """Of the test split, as the headers say."""
    root, data = evaluated
    entries = json.loads((root / "manifest.json").read_text())["test"]
    return [pydicom.dcmread(Path(data) / entry["image"], stop_before_pixels=True).ViewPosition for entry in entries]


def test_figures_are_those_of_the_table(page, evaluated):
    folder = evaluated[0] / "out" / "test"
    report, cases = json.loads((folder / "report.json").read_text()), pd.read_csv(folder / "images.csv")
    positive = cases["tp"] + cases["fn"] > 0
    dice = report["means_by_case"]["dice"]
    assert dice["mean"] == pytest.approx(cases["dice"][positive].mean()) and dice["cases"] == positive.sum()
    assert dice["patients"] == cases["patient"][positive].nunique() and dice["low"] < dice["mean"] < dice["high"]
    assert (report["cases"], report["patients"]) == (30, 15)
    metrics, negatives = report["metrics"], (~positive).sum()
    for name in (AUC, CHALLENGE):
        assert report["intervals"][name]["mean"] == pytest.approx(metrics[name])
    assert report["intervals"][AUC]["cases"] == min(positive.sum(), negatives)
    views = pd.Series(views_of(evaluated))
    for group in (group for group in report["groups"] if group["by"] == "view"):
        inside = views == group["value"]
        area = roc_auc_score(positive[inside], cases["score"][inside])
        assert group["intervals"][AUC]["mean"] == pytest.approx(area)
    assert report["folds"] == [] and report["ensemble"] is None
    thirds = [group for group in report["groups"] if group["by"] == "size of the truth"]
    assert sum(group["cases"] for group in thirds) == positive.sum()
    assert f"Area {roc_auc_score(positive, cases['score']):.3f}" in page
    assert 0 < report["calibration"]["expected_calibration_error_pooled_over_all"] < 1
    assert report["calibration"]["temperature"] > 0
    assert read_described(folder / "report.json", "report", "") == report
    (folder / "report.json").write_text(json.dumps(report | {"cases": 0}))
    with pytest.raises(DataError, match=r"at report\.cases: 0 is less than the minimum of 1"):
        read_described(folder / "report.json", "report", "")


def test_the_page_is_whole_and_names_nobody(page):
    found = Page(page)
    assert not re.search(r"secret|patient_|\.dcm|\.png\"|https?://", page)
    pictures = found.all("img")
    assert len(pictures) >= 9 and all(p["src"].startswith("data:image/png;base64,") and p["alt"] for p in pictures)
    rows = {row["id"] for row in found.all("tr") if "id" in row}
    items = {f"claim-{number}" for number in range(1, 45)}
    assert rows == {f"case-{number}" for number in range(30)} | items
    assert {link["href"][1:] for link in found.all("a")} <= rows
    assert "too few to be sure" in page and "What to beware of" in page
    assert not found.all("link") and not any("src" in script for script in found.all("script"))


def test_what_is_not_of_this_manifest_is_refused(evaluated, tmp_path):
    with pytest.raises(DataError, match="holds 30 cases, the validation list of .* has 8"):
        written(evaluated, split="validation")
    with pytest.raises(DataError, match="holds no evaluation of a split"):
        written(evaluated, folder=tmp_path)
    shutil.copytree(evaluated[0] / "out" / "test", tmp_path / "old")
    pd.read_csv(tmp_path / "old" / "images.csv").drop(columns="patient").to_csv(tmp_path / "old" / "images.csv")
    with pytest.raises(DataError, match="has no column patient"):
        written(evaluated, folder=tmp_path / "old")


@pytest.fixture
def copied(evaluated, tmp_path):
    """The evaluation of the test split in a folder of its own, and weights that it names."""
    folder, weights = tmp_path / "out" / "test", tmp_path / "models" / "model.pt"
    shutil.copytree(evaluated[0] / "out" / "test", folder)
    weights.parent.mkdir()
    about = {"trained_on": "phantoms", "epoch": 2, "val_dice": 0.4}
    write_model({"a": torch.ones(1)}, weights, about, weights.with_suffix(".json"))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["evaluated"]["weights"] = weights_hash(weights)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder, weights


def described(weights, **more):
    path = weights.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def test_curves_of_the_training_are_on_the_page_if_it_is_that_of_the_weights(evaluated, copied, caplog):
    folder, weights = copied
    given = {"folder": folder, "weights": weights}
    assert "Training: loss" not in written(evaluated, **given).read_text()
    rows = {"epoch": [1, 2], "train_loss": [0.9, 0.5], "val_dice": [0.1, 0.4]}
    pd.DataFrame(rows).to_csv(folder.parent / "training.csv", index=False)
    page = written(evaluated, **given).read_text()
    assert "Training: loss, IoU and Dice by epoch. 2 epochs, of which the model is that of epoch 2." in page
    assert "is not of the training of these weights" not in caplog.text
    for other in ({"val_dice": 0.41}, {"epoch": 1}, {"epoch": 9}, {"sha256": "0" * 64}):
        before = weights.with_suffix(".json").read_text()
        described(weights, **other)
        assert "Training: loss" not in written(evaluated, **given).read_text(), other
        assert "is not of the training of these weights" in caplog.text
        weights.with_suffix(".json").write_text(before)


def test_what_was_fitted_to_the_measured_images_is_marked_in_sample(evaluated, copied):
    """By the images that calibrate noted; of an earlier version, which noted none, by the name and the split."""
    root, data = evaluated
    folder, weights = copied
    manifest = json.loads((root / "manifest.json").read_text())

    def told(**fitted):
        described(weights, temperature=1.5, **fitted)
        page = written(evaluated, folder=folder, weights=weights).read_text()
        report = read_described(folder / "report.json", "report", "")
        assert (report["in_sample"] is True) == ("In-sample: what calibrate fitted" in page) == ("too good" in page)
        return report["in_sample"]

    assert (
        written(evaluated, folder=folder, weights=weights) and "In-sample" not in (folder / "report.html").read_text()
    )
    assert json.loads((folder / "report.json").read_text())["in_sample"] is None
    name = manifest["name"]
    assert told(calibrated_on=f"{name}, test") and not told(calibrated_on=f"{name}, validation")
    for split, measured in (("validation", False), ("test", True)):
        sample = sample_of(images_of(manifest[split], data))
        assert told(calibrated_on="another name", calibrated_images=sample) is measured


def test_images_that_were_learnt_from_are_told(evaluated, copied):
    root, data = evaluated
    folder, weights = copied
    manifest = json.loads((root / "manifest.json").read_text())
    described(weights, trained_images=sample_of(images_of(manifest["test"][:3], data)))
    page = written(evaluated, folder=folder, weights=weights).read_text()
    assert "learnt from images that are measured here: 3 of 3" in page
    report = json.loads((folder / "report.json").read_text())
    assert report["trained_images"] == {"sample": 3, "in_manifest": 3, "measured": 3}


def test_three_thousand_cases_stay_under_ten_megabytes(evaluated, tmp_path):
    root, _ = evaluated
    shutil.copytree(root / "out" / "test", tmp_path / "many")
    cases = pd.concat([pd.read_csv(root / "out" / "test" / "images.csv")] * 100, ignore_index=True)
    cases.assign(case=range(3000)).to_csv(tmp_path / "many" / "images.csv", index=False)
    pixels = np.load(root / "out" / "test" / "pixels.npz")
    np.savez(tmp_path / "many" / "pixels.npz", **{name: np.tile(pixels[name], (100, 1)) for name in pixels.files})
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["test"] = [entry | {"patient_id": f"{i}"} for i, entry in enumerate(manifest["test"] * 100)]
    manifest |= {"training": [], "validation": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "many" / "boxes.json").unlink()
    path = write_report(
        Bundle(ROOT / "bundles" / "pneumonia"), tmp_path / "many", tmp_path / "manifest.json", evaluated[1]
    )
    assert path.stat().st_size < 10e6 and path.read_text().count('id="case-') == 3000


LOOK = """<script>addEventListener("load", () => {
  const dice = [...document.querySelectorAll("#cases th")].findIndex(head => head.textContent === "dice");
  const column = () => [...document.querySelectorAll("#cases tbody tr")].map(row => row.cells[dice].textContent);
  document.querySelectorAll("#cases th button")[dice].click();
  const rising = column();
  document.querySelectorAll("#cases th button")[dice].click();
  const loaded = [...document.images].every(image => image.complete && image.naturalWidth > 0);
  const wide = document.documentElement.scrollWidth - innerWidth;
  document.body.dataset.seen = JSON.stringify({rising, falling: column(), loaded, wide});
});</script>"""


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(page, tmp_path, width):
    """At the width of a desktop and of a telephone: nothing is logged, pictures load, the table is sorted."""
    (tmp_path / "page.html").write_text(page.replace("</body>", LOOK + "</body>"))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--window-size={width},900", "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"]
    result = subprocess.run([*command, f"file://{tmp_path / 'page.html'}"], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in result.stderr
    seen = json.loads(next(body for body in Page(result.stdout).all("body"))["data-seen"])
    assert seen["loaded"] and seen["wide"] <= 0
    numbers = [[float(text) for text in seen[way] if text] for way in ("rising", "falling")]
    assert numbers[0] == sorted(numbers[0]) and numbers[1] == numbers[0][::-1] and len(numbers[0]) > 5
    assert seen["rising"][-1] == "" == seen["falling"][-1]  # cases without a value stay below
