"""A model for programs: what it gives is what the command writes, from files and from memory, in any thread."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset

from networks import WeightsError
from pipelines import Model
from pipelines.prediction.predict import predict
from tests.conftest import write_radiograph
from tests.running import bundle_of, small
from transforms import CTReader, DataError, frontal_check

BUNDLES = ("pneumonia", "lungs", "abdomen")


@pytest.fixture(scope="module")
def settings(tmp_path_factory, images):
    """Of each bundle: a small network, weights for it that know nothing, and a threshold in the middle of them."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for bundle in BUNDLES:
        torch.manual_seed(0)
        network = bundle_of(bundle).read(["inference"], **small(bundle)).get_parsed_content("network_def")
        if bundle == "abdomen":  # no label is likelier than the others everywhere
            name, state = "segmentation_head.0.bias", network.state_dict()
            with torch.no_grad():
                state[name] -= network.eval()(torch.rand(4, 3, 32, 32)).mean(dim=(0, 2, 3))
        torch.save(network.state_dict(), folder / f"{bundle}.pt")
        made[bundle] = {**small(bundle), "weights": str(folder / f"{bundle}.pt")}
    for name, overlays in (("pneumonia", ["fixed_threshold"]), ("lungs", [])):
        probability = Model(bundle_of(name), overlays, **made[name]).predict(images / "a.dcm").probability
        made[name]["threshold"] = round(float(np.median(probability)), 3)
        if name == "pneumonia":
            made[name] |= {"box_confidence": 0.1, "share_of_peak": made[name]["threshold"] / float(probability.max())}
    return made


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three radiographs that are not square: 8 and 16 bits, and one shown inverted in a window."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    smooth = [
        np.kron(rng.integers(0, most, (5, 4)), np.ones((12, 20))).astype(kind)[:58, :77]
        for most, kind in ((255, "u1"), (4000, "u2"), (4000, "u2"))
    ]
    write_radiograph(folder, smooth[0], "a.dcm")
    write_radiograph(folder, smooth[1], "b.dcm", bits=12)
    window = {"WindowCenter": 1800, "WindowWidth": 2500, "PhotometricInterpretation": "MONOCHROME1"}
    write_radiograph(folder, smooth[2], "c.dcm", bits=12, **window)
    return folder


@pytest.fixture(scope="module")
def written(images, settings, tmp_path_factory):
    """By bundle what the command wrote for the images."""
    out = tmp_path_factory.mktemp("out")
    for bundle in ("pneumonia", "lungs"):
        assert predict(bundle_of(bundle), dataset_dir=images, output_dir=out / bundle, **settings[bundle]) == 0
    return out


def mask_of(folder, name):
    return np.asarray(Image.open(folder / f"{name}_mask.png")) > 0


@pytest.mark.parametrize("bundle", ["pneumonia", "lungs"])
def test_masks_are_those_that_the_command_writes_pixel_by_pixel(bundle, images, settings, written):
    model = Model(bundle_of(bundle), **settings[bundle])
    for name in "abc":
        expected = mask_of(written / bundle, name)
        assert expected.shape == (58, 77) and 0 < expected.mean() < 1
        for image in (images / f"{name}.dcm", str(images / f"{name}.dcm"), pydicom.dcmread(images / f"{name}.dcm")):
            found = model.predict(image)
            assert found.mask.dtype == np.uint8 and np.array_equal(found.mask, expected)
            assert found.probability.shape == expected.shape and found.probability.dtype == np.float32
            assert np.array_equal(found.probability >= settings[bundle]["threshold"], expected) or bundle == "lungs"
    each = list(model.predict_each([images / f"{name}.dcm" for name in "abc"], batch_size=2))
    for name, found in zip("abc", each, strict=True):
        assert np.mean(found.mask != mask_of(written / bundle, name)) < 1e-3  # a batch rounds in its own way


def test_an_array_is_taken_as_it_is_shown_rows_first(images, settings, written, tmp_path):
    model = Model(bundle_of("pneumonia"), **settings["pneumonia"])
    pixels = pydicom.dcmread(images / "a.dcm").pixel_array
    expected = mask_of(written / "pneumonia", "a")
    for array in (pixels, pixels / 255, np.asfortranarray(pixels), pixels.astype(np.uint16) * 257):
        found = model.predict(array, spacing=(0.4, 0.2))
        assert np.mean(found.mask != expected) < 1e-3
    assert np.array_equal(model.predict(pixels, (0.4, 0.2)).mask, expected)
    # a picture of 16 bits is as its array
    deep = pydicom.dcmread(images / "b.dcm").pixel_array * 16
    Image.fromarray(deep).save(tmp_path / "deep.png")
    lungs = Model(bundle_of("lungs"), **settings["lungs"])
    assert np.array_equal(lungs.predict(deep).mask, lungs.predict(tmp_path / "deep.png").mask)


@pytest.mark.parametrize("steps", ["@steps", "$@steps[:1] + @steps[1:]", ["@steps#0", "@steps#1", "@steps#2"]])
def test_steps_that_are_named_or_computed_are_as_those_that_stand_there(images, settings, steps):
    """And what a program does for its console and its folders is left out, however it is written."""
    held = pydicom.dcmread(images / "a.dcm")
    expected = Model(bundle_of("lungs"), **settings["lungs"]).predict(held)
    bundle = bundle_of("lungs")
    read = bundle.read

    def rewritten(*names, **overrides):
        parser = read(*names, **overrides)
        parser["steps"] = parser["preprocessing"]["transforms"]
        parser["preprocessing"]["transforms"] = steps
        parser["initialize"][:2] = ["$transforms.prepare_console( )", "$transforms.check_writable([@gone, '/gone'])"]
        return parser

    bundle.read = rewritten
    assert np.array_equal(Model(bundle, **settings["lungs"]).predict(held).probability, expected.probability)
    assert Model(bundle, **settings["lungs"]).predict([images / "a.dcm"]).mask.shape == expected.mask.shape


def test_boxes_lie_on_their_mask_in_rows_and_columns(images, settings):
    model = Model(bundle_of("pneumonia"), **settings["pneumonia"])
    found = model.predict(images / "a.dcm")
    assert found.boxes and found.check is None and found.affine is None
    for confidence, box in found.boxes:
        x, y, width, height = (int(length) for length in box)
        inside = found.mask[y : y + height, x : x + width]
        assert inside.shape == (height, width) and 0 < confidence <= 1
        for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert edge.any()


def test_boxes_are_as_sure_as_the_network_whatever_drew_their_outline(images, settings):
    wide = settings["pneumonia"] | {"share_of_peak": 0.7 * settings["pneumonia"]["share_of_peak"]}
    found = Model(bundle_of("pneumonia"), **wide).predict(images / "a.dcm")
    before = Model(bundle_of("pneumonia"), ["fixed_threshold"], **settings["pneumonia"]).predict(images / "a.dcm")
    assert np.abs(found.probability - before.probability).max() > 0.01
    ((confidence, _),) = found.boxes
    assert found.mask.all() and confidence == pytest.approx(before.probability.mean(), abs=1e-3)


def test_lungs_say_whether_the_image_is_frontal(images, settings):
    found = Model(bundle_of("lungs"), **settings["lungs"]).predict(images / "a.dcm")
    assert found.boxes is None and found.check.keys() == frontal_check(np.eye(8)).keys()


def test_volumes_are_slices_rows_columns_and_their_affine_is_that_of_nifti(ct_cohort, settings, tmp_path):
    series = next(next(iter(sorted((ct_cohort / "train_images").iterdir()))).iterdir())
    shutil.copytree(series, tmp_path / "in" / "ct")
    assert predict(bundle_of("abdomen"), dataset_dir=tmp_path / "in", output_dir=tmp_path, **settings["abdomen"]) == 0
    expected = nibabel.load(tmp_path / "ct_mask.nii.gz")
    model = Model(bundle_of("abdomen"), **settings["abdomen"])
    volume = CTReader().open(series)
    for image in (series, sorted(series.iterdir())):
        found = model.predict(image)
        assert found.mask.shape == volume.shape[::-1] and len(np.unique(found.mask)) > 1
        assert np.array_equal(found.mask.T, np.asarray(expected.dataobj))
        assert np.allclose(found.affine, expected.affine, atol=1e-3)
        assert found.probability is None and found.boxes is None and found.check is None
    assert model.classes[1] == "liver"


def test_many_threads_find_what_one_does(images, settings):
    model = Model(bundle_of("lungs"), **settings["lungs"])
    held = [pydicom.dcmread(images / f"{name}.dcm") for name in "abc"]
    expected = [model.predict(one) for one in held]
    with ThreadPoolExecutor(6) as pool:
        again = list(pool.map(model.predict, held * 6))
    for number, found in enumerate(again):
        assert np.array_equal(found.probability, expected[number % 3].probability)
        assert np.array_equal(found.mask, expected[number % 3].mask)


def test_a_dataset_is_left_as_it_is(images, settings):
    dataset = pydicom.dcmread(images / "c.dcm")
    dataset.RescaleSlope = None  # left without a value, as anonymisers do
    before, kept = dataset.to_json(), dataset.file_meta.to_json()
    Model(bundle_of("lungs"), **settings["lungs"]).predict(dataset)
    assert dataset.to_json() == before and dataset.file_meta.to_json() == kept


def changed(images, **tags):
    dataset = pydicom.dcmread(images / "a.dcm")
    for tag, value in tags.items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value)
    return dataset


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"Modality": "CT"}, "its Modality (0008,0060) is CT, not one of CR, DX, RG"),
        ({"PixelData": None}, "has no PixelData (7FE0,0010)"),
        ({"PixelData": b"\0\0"}, "was cut short: 2 of 4466 bytes"),
        ({"PixelSpacing": None}, "no pixel spacing: none of PixelSpacing"),
        ({"PixelSpacing": [0, 0.2]}, "PixelSpacing (0028,0030) is 0.2 and 0 mm"),
        ({"WindowCenter": 1, "WindowWidth": 1e30}, "WindowWidth (0028,1051) is 1e+30"),
        ({"NumberOfFrames": 2}, "has 2 frames (0028,0008)"),
        ({"PixelData": bytes(4466)}, "all its pixels, stored as 0 to 0, are shown alike"),
    ],
)
def test_what_cannot_be_is_refused_with_the_messages_of_files(images, settings, tags, message, tmp_path):
    model = Model(bundle_of("pneumonia"), **settings["pneumonia"])
    dataset = changed(images, **tags)
    with pytest.raises(DataError) as held:
        model.predict(dataset)
    assert message in str(held.value) and str(held.value).startswith("the image in memory: ")
    assert "Doe" not in str(held.value) and "4711" not in str(held.value)
    dataset.save_as(tmp_path / "x.dcm")
    with pytest.raises(DataError) as filed:
        model.predict(tmp_path / "x.dcm")
    assert str(filed.value).removeprefix(f"{tmp_path / 'x.dcm'}: ") == str(held.value).removeprefix(
        "the image in memory: "
    )


def test_arrays_that_cannot_be_are_refused(settings, images):
    model = Model(bundle_of("pneumonia"), **settings["pneumonia"])
    good = np.arange(600, dtype=np.uint16).reshape(20, 30)
    for array, spacing, message in (
        (good, None, "its pixel spacing is needed. Give spacing=(rows apart, columns apart)"),
        (good, (0.2, 90), "spacing is 90 and 0.2 mm"),
        (good, 0.2, "its spacing is 0.2; it must be two numbers"),
        (good[None], (0.2, 0.2), "has the shape (1, 20, 30)"),
        (good.astype(np.int16), (0.2, 0.2), "is of int16; it must be of uint8, uint16"),
        (good / 1.0, (0.2, 0.2), "its values are 0 to 599; floating point must be from 0, black, to 1, white"),
        (np.full((3, 4), np.nan), (0.2, 0.2), "its values are nan to nan"),
        (np.full((3, 4), 0.5), (0.2, 0.2), "nothing is on it"),
    ):
        with pytest.raises(DataError, match="^the image in memory: ") as caught:
            model.predict(array, spacing)
        assert message in str(caught.value)
    with pytest.raises(DataError, match="^image 2 in memory: "):
        list(model.predict_each([good, good[0]], (0.2, 0.2)))


def test_what_is_no_image_is_refused(settings, images, tmp_path):
    lungs, abdomen = (Model(bundle_of(name), **settings[name]) for name in ("lungs", "abdomen"))
    (tmp_path / "x.txt").write_text("notes")
    changed_to_ct = tmp_path / "ct.dcm"
    changed(images, Modality="CT").save_as(changed_to_ct)
    for model, image, message in (
        (lungs, tmp_path / "gone.dcm", "no such file"),
        (lungs, tmp_path / "x.txt", "not a DICOM file: it begins with"),
        (lungs, tmp_path, "is a folder. Give the file of a radiograph"),
        (abdomen, images / "a.dcm", "its Modality (0008,0060) is CR, not CT"),
        (abdomen, images, "its Modality (0008,0060) is CR, not CT"),
        (abdomen, np.zeros((4, 5)), "a CT cannot be given in memory"),
        (abdomen, Dataset(), "a CT cannot be given in memory"),
        (lungs, [changed_to_ct], "its Modality (0008,0060) is CT, not one of CR, DX, RG"),
        (lungs, [], "is a list of 0 files. Give the one of a radiograph."),
        (lungs, [images / "a.dcm", images / "b.dcm"], "is a list of 2 files. Give the one of a radiograph."),
        (abdomen, [], "is a list of 0 files. Give those of one CT."),
    ):
        with pytest.raises(DataError) as caught:
            model.predict(image)
        assert message in str(caught.value)
    with pytest.raises(DataError, match="says its spacing itself"):
        lungs.predict(images / "a.dcm", spacing=(1, 1))


def test_misspelt_keys_are_refused(settings):
    with pytest.raises(DataError, match="^treshold: the bundle has no such key.*Did you mean threshold"):
        Model("lungs", treshold=0.4, **settings["lungs"])


def test_weights_that_do_not_fit_are_refused_when_they_are_loaded(settings):
    with pytest.raises(WeightsError, match="no such file"):
        Model(bundle_of("lungs"), weights="gone.pt")
    with pytest.raises(WeightsError, match="those of another network"):
        Model(bundle_of("lungs"), weights=settings["lungs"]["weights"])
    with pytest.raises(DataError, match="gone: no such bundle"):
        Model("gone")


def test_nothing_is_written_and_nothing_of_the_program_is_changed(images, settings, tmp_path, monkeypatch, capfd):
    import sys

    monkeypatch.chdir(tmp_path)
    hook, handlers = sys.excepthook, list(logging.root.handlers)
    Model(bundle_of("lungs"), **settings["lungs"]).predict(pydicom.dcmread(images / "a.dcm"))
    assert sys.excepthook is hook and logging.root.handlers == handlers
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr().out == ""
