"""Model cards: their figures are those of a report, and the shipped ones are those of the shipped weights."""

from __future__ import annotations

import json
import shutil

import pytest

from pipelines.bundle import Bundle
from pipelines.documents.card import BEGIN, END, Tried, fill_card, stale
from pipelines.provenance import surroundings, weights_hash
from pipelines.schemas import read_described
from tests.conftest import ROOT
from tests.running import BUNDLES, bundle_of
from transforms import DataError


@pytest.mark.parametrize("name", BUNDLES)
def test_card_metadata_and_figures_agree_and_are_of_the_shipped_weights(name):
    faults = stale(bundle_of(name))
    assert not faults, f"{faults}: run python -m pipelines card {name} FOLDER … with the folders of new reports"


@pytest.fixture
def bundle(tmp_path):
    """A copy of lungs whose card has no figures yet, with some file of weights."""
    source, root = ROOT / "bundles" / "lungs", tmp_path / "lungs"
    shutil.copytree(source / "configs", root / "configs")
    (root / "docs").mkdir()
    (root / "docs" / "README.md").write_text(f"# Lungs\nby hand\n{BEGIN}\nold\n{END}\nby hand too\n")
    (root / "models").mkdir()
    (root / "models" / "model.pt").write_bytes(b"weights")
    return Bundle(root)


def mean(value, low, high, patients=57):
    return {"mean": value, "low": low, "high": high, "cases": 57, "patients": patients}


def report(folder, of, split="test", **more):
    """A report of made-up figures, written into a folder."""
    told = {"data": "somewhere", "split": split, "manifest": "a" * 64, **surroundings()}
    told |= {"weights": weights_hash(of.weights)}
    content = {
        **{
            "$schema": "urn:radbundles:report:1",
            "bundle": of.metadata["name"],
            "weights": "x",
            "trained_on": "here",
        },
        **{"data": "somewhere", "split": f"{split}, by image", "command": "python -m pipelines report lungs"},
        **{"cases": 57, "patients": 57, "groups": [], "calibration": {}, "evaluated": told},
        "metrics": {"positives": 57, "dice_by_image_over_positives": 0.96123, "image_roc_auc_over_all": None},
        "means_by_case": {"dice": mean(0.96123, 0.955, 0.9666)},
    }
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(content | more))
    return folder


def test_figures_get_into_card_metadata_and_figures(bundle, tmp_path):
    before = (bundle.root / "configs" / "metadata.json").read_text()
    fill_card(bundle, [report(tmp_path / "test", bundle), report(tmp_path / "validation", bundle, "validation")])
    card = bundle.card.read_text()
    assert card.startswith(f"# Lungs\nby hand\n{BEGIN}\n") and card.endswith(f"\n{END}\nby hand too\n")
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert rows == [
        "| | test | validation |",
        "| --- | --- | --- |",
        "| Dice by image over positives | 0.961 (0.955 to 0.967) | 0.961 (0.955 to 0.967) |",
    ]
    assert f"weights {weights_hash(bundle.weights)[:12]}, trained on here" in card
    assert "57 cases of 57 patients, 57 with a finding" in card and "`python -m pipelines report lungs`" in card
    fresh = Bundle(bundle.root)
    assert fresh.metadata["eval_metrics"] == {"test_dice_by_image_over_positives": 0.9612}
    after = (bundle.root / "configs" / "metadata.json").read_text().splitlines()
    assert all("eval_metrics" in line or "_by_image_" in line for line in set(before.splitlines()) - set(after))
    assert len(read_described(bundle.figures, "figures", "")["columns"]) == 2
    assert stale(fresh) == []

    once = card
    fill_card(fresh, [tmp_path / "test", tmp_path / "validation"])
    assert fresh.card.read_text() == once


def test_what_does_not_agree_is_named(bundle, tmp_path):
    fill_card(bundle, [report(tmp_path / "test", bundle)])
    found = Bundle(bundle.root)
    bundle.card.write_text(bundle.card.read_text().replace("0.961 (", "0.971 ("))
    assert [fault for fault in stale(found) if "its figures are not those" in fault] == stale(found) != []
    found.metadata["eval_metrics"]["test_dice_by_image_over_positives"] = 0.99
    assert len(stale(found)) == 2
    bundle.weights.write_bytes(b"others")
    assert "is of other weights than model.pt" in stale(found)[-1] and len(stale(found)) == 3
    bundle.figures.unlink()
    assert "figures.json: is missing" in stale(found)[0]


SETTINGS = {"overlays": ["usual_way"], "evaluation": [], "overrides": {"loss#batch": True}, "epochs": 3}


def test_of_a_cross_validation(bundle, tmp_path):
    """It is of no weights that are shipped, and says of too few patients that they are."""
    folder = report(tmp_path / "cv", bundle, "cross-validation", means_by_case={"dice": mean(0.5, 0.4, 0.6, 12)})
    content = json.loads((folder / "report.json").read_text())
    content["evaluated"] |= {"weights": None, "settings": SETTINGS}
    (folder / "report.json").write_text(json.dumps(content))
    fill_card(bundle, [folder])
    card, found = bundle.card.read_text(), Bundle(bundle.root)
    assert "| | cross-validation, `usual_way`, `loss#batch True` |" in card and "| 0.500 (0.400 to 0.600) † |" in card
    assert "† Fewer than 30 patients" in card and "a model a fold" in card
    assert found.metadata["eval_metrics"] == {} and json.loads(bundle.figures.read_text())["weights"] is None
    bundle.weights.unlink()
    assert stale(found) == []


def changed(folder, **evaluated):
    path = folder / "report.json"
    content = json.loads(path.read_text())
    content["evaluated"] |= evaluated
    path.write_text(json.dumps(content))
    return folder


def test_columns_of_one_name_say_what_they_differ_in(bundle, tmp_path):
    plain = {"overlays": [], "evaluation": [], "folds": 5, "trained": "OTHER"}
    settings = [plain | {"seed": 0}, plain | {"seed": 1, "trained": None}, SETTINGS]
    folders = [
        changed(report(tmp_path / f"{number}", bundle, "cross-validation"), weights=None, settings=own)
        for number, own in enumerate(settings)
    ]
    fill_card(bundle, [report(tmp_path / "test", bundle), *folders])
    named = ["cross-validation, `--seed 0`", "cross-validation, `--seed 1`"]
    named += ["cross-validation, `usual_way`, `loss#batch True`"]
    assert f"| | test | {' | '.join(named)} |" in bundle.card.read_text()
    assert stale(Bundle(bundle.root)) == []


def test_what_was_tried_is_told_with_what_was_given(bundle, tmp_path):
    """Of cross-validations the overlays, the overrides and what else differs; of evaluations the weights."""
    metrics = {"dice": {name: mean(value, None, None) for name, value in (("first", 0.4), ("second", 0.5))}}
    metrics["dice"] |= {"difference": mean(0.1, 0.05, 0.15), "p": 0.01}
    plain = {"overlays": [], "evaluation": [], "epochs": 5}
    before = changed(report(tmp_path / "a", bundle), weights=None, settings=plain)
    after = changed(report(tmp_path / "b", bundle), weights=None, settings=SETTINGS)
    test = report(tmp_path / "test", bundle)
    other = changed(report(tmp_path / "other", bundle), weights="b" * 64)
    fill_card(bundle, [test], [Tried(before, after, metrics), Tried(test, other, metrics)])
    told = read_described(bundle.figures, "figures", "")["tried"]
    assert [(one["title"], one["against"]) for one in told] == [
        ("`usual_way`, `loss#batch True`, `--epochs 3`", "`--epochs 5`"),
        (f"weights {'b' * 12}", f"weights {weights_hash(bundle.weights)[:12]}"),
    ]
    assert "0.500, not 0.400 | +0.1000 (+0.0500 to +0.1500) | 0.0100 |" in bundle.card.read_text()
    assert stale(Bundle(bundle.root)) == []
    figures = json.loads(bundle.figures.read_text())
    figures["tried"][0]["metrics"]["dice"]["p"] = 0.02
    bundle.figures.write_text(json.dumps(figures))
    assert "its figures are not those of figures.json" in stale(Bundle(bundle.root))[0]


def test_phantoms_are_taken_where_no_weights_are_shipped_and_give_no_eval_metrics(bundle, tmp_path):
    drawn = changed(report(tmp_path / "drawn", bundle, data="phantoms"), weights="b" * 64)
    with pytest.raises(DataError, match="is of weights bbbbbbbbbbbb"):
        fill_card(bundle, [drawn])
    of_patients = changed(report(tmp_path / "test", bundle), weights="b" * 64)
    bundle.weights.unlink()
    with pytest.raises(DataError, match=r"model\.pt are None"):
        fill_card(bundle, [of_patients])
    fill_card(bundle, [drawn])
    figures, card = json.loads(bundle.figures.read_text()), bundle.card.read_text()
    assert figures["weights"] is None and Bundle(bundle.root).metadata["eval_metrics"] == {}
    assert "| | test of phantoms |" in card and "shows that it runs, nothing about patients" in card
    assert stale(Bundle(bundle.root)) == []
    bundle.weights.write_bytes(b"of one's own")  # trained by whoever has a clone, and so elsewhere not there
    assert stale(Bundle(bundle.root)) == []
    fill_card(bundle, [report(tmp_path / "own", bundle, data="phantoms")])
    bundle.weights.unlink()
    assert stale(Bundle(bundle.root)) == []


def test_figures_from_before_a_calibration_are_stale(bundle, tmp_path):
    fill_card(bundle, [report(tmp_path / "test", bundle)])
    assert stale(Bundle(bundle.root)) == []
    (bundle.root / "models" / "model.json").write_text(
        json.dumps({"temperature": 1.5, "sha256": weights_hash(bundle.weights)})
    )
    assert [fault.split(": ")[1] for fault in stale(Bundle(bundle.root))] == ["is from before model.pt was calibrated"]
    fill_card(bundle, [report(tmp_path / "again", bundle, calibration={"temperature": 1.5})])
    assert stale(Bundle(bundle.root)) == []


def test_figures_of_another_limit_than_the_configuration_s_are_stale(bundle, tmp_path):
    before = changed(report(tmp_path / "before", bundle), threshold=0.4)
    now = changed(report(tmp_path / "now", bundle), threshold=0.5)
    given = changed(report(tmp_path / "given", bundle), threshold=0.3, settings={"overrides": {"threshold": 0.3}})
    fill_card(bundle, [now, given])
    assert stale(Bundle(bundle.root)) == []
    fill_card(bundle, [now, before])
    (fault,) = stale(Bundle(bundle.root))
    assert fault.endswith("test: is of threshold 0.4, and the configuration has 0.5")


def test_a_handful_of_patients_is_not_told_of(bundle, tmp_path):
    groups = [
        {"by": "sex", "value": value, **mean(number, None, None, patients)}
        for value, number, patients in (("F", 0.71, 50), ("M", 0.72, 4), ("O", 0.74, 5))
    ]
    groups[0]["intervals"] = {"image_roc_auc_over_all": mean(0.73, None, None, 3)}
    fill_card(bundle, [report(tmp_path / "test", bundle, groups=groups)])
    told = bundle.card.read_text() + bundle.figures.read_text()
    assert "| sex: F | 0.710, 57 of 50 |" in told and "sex: M" not in told and "sex: O" not in told
    assert not any(number in told for number in ("0.72", "0.73", "0.74")) and stale(Bundle(bundle.root)) == []
    with pytest.raises(DataError, match="few: is of 4 patients, and a card tells nothing of fewer than 5"):
        fill_card(bundle, [report(tmp_path / "few", bundle, patients=4)])


def test_an_ensemble_is_of_no_weights_that_are_shipped(bundle, tmp_path):
    folder = changed(report(tmp_path / "ensemble", bundle, ensemble=3), weights="b" * 64)
    fill_card(bundle, [folder])
    card = bundle.card.read_text()
    assert "| | test, ensemble of 3 models |" in card and f"weights {'b' * 12} of 3 models, trained on here" in card
    assert Bundle(bundle.root).metadata["eval_metrics"] == {} and stale(Bundle(bundle.root)) == []


def test_what_is_refused(bundle, tmp_path):
    with pytest.raises(DataError, match=r"report\.json: no such file\. Make it with: python -m pipelines evaluate"):
        fill_card(bundle, [tmp_path])
    with pytest.raises(DataError, match="is of Other, not of Lungs on chest radiographs"):
        fill_card(bundle, [report(tmp_path / "other", bundle, bundle="Other")])
    folder = report(tmp_path / "test", bundle)
    bundle.weights.write_bytes(b"others")
    with pytest.raises(DataError, match=r"is of weights [0-9a-f]{12}, and .*model\.pt are [0-9a-f]{12}"):
        fill_card(bundle, [folder])
    bundle.weights.write_bytes(b"weights")
    bundle.card.write_text("no lines")
    before = (bundle.root / "configs" / "metadata.json").read_text()
    with pytest.raises(DataError, match=r"README\.md: lacks the line <!-- figures"):
        fill_card(bundle, [folder])
    assert (bundle.root / "configs" / "metadata.json").read_text() == before and not bundle.figures.exists()
