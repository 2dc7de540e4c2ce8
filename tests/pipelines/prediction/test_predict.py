"""Prediction from mixed trees: what is taken, what is left out, what fails, and going on after a stop."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
from itertools import permutations
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.uid import generate_uid

from pipelines.__main__ import main
from pipelines.prediction.predict import Prediction, predict
from pipelines.prediction.records import STARTED, Records
from pipelines.prediction.stages import Stages
from pipelines.resuming.saved_model import add_to_model
from tests.running import bundle_of, held_by_another, small
from transforms import CTReader, DataError, DiskError
from transforms.files.atomic import atomic_write

BUNDLES = ("pneumonia", "lungs", "abdomen")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of each bundle: a small network, and weights for it that know nothing."""
    folder = tmp_path_factory.mktemp("weights")
    made = {}
    for bundle in BUNDLES:
        torch.manual_seed(0)
        network = bundle_of(bundle).read(["inference"], **small(bundle)).get_parsed_content("network_def")
        torch.save(network.state_dict(), folder / f"{bundle}.pt")
        made[bundle] = {**small(bundle), "weights": str(folder / f"{bundle}.pt")}
    return made


@pytest.fixture
def tree(tmp_path, cohort, ct_cohort):
    """Two radiographs, two CT of two patients in one folder, one CT in two folders; and what is neither."""
    root = tmp_path / "in"
    (root / "cr" / "deep").mkdir(parents=True)
    first, second, third = sorted((cohort / "stage_2_train_images").iterdir())[:3]
    shutil.copy(first, root / "cr" / "1.2.840.1")
    shutil.copy(second, root / "cr" / "deep" / "x.dcm")
    shutil.copy(second, root / "cr" / "deep" / "again.png")  # the same instance, and no PNG
    (root / "cr" / "cut.dcm").write_bytes(third.read_bytes()[:1500])
    (root / "cr" / "notes.txt").write_text("notes")
    volumes = [next(p.iterdir()) for p in sorted((ct_cohort / "train_images").iterdir())[:3]]
    (root / "mixed").mkdir()
    for number, volume in enumerate(volumes[:2]):
        for file in volume.iterdir():
            shutil.copy(file, root / "mixed" / f"{number}_{file.stem}")
    for number, file in enumerate(sorted(volumes[2].iterdir())):
        target = root / "split" / str(number % 2) / f"2_{file.stem}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    report = pydicom.dcmread(first)
    report.Modality, report.SOPInstanceUID = "SR", generate_uid()
    report.save_as(root / "report")
    return root


def run(bundle, tree, out, settings, **more):
    return predict(bundle_of(bundle), dataset_dir=tree, output_dir=out, **settings[bundle], **more)


def summary(out):
    return json.loads((out / "summary.json").read_text())


def files_in(out):
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


def test_radiographs_of_a_mixed_tree(tree, tmp_path, settings, capsys):
    """Two are done, one that is cut short fails, the others are left out; all of it is said once."""
    assert run("pneumonia", tree, tmp_path / "out", settings, format="seg", report=True) == 1
    said = summary(tmp_path / "out")
    assert [Path(case["case"]).name for case in said["done"]] == ["1.2.840.1", "again.png"]
    assert [(Path(case["case"]).name, "cut short" in case["error"]) for case in said["failed"]] == [("cut.dcm", True)]
    reasons = {reason["reason"].split(":")[0]: len(reason["files"]) for reason in said["left_out"]}
    slices = sum(1 for folder in ("mixed", "split") for p in (tree / folder).rglob("*") if p.is_file())
    modality = {r["reason"]: len(r["files"]) for r in said["left_out"] if "Modality" in r["reason"]}
    assert sorted(modality.values()) == [1, slices] and any("is SR" in reason for reason in modality)
    assert any("a copy of" in reason["reason"] for reason in said["left_out"])
    assert any(reason.startswith("not a DICOM file") for reason in reasons)
    out = tmp_path / "out" / "cr"
    assert {p.name for p in out.iterdir() if p.is_file()} == {
        f"1.2.840.1_{kind}" for kind in ("seg.dcm", "report.dcm", "overlay.png")
    }
    original, written = pydicom.dcmread(tree / "cr" / "1.2.840.1"), pydicom.dcmread(out / "1.2.840.1_seg.dcm")
    assert written.PatientID == original.PatientID and written.pixel_array.shape == (96, 96)
    log = capsys.readouterr().out
    assert "cut short" in log and "[1/3" in log
    for secret in (original.PatientID, original.StudyInstanceUID, original.SOPInstanceUID):
        assert secret not in log


def test_series_that_lie_among_others(tree, tmp_path, settings, ct_cohort):
    """Each gets its own mask in its own grid, whatever folder its files are in."""
    assert run("abdomen", tree, tmp_path / "out", settings, format="nifti") == 0
    done = summary(tmp_path / "out")["done"]
    masks = [tmp_path / "out" / next(p for p in case["outputs"] if p.endswith("_mask.nii.gz")) for case in done]
    assert sorted(mask.name[0] for mask in masks) == ["0", "1", "2"]
    for mask in masks:
        number = int(mask.name[0])
        alone = next(sorted((ct_cohort / "train_images").iterdir())[number].iterdir())
        volume, image = CTReader().open(alone), nibabel.load(mask)
        assert image.shape == volume.shape and np.allclose(image.affine, volume.affine, atol=1e-3)


@pytest.mark.parametrize("bundle", ["pneumonia", "abdomen"])
def test_overlays_have_at_most_the_size_asked_for_or_are_left_out(bundle, tree, tmp_path, settings):
    """The masks are the same, and the records but for the overlays."""
    outs = [tmp_path / name for name in ("small", "without")]
    code = run(bundle, tree, outs[0], settings, overlay_size=40)
    assert run(bundle, tree, outs[1], settings, pictures=False) == code
    overlays = list(outs[0].rglob("*_overlay.png"))
    assert overlays and {max(Image.open(path).size) for path in overlays} == {40}
    assert not list(outs[1].rglob("*_overlay.png"))
    kept = [sorted(name for name in files_in(out) if "_mask." in name) for out in outs]
    assert kept[0] == kept[1] != []
    for name in kept[0]:
        assert (outs[0] / name).read_bytes()[10:] == (outs[1] / name).read_bytes()[10:]  # gzip notes the time before
    done = [
        [[output for output in case["outputs"] if "_overlay" not in output] for case in summary(out)["done"]]
        for out in outs
    ]
    assert done[0] == done[1]


@pytest.mark.parametrize("more", [{"format": "seg", "fractional": True}, {"format": "png"}])
def test_probabilities_in_the_image_s_grid_are_there_where_they_are_asked_for(tree, tmp_path, settings, more):
    assert run("lungs", tree, tmp_path / "out", settings, **more) == 1
    if "fractional" in more:
        (written,) = (tmp_path / "out").rglob("1.2.840.1_seg.dcm")
        assert len(np.unique(pydicom.dcmread(written).pixel_array)) > 2


def test_a_temperature_changes_how_sure_predictions_are(tree, tmp_path, settings):
    """Odds become their square root at temperature 2, in segmentations and boxes; masks at 0.5 are the same."""
    weights = Path(shutil.copy(settings["pneumonia"]["weights"], tmp_path / "model.pt"))
    add_to_model(weights, hashlib.sha256(weights.read_bytes()).hexdigest(), {"temperature": 2.0})
    own = {"pneumonia": settings["pneumonia"] | {"weights": str(weights), "box_confidence": 0.0}}
    values, masks, boxes = [], [], []
    for calibrated in (False, True):
        out = tmp_path / "out"
        assert run("pneumonia", tree, out, own, format="seg", fractional=True, calibrated=calibrated) == 1
        assert summary(out)["done_before"] == 0 and summary(out)["temperature"] == 1 + calibrated
        values.append(pydicom.dcmread(out / "cr" / "1.2.840.1_seg.dcm").pixel_array / 255)
        record = Records(out, "").last["cr/1.2.840.1"]
        assert record["temperature"] == 1 + calibrated
        boxes.append(record["boxes"])
        run("pneumonia", tree, tmp_path / "masks", own, format="png", calibrated=calibrated)
        masks.append(np.asarray(Image.open(next((tmp_path / "masks").rglob("*1_mask.png")))))
    odds = np.sqrt(values[0] / np.maximum(1 - values[0], 1e-9))
    np.testing.assert_allclose(values[1], odds / (1 + odds), atol=1.01 / 255)
    assert not np.allclose(values[0], values[1], atol=2 / 255) and np.array_equal(*masks)
    assert [box for _, box in boxes[0]] == [box for _, box in boxes[1]] != []
    assert all(0.5 <= after < before for (before, _), (after, _) in zip(*boxes, strict=True))


def test_nothing_is_done_twice_and_what_failed_is_tried_again(tree, tmp_path, settings):
    out = tmp_path / "out"
    assert run("pneumonia", tree, out, settings) == 1
    before = files_in(out)
    assert run("pneumonia", tree, out, settings) == 1
    after = files_in(out)
    assert {p for p in after if after[p] != before[p]} == {"predictions.jsonl", "summary.json"}
    assert summary(out)["done_before"] == 2

    cut = tree / "cr" / "cut.dcm"
    whole = pydicom.dcmread(tree / "cr" / "1.2.840.1")
    whole.SOPInstanceUID = generate_uid()
    whole.save_as(cut)  # the failed one is mended
    assert run("pneumonia", tree, out, settings) == 0
    assert summary(out)["done_before"] == 2 and (out / "cr" / "cut_mask.png").is_file()

    (out / "cr" / "cut_mask.png").unlink()  # a lost output, a changed image, other settings: done again
    assert run("pneumonia", tree, out, settings) == 0
    assert summary(out)["done_before"] == 2 and (out / "cr" / "cut_mask.png").is_file()
    os.utime(cut, ns=(1, 1))
    assert run("pneumonia", tree, out, settings) == 0 and summary(out)["done_before"] == 2
    assert run("pneumonia", tree, out, settings, format="nifti") == 0 and summary(out)["done_before"] == 0


@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_an_output_that_is_not_as_it_was_written_is_made_again(tree, tmp_path, settings, damage):
    out = tmp_path / "out"
    run("pneumonia", tree, out, settings)
    mask = out / "cr" / "1.2.840.1_mask.png"
    written = mask.read_bytes()
    if damage == "removed":
        mask.unlink()
    else:
        mask.write_bytes(written[:-1] if damage == "cut" else written[:-1] + bytes([written[-1] ^ 1]))
    assert run("pneumonia", tree, out, settings) == 1  # one of the tree cannot be read
    assert summary(out)["done_before"] == 1 and mask.read_bytes() == written


def numbered(cohort, folder, count):
    """So many radiographs of the cohort, as 0.dcm, 1.dcm and so on."""
    folder.mkdir()
    for number, path in enumerate(sorted((cohort / "stage_2_train_images").iterdir())[:count]):
        shutil.copy(path, folder / f"{number}.dcm")
    return folder


def test_outputs_that_vanish_while_it_runs_make_it_fail(tmp_path, settings, cohort, monkeypatch):
    """Of three cases the first one's mask is removed, and the second one's is cut, when the third is done."""
    images, out = numbered(cohort, tmp_path / "in", 3), tmp_path / "out"
    append = Records.append

    def append_and_remove(self, case, identity, record):
        append(self, case, identity, record)
        if case == "2.dcm" and record["status"] == "done":
            (out / "0_mask.png").unlink()
            (out / "1_mask.png").write_bytes(b"")

    monkeypatch.setattr(Records, "append", append_and_remove)
    assert run("pneumonia", images, out, settings) == 1
    assert [Path(case["case"]).name for case in summary(out)["done"]] == ["2.dcm"]
    failed = {Path(case["case"]).name: case["error"] for case in summary(out)["failed"]}
    assert all(failed[f"{n}.dcm"].startswith(f"{n}_mask.png: was removed or changed") for n in (0, 1)), failed
    monkeypatch.undo()
    assert run("pneumonia", images, out, settings) == 0 and summary(out)["done_before"] == 1


def test_folder_that_vanishes_while_it_runs(tmp_path, settings, cohort, monkeypatch):
    """What was written in it, and what was under way then, fails; the rest is done."""
    images, out = numbered(cohort, tmp_path / "in", 8), tmp_path / "out"
    append = Records.append

    def append_and_remove(self, case, identity, record):
        if case == "0.dcm" and record["status"] == "done":
            out.rename(tmp_path / "gone")  # at once: others write in it meanwhile
        append(self, case, identity, record)

    monkeypatch.setattr(Records, "append", append_and_remove)
    assert run("pneumonia", images, out, settings, batch_size=1, workers=1) == 1
    failed = [Path(case["case"]).name for case in summary(out)["failed"]]
    assert failed == [f"{number}.dcm" for number in range(len(failed))] and 1 <= len(failed) <= 4
    assert all((out / f"{number}_mask.png").is_file() for number in range(len(failed), 8))


@pytest.mark.parametrize("bundle", ["pneumonia", "abdomen"])
def test_network_that_gives_no_numbers_fails_each_case(tree, tmp_path, settings, bundle):
    """Weights that are finite, and yet too large: their masks would be empty, or full, without a word."""
    state = torch.load(settings[bundle]["weights"])
    for name, value in state.items():
        if value.ndim == 4:
            state[name] = value * 1e30
    torch.save(state, tmp_path / "large.pt")
    large = {bundle: {**settings[bundle], "weights": str(tmp_path / "large.pt")}}
    assert run(bundle, tree, tmp_path / "out", large) == 2
    said = summary(tmp_path / "out")
    assert not said["done"] and sum("are not finite: its weights" in case["error"] for case in said["failed"]) >= 2
    assert not list((tmp_path / "out").rglob("*_mask*"))


def test_image_with_nothing_on_it_fails_alone(tmp_path, settings, cohort):
    images = tmp_path / "in"
    images.mkdir()
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(images / "flat.png")
    Image.fromarray(np.arange(2400, dtype=np.uint8).reshape(40, 60)).save(images / "good.png")
    assert run("lungs", images, tmp_path / "out", settings) == 1
    (failed,) = summary(tmp_path / "out")["failed"]
    assert Path(failed["case"]).name == "flat.png" and "nothing is on it" in failed["error"]
    assert [Path(case["case"]).name for case in summary(tmp_path / "out")["done"]] == ["good.png"]


def test_goes_on_after_a_kill(tree, tmp_path, settings):
    """The last line of the records was cut short: that case alone is done again."""
    out = tmp_path / "out"
    run("pneumonia", tree, out, settings)
    records = out / "predictions.jsonl"
    lines = records.read_text().splitlines()
    assert json.loads(lines[-1])["status"] == "done"
    records.write_text("\n".join(lines)[:-20])
    (out / "summary.json").unlink()
    assert run("pneumonia", tree, out, settings) == 1
    assert summary(out)["done_before"] == 1 and len(summary(out)["done"]) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_case_and_the_same_command_continues(
    tree, tmp_path, settings, interrupts, monkeypatch, number, code
):
    out, append = tmp_path / "out", Records.append

    def append_and_stop(self, case, identity, record):
        append(self, case, identity, record)
        if record["status"] == STARTED:
            signal.raise_signal(number)

    monkeypatch.setattr(Records, "append", append_and_stop)
    assert run("pneumonia", tree, out, settings) == summary(out)["exit_code"] == code
    assert len(summary(out)["done"]) == 1 and summary(out)["cases"] == 3 and not (out / ".lock").exists()
    monkeypatch.undo()
    assert run("pneumonia", tree, out, settings) == 1 and summary(out)["done_before"] == 1


def test_a_second_run_into_the_folder_is_told_of_the_first(tree, tmp_path, settings):
    out = tmp_path / "out"
    with held_by_another(out) as process:
        told = f"out: another run is writing there: process {process} on "
        with pytest.raises(DataError, match=told):
            run("pneumonia", tree, out, settings)
    assert os.listdir(out) == [".lock"]
    assert run("pneumonia", tree, out, settings) == 1 and not (out / ".lock").exists()


@pytest.mark.parametrize("limit", [60, 1000])  # no room for a record; or for one, but not for a picture
def test_a_full_disk_ends_it_and_is_no_fault_of_a_case(tree, tmp_path, settings, limit):
    out = tmp_path / "out"
    run("pneumonia", tree, out, settings)
    before = files_in(out)
    (out / "cr" / "deep" / "again_mask.png").unlink()
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, whole[1]))
    try:
        with pytest.raises(DiskError, match=r"cannot be written \(File too large\)"):
            run("pneumonia", tree, out, settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    assert files_in(out).keys() == before.keys() - {"cr/deep/again_mask.png"}
    assert run("pneumonia", tree, out, settings) == 1
    assert summary(out)["done_before"] == 1 and files_in(out).keys() == before.keys()


def test_what_a_killed_run_left_unfinished_is_removed(tree, tmp_path, settings):
    out = tmp_path / "out"
    process = os.fork()
    if process == 0:
        with atomic_write(out / "cr" / "x_mask.png") as file:
            file.write("half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert len(os.listdir(out / "cr")) == 1
    run("pneumonia", tree, out, settings)
    assert not [name for name in files_in(out) if Path(name).name.startswith(".")]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[[]]\n" * 3], ids=repr)
def test_damaged_records_and_summary_cost_work_and_nothing_else(tree, tmp_path, settings, content):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("predictions.jsonl", "summary.json"):
        (out / name).write_bytes(content)
    assert run("pneumonia", tree, out, settings) == 1
    assert len(summary(out)["done"]) == 2 and summary(out)["done_before"] == 0
    assert run("pneumonia", tree, out, settings) == 1 and summary(out)["done_before"] == 2


def test_nothing_done(tmp_path, settings, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("notes")
    assert run("pneumonia", tmp_path / "in", tmp_path / "out", settings) == 2
    assert "--input: holds no image that pneumonia takes" in capsys.readouterr().out
    assert summary(tmp_path / "out")["exit_code"] == 2
    arguments = ["predict", "pneumonia", "--output", str(tmp_path / "out"), "--input", str(tmp_path / "gone")]
    weights = ["--weights", settings["pneumonia"]["weights"]]
    assert main([*arguments, "--weights", "gone.pt"]) == 2
    assert main([*arguments, *weights, "--fractional"]) == 2
    assert main([*arguments, "--weights", settings["abdomen"]["weights"]]) == 2
    message = capsys.readouterr().err
    assert "weights are those of another network" in message
    assert "gone.pt: no such file" in message and "add --format seg" in message
    with pytest.raises(DataError, match="gone: no such folder"):
        run("pneumonia", tmp_path / "gone", tmp_path / "out", settings)


def test_structure_sets_of_ct(tree, tmp_path, settings):
    """Each refers to its own series, and has a region for each organ that the bundle knows."""
    assert run("abdomen", tree, tmp_path / "out", settings, format="rtstruct") == 0
    written = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*_rtstruct.dcm")]
    assert len(written) == 3 and len({structures.FrameOfReferenceUID for structures in written}) == 3
    organs = ["liver", "spleen", "left kidney", "right kidney", "bowel"]
    assert all([roi.ROIName for roi in structures.StructureSetROISequence] == organs for structures in written)


@pytest.mark.parametrize(
    ("bundle", "asked", "message"),
    [
        ("lungs", {"format": "rtstruct"}, "which RTSTRUCT cannot hold. Give --format png or nifti or seg"),
        ("abdomen", {"format": "png"}, "which PNG cannot hold"),
        ("abdomen", {"format": "seg", "fractional": True}, "labels, not probabilities"),
        ("lungs", {"report": True}, "finds no boxes"),
        ("lungs", {"submission": "s.csv"}, "has no submission"),
        ("pneumonia", {"overlays": ["submission"]}, "give --submission FILE in place of the overlay"),
    ],
)
def test_what_a_bundle_cannot_do_is_said_first(tmp_path, settings, bundle, asked, message):
    with pytest.raises(DataError, match=message):
        run(bundle, tmp_path, tmp_path / "out", settings, **asked)
    assert not (tmp_path / "out").exists()


def test_pictures_get_masks_but_no_dicom(tmp_path, settings, cohort):
    """A DICOM Segmentation refers to DICOM. And two images whose outputs would have one name are not mixed up."""
    tree = tmp_path / "in"
    tree.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)).save(tree / "a.png")
    shutil.copy(sorted((cohort / "stage_2_train_images").iterdir())[0], tree / "a.dcm")
    assert run("lungs", tree, tmp_path / "png", settings) == 0
    assert [case["case"] for case in summary(tmp_path / "png")["done"]] == [str(tree / "a.dcm")]
    assert "would be named as those of" in str(summary(tmp_path / "png")["left_out"])
    (tree / "a.png").rename(tree / "b.png")
    assert run("lungs", tree, tmp_path / "png", settings) == 0
    assert np.asarray(Image.open(tmp_path / "png" / "b_mask.png")).shape == (40, 60)
    assert run("lungs", tree, tmp_path / "seg", settings, format="seg", fractional=True) == 0
    assert {p.name for p in (tmp_path / "seg").glob("*.dcm")} == {"a_seg.dcm"}
    assert "is not a DICOM file" in str(summary(tmp_path / "seg")["left_out"])
    assert pydicom.dcmread(tmp_path / "seg" / "a_seg.dcm").SegmentationType == "FRACTIONAL"


def test_outputs_in_the_tree_are_not_taken_for_images(tmp_path, settings, cohort):
    tree = tmp_path / "in"
    tree.mkdir()
    shutil.copy(sorted((cohort / "stage_2_train_images").iterdir())[0], tree / "a.dcm")
    for before in (0, 1):
        assert run("lungs", tree, tree / "out", settings) == 0
        assert summary(tree / "out")["cases"] == 1 and summary(tree / "out")["done_before"] == before


def png(path, what="good"):
    """A picture that says what its decoder shall do."""
    words = PngInfo()
    words.add_text("what", what)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)).save(path, pnginfo=words)


def test_a_file_that_ends_or_hangs_its_decoder_is_a_failed_case(tmp_path, settings, decoder_program, capsys):
    """The cases behind it are done, in the same run and at the restart."""
    decoder_program("""
import os, signal, time
picture = decoder.picture

def does_as_it_is_told(request, given):
    with open(request["path"], "rb") as file:
        content = file.read()
    if b"abort" in content:
        os.abort()
    if b"hang" in content:
        time.sleep(60)
    return picture(request, given)

decoder.TASKS["picture"] = does_as_it_is_told
""")
    tree, out = tmp_path / "in", tmp_path / "out"
    tree.mkdir()
    for name, what in (("1", "good"), ("2", "abort"), ("3", "hang"), ("4", "good")):
        png(tree / f"{name}.png", what)
    for before in (0, 2):
        assert run("lungs", tree, out, settings, **{"reader#seconds": 3}) == 1
        said = summary(out)
        assert [Path(case["case"]).stem for case in said["done"]] == ["1", "4"] and said["done_before"] == before
        errors = {Path(case["case"]).stem: case["error"] for case in said["failed"]}
        assert "its decoder crashed (SIGABRT)" in errors["2"] and "took longer than 3 s" in errors["3"]
    assert "2.png: FAILED: its decoder crashed" in capsys.readouterr().out
    assert run("lungs", tree, out, settings, **{"reader#seconds": 2}) == 1
    assert summary(out)["done_before"] == 2  # the limits change no mask


def test_a_case_in_which_a_run_ended_is_passed_over_until_it_is_asked_for(tmp_path, settings, capsys):
    tree, out = tmp_path / "in", tmp_path / "out"
    tree.mkdir()
    for name in "123":
        png(tree / f"{name}.png")
    assert run("lungs", tree, out, settings) == 0
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["case"] for line in lines if line["status"] == "started"] == ["1.png", "2.png", "3.png"]
    done = {line["case"]: json.dumps(line) + "\n" for line in lines if line["status"] == "done"}
    begun = {line["case"]: line for line in lines if line["status"] == "started"}
    records = out / "predictions.jsonl"
    # killed while the second and the third were under way, then killed again in the second, when it was done alone
    alone = json.dumps({**begun["2.png"], "alone": True}) + "\n"
    records.write_text(
        done["1.png"] + "".join(json.dumps(line) + "\n" for line in begun.values()) + done["1.png"] + alone
    )
    for _ in range(2):
        assert run("lungs", tree, out, settings) == 1
        said = summary(out)
        assert [Path(case["case"]).name for case in said["failed"]] == ["2.png"]
        assert "an earlier run ended in this case. Give --retry" in said["failed"][0]["error"]
        assert len(said["done"]) == 2
    assert "2.png: passed over" in capsys.readouterr().out
    assert run("lungs", tree, out, settings, retry=True) == 0
    assert summary(out)["done_before"] == 2


def interrupt(self, batch):
    raise KeyboardInterrupt


def test_what_stops_a_run_from_outside_is_no_fault_of_its_case(tmp_path, settings, monkeypatch):
    """A full disk or a program that interrupts it: the case is done at the restart."""
    tree, out = tmp_path / "in", tmp_path / "out"
    tree.mkdir()
    png(tree / "1.png")
    png(tree / "2.png")
    for _ in range(2):  # the second time each is done alone
        made = Prediction(bundle_of("lungs"), tree, out, **settings["lungs"])
        monkeypatch.setattr(Stages, "compute", interrupt)
        with pytest.raises(KeyboardInterrupt):
            made.run()
        assert "alone" not in (out / "predictions.jsonl").read_text()
        monkeypatch.undo()
    assert run("lungs", tree, out, settings) == 0


def test_names_that_are_no_text_end_no_run(tmp_path, settings, capfd):
    tree, out = tmp_path / "in", tmp_path / "out"
    folder = tree / os.fsdecode(b"r\xf6ntgen")
    folder.mkdir(parents=True)
    path = folder / os.fsdecode(b"caf\xe9.png")
    png(path)
    (folder / os.fsdecode(b"n\xf6.txt")).write_text("no image")
    arguments = ["predict", "lungs", "--input", str(tree), "--output", str(out)]
    size = settings["lungs"]
    assert main([*arguments, "--weights", size["weights"], "--image_size", "32"]) in (0, 2)
    assert run("lungs", tree, out, settings) == 0
    (done,) = summary(out)["done"]
    assert Path(done["case"]) == path and all((out / name).is_file() for name in done["outputs"])
    assert os.fsencode(out / done["outputs"][0]).endswith(b"r\xf6ntgen/caf\xe9_mask.png")
    assert run("lungs", tree, out, settings) == 0 and summary(out)["done_before"] == 1
    said = capfd.readouterr()
    assert "caf\\udce9.png" in said.out and "Logging error" not in said.err


@pytest.mark.parametrize(("bundle", "other"), permutations(("lungs", "opacity", "pneumonia"), 2))
def test_the_shipped_weights_of_another_bundle_are_refused(tmp_path, cohort, bundle, other, capsys):
    """Their networks are the same: nothing else would tell."""
    weights = str(bundle_of(other).weights)
    arguments = ["predict", bundle, "--input", str(cohort), "--output", str(tmp_path / "out"), "--weights", weights]
    assert main(arguments) == 2
    assert f"was trained with task {other}, and {bundle} is configured" in capsys.readouterr().err


def test_masks_and_overlays_are_no_images_of_the_next_prediction(tmp_path, settings, cohort):
    """Neither where they lie among their images nor in a folder of their own."""
    (tmp_path / "in").mkdir()
    (image,) = sorted((cohort / "stage_2_train_images").iterdir())[:1]
    shutil.copy(image, tmp_path / "in" / "a.dcm")
    assert run("lungs", tmp_path / "in", tmp_path / "in", settings) == 0
    assert {"a_mask.png", "a_overlay.png"} <= set(os.listdir(tmp_path / "in"))
    assert run("lungs", tmp_path / "in", tmp_path / "out", settings) == 0
    assert summary(tmp_path / "out")["cases"] == 1
    told = {Path(f).name: one["reason"] for one in summary(tmp_path / "out")["left_out"] for f in one["files"]}
    assert all("that a prediction wrote" in told[name] for name in ("a_mask.png", "a_overlay.png"))


def test_the_summary_tells_which_images_may_not_be_frontal(tmp_path, cohort, capsys):
    (image,) = sorted((cohort / "stage_2_train_images").iterdir())[:1]
    (tmp_path / "in").mkdir()
    shutil.copy(image, tmp_path / "in" / "chest.dcm")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "noise.png")
    assert main(["predict", "lungs", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    told = {Path(one["case"]).stem: one["frontal"] for one in summary(tmp_path / "out")["done"]}
    assert told == {"chest": True, "noise": False}
    for name, frontal in told.items():
        assert json.loads((tmp_path / "out" / f"{name}_check.json").read_text())["frontal"] == frontal
    assert "1 of them may not be frontal chest radiographs, the first" in capsys.readouterr().out
