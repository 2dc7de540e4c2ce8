"""The bundles in a running MONAI Label, and Orthanc as its store: real servers on this machine, real files.

Runs in MONAI Label's own environment; elsewhere it is skipped, and pytest says so.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import LoadImage
from PIL import Image
from pydicom.uid import CTImageStorage, generate_uid

from pipelines import draw_phantoms
from pipelines.phantoms.ct import draw_ct_phantoms
from tests.conftest import ROOT
from tests.pipelines.label.serving import Server, free_port
from transforms import CTReader

requests = pytest.importorskip("requests")  # comes with MONAI Label
pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]
BUNDLES = ("lungs", "pneumonia", "opacity", "abdomen")
ORTHANC = shutil.which("Orthanc", path=os.environ["PATH"] + ":/usr/sbin")
PLUGIN = next(Path("/usr/share/orthanc").glob("plugins/libOrthancDicomWeb.so*"), None)
LUNGS_CODE = "39607008"  # SNOMED CT: lung structure


# Servers ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Copies of the bundles with weights: the lungs' own, and untrained ones, whose masks are the most intricate."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in BUNDLES:
        root = folder / name
        shutil.copytree(
            ROOT / "bundles" / name, root, ignore=shutil.ignore_patterns("phantoms", "cache", "eval", "*.pt")
        )
        if name == "lungs":
            shutil.copy(ROOT / "bundles" / name / "models" / "model.pt", root / "models")
            continue
        (root / "models" / "model.json").unlink(missing_ok=True)
        torch.manual_seed(0)
        parser = ConfigParser()
        parser.read_config(root / "configs" / "inference.json")
        network = parser.get_parsed_content("network_def")
        weights = network.state_dict()
        if name == "opacity":  # untrained it marks nothing: let half of all grey values be inside
            ramp = torch.linspace(0, 1, 64 * 64).reshape(1, 1, 64, 64)
            with torch.no_grad():
                weights[list(weights)[-1]] -= network.eval()(ramp).median()
        torch.save(weights, root / "models" / "model.pt")
    return folder


@pytest.fixture(scope="module")
def serve(bundles, tmp_path_factory):
    """Starts MONAI Label by the project's command; gives the server."""
    running = []

    def start(names, studies):
        folder, port = tmp_path_factory.mktemp("app"), free_port()
        command = [sys.executable, "-m", "pipelines", "label", *(str(bundles / name) for name in names)]
        command += ["--studies", str(studies), "--app", str(folder / "app"), "--port", str(port)]
        cache = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        # scoring after each training would hold the next request up
        cache |= {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false", "OMP_NUM_THREADS": "1"}
        running.append(Server(command, f"http://127.0.0.1:{port}", folder, "/info/", **cache))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """An empty DICOM store."""
    if ORTHANC is None or PLUGIN is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    server = Server([ORTHANC, str(folder / "orthanc.json")], f"http://127.0.0.1:{port}", folder, "/system")
    yield server
    server.stop()


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Radiographs in DICOM, radiographs in PNG with masks of the lungs, and CT."""
    folder = tmp_path_factory.mktemp("phantoms")
    draw_phantoms(folder / "dicom", patients=12, size=96, seed=5)
    draw_phantoms(folder / "png", patients=12, size=96, seed=5, truth="lungs")
    draw_ct_phantoms(folder / "ct", patients=6, size=48, seed=5)
    return folder


@pytest.fixture(scope="module")
def studies(phantoms, tmp_path_factory):
    """A file of each kind; the image's id is the file's name without extension."""
    folder = tmp_path_factory.mktemp("studies")
    shutil.copy(sorted((phantoms / "png" / "images").glob("*.png"))[0], folder / "picture.png")
    with Image.open(sorted((phantoms / "png" / "images").glob("*.png"))[1]) as picture:
        picture.convert("L").save(folder / "photograph.jpeg", quality=95)
        grey = np.asarray(picture.convert("L"), np.float32)
    shutil.copy(sorted((phantoms / "dicom" / "stage_2_train_images").glob("*.dcm"))[0], folder / "radiograph.dcm")
    nibabel.save(nibabel.Nifti1Image(grey.T[..., None], np.diag([-0.3, -0.3, 1, 1])), folder / "slice.nii.gz")
    reader = LoadImage(reader=CTReader(), image_only=True)
    series = sorted((phantoms / "ct" / "train_images").glob("*/*"))[1]
    volume = reader(series)
    nibabel.save(nibabel.Nifti1Image(np.asarray(volume), np.asarray(volume.affine)), folder / "volume.nii.gz")
    return folder


@pytest.fixture(scope="module")
def predicted(bundles, tmp_path_factory):
    """What ``python -m pipelines predict`` makes of a folder: the masks' folder."""

    def predict(bundle, images):
        out = tmp_path_factory.mktemp("predicted")
        command = [sys.executable, "-m", "pipelines", "predict", str(bundles / bundle), "--input", str(images)]
        subprocess.run([*command, "--output", str(out), "--format", "nifti"], cwd=ROOT, check=True)
        return out

    return predict


def array_of(content, suffix, tmp_path):
    """What a client sees in a mask: (x, y) or (x, y, z)."""
    if suffix == ".png":
        return np.asarray(Image.open(io.BytesIO(content))).T
    (tmp_path / "mask.nii.gz").write_bytes(content)
    return np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj)


def mask_in(folder, name):
    (path,) = folder.rglob(f"{name}_mask.nii.gz")
    return np.asarray(nibabel.load(path).dataobj).squeeze()


def send(path):
    return {"files": {"file": (path.name, path.read_bytes())}}


# A folder of images -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_files(serve, studies):
    return serve(BUNDLES, studies)


def test_every_bundle_is_served_with_its_labels(of_files):
    models = of_files.good("GET", "/info/").json()["models"]
    assert set(models) == set(BUNDLES)
    assert models["lungs"]["labels"] == {"lungs": 1}
    assert models["abdomen"]["labels"]["spleen"] == 2


@pytest.mark.parametrize(
    ("bundle", "image", "suffix"),
    [
        ("lungs", "picture", ".png"),
        ("lungs", "photograph", ".png"),  # a mask in JPEG would be blurred
        ("lungs", "radiograph", ".nii.gz"),
        ("lungs", "slice", ".nii.gz"),
        ("opacity", "picture", ".png"),
        ("opacity", "radiograph", ".nii.gz"),
        ("pneumonia", "radiograph", ".nii.gz"),
        ("pneumonia", "slice", ".nii.gz"),
        ("abdomen", "volume", ".nii.gz"),
    ],
)
def test_masks_are_those_of_the_bundle_pixel_by_pixel(of_files, studies, predicted, tmp_path, bundle, image, suffix):
    answer = of_files.good("POST", f"/infer/{bundle}?image={image}&output=image", data={"params": "{}"})
    mask = array_of(answer.content, suffix, tmp_path)
    one = tmp_path / "one"
    one.mkdir()
    (file,) = studies.glob(f"{image}.*")
    shutil.copy(file, one)
    expected = mask_in(predicted(bundle, one), image)
    assert np.array_equal(mask.squeeze(), expected)
    assert expected.any() or bundle == "pneumonia"  # which may see nothing in lungs that are drawn
    if image in ("slice", "volume"):  # in its place, and with its third axis
        source = nibabel.load(file)
        assert mask.shape == source.shape
        np.testing.assert_allclose(nibabel.load(tmp_path / "mask.nii.gz").affine, source.affine, atol=1e-4)


def test_an_uploaded_file_and_a_series_by_its_folder(of_files, phantoms, studies, predicted, tmp_path):
    upload = of_files.good("POST", "/infer/lungs?output=image", data={"params": "{}"}, **send(studies / "picture.png"))
    stored = of_files.good("POST", "/infer/lungs?image=picture&output=image", data={"params": "{}"})
    assert upload.content == stored.content
    series = sorted((phantoms / "ct" / "train_images").glob("*/*"))[0]
    answer = of_files.good("POST", f"/infer/abdomen?image={series}&output=image", data={"params": "{}"})
    mask = array_of(answer.content, ".nii.gz", tmp_path)
    assert np.array_equal(mask, mask_in(predicted("abdomen", series), series.name))


def test_what_cannot_be_predicted_is_refused_with_a_message(of_files):
    unknown = of_files("POST", "/infer/lungs?image=nobody&output=image", data={"params": "{}"})
    assert unknown.status_code == 404
    assert "nobody: no image of the store has this ID. GET /datastore/?output=all" in unknown.json()["detail"]
    volume = of_files("POST", "/infer/lungs?image=volume&output=image", data={"params": "{}"})
    assert volume.status_code == 400 and "volume.nii.gz" in volume.json()["detail"]


# Batches, labels, training, active learning -------------------------------------------------------------------------


def weights_of(bundles, name):
    return (bundles / name / "models" / "model.pt").read_bytes()


def trained(server, name, epochs):
    """Train on the labels in the store, by the server's own run."""
    request = {"max_epochs": epochs, "val_split": 0.25, "device": "cpu"}
    server.good("POST", f"/train/{name}?run_sync=true", json=request)


def check_that_nothing_is_lost(bundles, name, before, epochs=2):
    """The weights from before are there, and are in use unless others were validated to be better."""
    models = bundles / name / "models"
    rows = (bundles / name / "eval" / "training.csv").read_text().splitlines()
    assert len(rows) == 1 + epochs, rows
    if weights_of(bundles, name) == before:
        return False
    assert (models / "model.previous.pt").read_bytes() == before
    assert json.loads((models / "model.json").read_text())["trained_on"].endswith("images without a manifest")
    return True


@pytest.fixture(scope="module")
def of_radiographs(serve, phantoms, tmp_path_factory):
    """Radiographs in DICOM, of one kind, as a store for labelling has them."""
    folder = tmp_path_factory.mktemp("radiographs")
    for number, file in enumerate(sorted((phantoms / "dicom" / "stage_2_train_images").glob("*.dcm"))):
        shutil.copy(file, folder / f"image{number:02}.dcm")
    return serve(("lungs", "pneumonia", "opacity"), folder), folder


def test_batch_inference_keeps_a_label_of_every_image(of_radiographs, phantoms, predicted):
    server, folder = of_radiographs
    server.good("POST", "/batch/infer/lungs?images=all&run_sync=true", json={"multi_gpu": False})
    masks = predicted("lungs", phantoms / "dicom" / "stage_2_train_images")
    names = [file.stem for file in sorted((phantoms / "dicom" / "stage_2_train_images").glob("*.dcm"))]
    kept = sorted((folder / "labels" / "original").glob("*.nii.gz"))
    assert len(kept) == 12
    for file, name in zip(kept, names, strict=True):
        assert np.array_equal(np.asarray(nibabel.load(file).dataobj).squeeze(), mask_in(masks, name))


def test_the_least_sure_image_is_the_next_to_label(of_radiographs):
    server, _ = of_radiographs
    server.good("POST", "/scoring/lungs?run_sync=true", json={"max_workers": 1})
    objects = server.good("GET", "/datastore/?output=all").json()["objects"]
    scores = {name: entry["image"]["info"]["epistemic_entropy"] for name, entry in objects.items()}
    assert len(scores) == 12 and all(0 < score < 1 for score in scores.values()) and len(set(scores.values())) > 6
    chosen = server.good("POST", "/activelearning/epistemic", json={}).json()
    assert chosen["id"] == max(scores, key=scores.get)


@pytest.mark.parametrize("name", ["lungs", "pneumonia", "opacity"])
def test_training_from_labels_in_the_store(of_radiographs, bundles, phantoms, name):
    server, _ = of_radiographs
    for number, file in enumerate(sorted((phantoms / "png" / "masks").glob("*.png"))[:8]):
        mask = (np.asarray(Image.open(file).convert("L")) > 127).astype(np.uint8)  # as drawing tools write it
        content = io.BytesIO()
        Image.fromarray(mask).save(content, format="png")
        label = {"label": ("label.png", content.getvalue())}
        server.good("PUT", f"/datastore/label?image=image{number:02}", data={"params": "{}"}, files=label)
    before = weights_of(bundles, name)
    epochs = 40 if name == "pneumonia" else 2  # of a step each: averaged weights follow slowly
    trained(server, name, epochs)
    better = check_that_nothing_is_lost(bundles, name, before, epochs)
    assert better or name != "pneumonia"  # two epochs are few; forty beat untrained weights
    assert not (bundles / name / "phantoms").exists()  # what is not asked for is not drawn
    # what was trained is what answers now
    server.good("POST", f"/infer/{name}?image=image00&output=image", data={"params": "{}"})


def test_training_from_volumes(serve, bundles, phantoms, tmp_path):
    folder = tmp_path / "volumes"
    (folder / "labels" / "final").mkdir(parents=True)
    reader = LoadImage(reader=CTReader(), image_only=True)
    for series in sorted((phantoms / "ct" / "train_images").glob("*/*"))[:4]:
        volume = reader(series)
        image = nibabel.Nifti1Image(np.asarray(volume), np.asarray(volume.affine))
        nibabel.save(image, folder / f"{series.name}.nii.gz")
        shutil.copy(phantoms / "ct" / "segmentations" / f"{series.name}.nii.gz", folder / "labels" / "final")
    server = serve(["abdomen"], folder)
    before = weights_of(bundles, "abdomen")
    trained(server, "abdomen", epochs=2)
    check_that_nothing_is_lost(bundles, "abdomen", before)


# A DICOM store ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(orthanc, phantoms, write_plain):
    """A radiograph of MONOCHROME1 without geometry, and a CT series, in the store; their files."""
    files = {"radiograph": [write_plain]}
    files["ct"] = sorted(sorted((phantoms / "ct" / "train_images").glob("*/*"))[1].iterdir())
    for file in files["radiograph"] + files["ct"]:
        orthanc.good("POST", "/instances", data=file.read_bytes())
    return files


@pytest.fixture(scope="module")
def write_plain(phantoms, tmp_path_factory):
    dataset = pydicom.dcmread(sorted((phantoms / "dicom" / "stage_2_train_images").glob("*.dcm"))[3])
    values = dataset.pixel_array
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.PixelData = (255 - values).tobytes()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset["PixelData"].is_undefined_length = False
    dataset.WindowCenter, dataset.WindowWidth = 120, 180  # what a conversion that knows no window would not show
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = tmp_path_factory.mktemp("plain") / "plain.dcm"
    dataset.save_as(path)
    return path


@pytest.fixture(scope="module")
def of_store(serve, orthanc, stored):
    return serve(BUNDLES, f"{orthanc.url}/dicom-web")


def series_of(files):
    return str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)


def segmentations_in(orthanc, study):
    found = [
        orthanc.good("GET", f"/instances/{name}/file").content for name in orthanc.good("GET", "/instances").json()
    ]
    datasets = [pydicom.dcmread(io.BytesIO(content)) for content in found]
    return [d for d in datasets if d.Modality == "SEG" and d.StudyInstanceUID == study]


@pytest.mark.parametrize(("kind", "bundle"), [("radiograph", "lungs"), ("radiograph", "opacity"), ("ct", "abdomen")])
def test_a_series_in_the_store_gets_its_mask_and_keeps_it(
    of_store, orthanc, stored, predicted, bundles, tmp_path, kind, bundle
):
    files = stored[kind]
    series = series_of(files)
    assert of_store.good("GET", "/datastore/").json()["total"] >= 2
    answer = of_store.good("POST", f"/infer/{bundle}?image={series}&output=image", data={"params": "{}"})
    mask = array_of(answer.content, ".nii.gz", tmp_path)
    expected = mask_in(predicted(bundle, files[0].parent), "plain" if kind == "radiograph" else files[0].parent.name)
    assert np.array_equal(mask.squeeze(), expected)
    assert expected.any() or bundle == "pneumonia"  # which may see nothing in lungs that are drawn

    # saved by a person, it is a DICOM Segmentation of its image, in the image's study
    segments = json.loads((bundles / bundle / "configs" / "metadata.json").read_text())["dicom_segments"]
    info = {"label_info": [{"name": segment["label"]} for segment in segments]}
    (tmp_path / "label.nii.gz").write_bytes(answer.content)
    label = {"label": ("label.nii.gz", answer.content)}
    data = {"params": json.dumps(info)}
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    before = {d.SOPInstanceUID for d in segmentations_in(orthanc, header.StudyInstanceUID)}
    of_store.good("PUT", f"/datastore/label?image={series}", data=data, files=label)
    (seg,) = [d for d in segmentations_in(orthanc, header.StudyInstanceUID) if d.SOPInstanceUID not in before]
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series
    sources = [item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    uids = {pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID: file for file in files}
    assert set(sources) == set(uids)
    codes = [item.SegmentedPropertyTypeCodeSequence[0].CodeValue for item in seg.SegmentSequence]
    assert codes == [segment["type"][0] for segment in segments]
    assert (bundle == "lungs") == (codes == [LUNGS_CODE])
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"SEMIAUTOMATIC"}

    # frame by frame it marks on each image what the mask marks there
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    order = {
        file: number for number, file in enumerate(CTReader().open(files[0].parent).files if len(files) > 1 else files)
    }
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        plane = mask.reshape(*expected.shape[:2], -1)[..., order[uids[source]]]
        assert np.array_equal(frame, (plane == number).T)


def test_the_labels_of_the_store_are_what_training_gets(of_store, orthanc, stored):
    """Drawn in a viewer that sends voxels alone; read back from the store; and gone where it is deleted there."""
    (file,) = stored["radiograph"]
    series, header = series_of([file]), pydicom.dcmread(file, stop_before_pixels=True)
    mask = np.zeros((header.Columns, header.Rows, 1), np.uint8)
    mask[5:40, 10:70] = 1
    label = {"label": ("label.bin", mask.tobytes(order="F"))}
    data = {"params": json.dumps({"label_info": [{"name": "lungs"}]})}
    of_store.good("PUT", f"/datastore/label?image={series}", data=data, files=label)
    pairs = {Path(p["image"]).name: p for p in of_store.good("GET", "/datastore/?output=train").json()}
    assert np.array_equal(np.asarray(nibabel.load(pairs[f"{series}.nii.gz"]["label"]).dataobj), mask)
    for name in orthanc.good("GET", "/series").json():
        if orthanc.good("GET", f"/series/{name}").json()["MainDicomTags"]["Modality"] == "SEG":
            orthanc.good("DELETE", f"/series/{name}")
    assert of_store.good("GET", "/datastore/?output=train").json() == []
    request = {"max_epochs": 1, "val_split": 0.5, "device": "cpu"}
    assert not of_store("POST", "/train/lungs?run_sync=true", json=request).ok
    assert of_store.said("the store has no segmentation with a segment of lungs that a person took part in")


def test_no_patient_is_named_in_the_log(of_store, stored):
    header = pydicom.dcmread(stored["radiograph"][0], stop_before_pixels=True)
    log = of_store.log.read_text()
    assert len(str(header.PatientID)) > 8 and str(header.PatientID) not in log
    assert str(header.PatientName) not in log


def test_a_label_without_a_name_is_refused_with_the_names_to_give(of_store, stored):
    series = series_of(stored["radiograph"])
    answer = of_store.good("POST", f"/infer/lungs?image={series}&output=image", data={"params": "{}"})
    label = {"label": ("label.nii.gz", answer.content)}
    refused = of_store("PUT", f"/datastore/label?image={series}", data={"params": "{}"}, files=label)
    assert refused.status_code == 400
    assert "Give label_info with a name for each value, in their order, of: lungs" in refused.json()["detail"]


def test_an_unknown_series_and_a_ct_for_lungs_are_refused_with_a_message(of_store, stored):
    unknown = of_store("POST", "/infer/lungs?image=1.2.3.4&output=image", data={"params": "{}"})
    assert unknown.status_code == 404 and "1.2.3.4: no image of the store has this ID" in unknown.json()["detail"]
    series = series_of(stored["ct"])
    ct = of_store("POST", f"/infer/lungs?image={series}&output=image", data={"params": "{}"})
    assert ct.status_code == 400 and ct.json()["detail"].count(series) == 1


@pytest.mark.real
def test_real_radiograph_and_ct_in_the_store(of_store, orthanc, real_data, predicted, tmp_path):
    """The CT's UIDs, which whoever published it took out, are put back."""
    for folder in ("cr", "ct"):
        (tmp_path / folder).mkdir()
    shutil.copy(next((real_data / "rsna").glob("1.2*.dcm")), tmp_path / "cr" / "cr.dcm")
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "FrameOfReferenceUID": "1.2.5"}
    for number, file in enumerate(sorted((real_data / "ct" / "example_ct_dicom").iterdir())):
        dataset = pydicom.dcmread(file)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        for tag, value in uids.items():
            setattr(dataset, tag, value)
        dataset.decompress()  # Orthanc hands out what it can transcode, and JPEG 2000 it cannot
        dataset.save_as(tmp_path / "ct" / f"{number}.dcm")
    for bundle, folder, name in (("lungs", "cr", "cr"), ("abdomen", "ct", "ct")):
        files = sorted((tmp_path / folder).iterdir())
        for file in files:
            orthanc.good("POST", "/instances", data=file.read_bytes())
        answer = of_store.good("POST", f"/infer/{bundle}?image={series_of(files)}&output=image", data={"params": "{}"})
        mask = array_of(answer.content, ".nii.gz", tmp_path)
        assert np.array_equal(mask.squeeze(), mask_in(predicted(bundle, tmp_path / folder), name))
