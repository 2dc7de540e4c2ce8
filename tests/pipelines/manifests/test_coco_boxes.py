"""Manifests from images and boxes in COCO's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.data import MetaTensor
from PIL import Image

from pipelines.__main__ import main
from pipelines.manifests.coco_boxes import build_coco_manifest
from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.splits import SPLITS
from transforms import BoxesToMaskd, DataError, RadiographReader, boxes_to_mask

FOUR, SEVEN, NODULE = {"id": 4, "name": "pneumonia"}, {"id": 7, "name": "effusion"}, {"id": 9, "name": "nodule"}


def box(image_id, bbox, category_id=4, **more):
    return {"id": 100, "image_id": image_id, "category_id": category_id, "bbox": bbox, "iscrowd": 0} | more


@pytest.fixture
def coco(tmp_path):
    """Twelve images of 8 columns and 6 rows in a folder, and their annotations beside it, that a test may change."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    names = [f"{number}.png" for number in range(10)] + ["sub/10.jpg", "sub/0.png"]
    for name in names:
        picture = Image.new("L", (8, 6), 100)
        picture.putpixel((7, 5), 90)
        picture.save(folder / name)
    images = [{"id": 50 + n, "file_name": name, "width": 8, "height": 6} for n, name in enumerate(names)]
    annotations = [
        box(50, [5, 1, 2, 4]),
        box(50, [0.5, 0, 3.25, 2]),
        box(51, [0, 0, 8, 6], 7),
        box(60, [6, 4, 5, 5]),  # beyond the edge: clipped, as everywhere
        box(61, [1, 1, 1, 1], 9),
    ]
    return {"images": images, "annotations": annotations, "categories": [FOUR, SEVEN, NODULE]}


def build(tmp_path, coco, **settings):
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    settings = {"task": "pneumonia", "unknown_spacing": "pixels"} | settings
    build_coco_manifest(tmp_path / "images", tmp_path / "m.json", tmp_path / "boxes.json", **settings)
    manifest = read_manifest(tmp_path / "m.json")
    return {entry["image"]: entry for split in SPLITS for entry in manifest[split]}


def test_boxes_of_each_image(tmp_path, coco):
    found = build(tmp_path, coco)
    boxes = {name: entry["boxes"] for name, entry in found.items()}
    assert boxes == {f"{number}.png": [] for number in range(2, 10)} | {
        "0.png": [[5, 1, 2, 4], [0.5, 0, 3.25, 2]],
        "1.png": [[0, 0, 8, 6]],
        "sub/10.jpg": [[6, 4, 5, 5]],
        "sub/0.png": [[1, 1, 1, 1]],
    }
    assert len({entry["patient_id"] for entry in found.values()}) == 12


def test_command_with_categories(tmp_path, coco):
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    command = ["manifest", "coco", str(tmp_path / "images"), "--annotations", str(tmp_path / "boxes.json")]
    command += ["--task", "any", "--out", str(tmp_path / "m.json"), "--unknown_spacing", "pixels"]
    assert main([*command, "--categories", "effusion", "nodule"]) == 0
    manifest = read_manifest(tmp_path / "m.json")
    assert (manifest["name"], manifest["task"]) == ("coco", "any")
    assert manifest["split"] == "by image, 0.7 / 0.15 / 0.15, stratified by class and boxes"
    positive = {entry["image"] for split in SPLITS for entry in manifest[split] if entry["boxes"]}
    assert positive == {"1.png", "sub/0.png"}
    assert main([*command, "--categories", "cardiomegaly"]) == 1


def test_a_mask_made_of_the_manifest_is_where_the_boxes_are(tmp_path, coco):
    """To the reader's array and through the transform of the bundles; by hand, with rows first."""
    coco["annotations"] = [box(image["id"], [5, 1, 2, 4]) for image in coco["images"]]
    build(tmp_path, coco)
    entry = datalist(tmp_path / "m.json", tmp_path / "images", "training", task="pneumonia")[0]
    image, _ = RadiographReader("pixels").get_data(Path(entry["image"]))
    label = BoxesToMaskd()({"image": MetaTensor(image[None]), "boxes": entry["boxes"]})["label"][0].numpy().T
    expected = np.zeros((6, 8))
    expected[1:5, 5:7] = 1
    np.testing.assert_array_equal(label, expected)


def test_as_pycocotools_reads_it(tmp_path, coco):
    api = pytest.importorskip("pycocotools.coco")
    rle = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for image in coco["images"]:
        for category in rng.choice([4, 7, 9], rng.integers(4)):
            corner = rng.integers(0, (8, 6))
            extent = rng.integers(1, np.array([8, 6]) - corner + 1)
            coco["annotations"].append(box(image["id"], [*corner.tolist(), *extent.tolist()], int(category)))
    for number, annotation in enumerate(coco["annotations"], 1):
        annotation |= {"id": number, "area": 1}
    found = build(tmp_path, coco, categories=["pneumonia", "nodule"])
    read = api.COCO(str(tmp_path / "boxes.json"))
    chosen = read.getCatIds(catNms=["pneumonia", "nodule"])
    assert len(read.imgs) == len(found) == 12
    for image in read.loadImgs(read.getImgIds()):
        boxes = [a["bbox"] for a in read.loadAnns(read.getAnnIds(imgIds=image["id"], catIds=chosen, iscrowd=False))]
        entry = found[image["file_name"]]
        assert entry["boxes"] == boxes
        whole = [b for b in boxes if all(float(v).is_integer() for v in b)]
        mask = np.zeros((6, 8), bool)
        for encoded in rle.frPyObjects(np.array(whole, float).reshape(-1, 4), 6, 8):
            mask |= rle.decode(encoded).astype(bool)
        np.testing.assert_array_equal(boxes_to_mask(whole, (8, 6)).T, mask)


def test_what_cannot_be_used_is_left_out_and_told(tmp_path, coco, caplog, write_dicom):
    images, boxes = coco["images"], coco["annotations"]
    (tmp_path / "images" / "2.png").unlink()
    Image.new("L", (8, 6)).save(tmp_path / "images" / "stranger.png")
    images[3] |= {"width": 6, "height": 8}
    images[5]["file_name"] = "4.png"
    boxes += [box(56, [0, 0, 1, 1], iscrowd=1), box(57, [8, 0, 3, 3]), box(58, [1, 1, 0, 3]), box(59, [1, 1, 3])]
    boxes += [box(999, [0, 0, 1, 1]), box(51, [0, 0, 8, 6], 7, iscrowd=1)]
    (tmp_path / "images" / "sub" / "10.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (tmp_path / "images" / "notes.csv").write_text("")
    write_dicom(np.zeros((6, 8), np.uint8), "images/film.dcm")
    images.append({"id": 1, "file_name": "./film.dcm", "width": 8, "height": 6})
    caplog.set_level("INFO")
    assert set(build(tmp_path, coco, categories=["pneumonia"])) == {"0.png", "1.png", "sub/0.png", "film.dcm"}
    for text in (
        "used 4, left out 11",
        "1  2.png: it is in boxes.json, but its file is missing",
        "2  5.png, stranger.png: it has no entry in boxes.json",
        "1  3.png: the file is of (8, 6) pixels, its entry says (6, 8)",
        "1  4.png: 2 images of boxes.json have its name",
        "1  6.png: it has the box of a crowd",
        "1  7.png: box [8, 0, 3, 3] covers no pixel of the image of 8 columns and 6 rows",
        "1  8.png: box [1, 1, 0, 3] has a width or height that is not positive",
        "1  9.png: box [1, 1, 3] is not four numbers",
        "1  sub/10.jpg: cannot be read as PNG or JPEG",
        "1  image_id 999: boxes.json has boxes on it, but no such image",
    ):
        assert text in caplog.text


def test_pictures_without_spacing_need_pixels(tmp_path, coco):
    with pytest.raises(DataError, match="12 left out, the first: 0.png: a PNG or JPEG file does not say its"):
        build(tmp_path, coco, unknown_spacing="refuse")


def test_patients_are_named_by_path_without_extension(tmp_path, coco):
    (tmp_path / "p.csv").write_text("image,patient\n0,a\n1,a\nsub/0,b\nsub/10,b\n")
    found = build(tmp_path, coco, patients=tmp_path / "p.csv")
    patient = {name: entry["patient_id"] for name, entry in found.items()}
    assert patient["0.png"] == patient["1.png"] != patient["sub/0.png"] == patient["sub/10.jpg"]
    assert len(set(patient.values())) == 10
    assert read_manifest(tmp_path / "m.json")["split"].startswith("by patient")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coco: coco.pop("categories"), r"cannot be read as COCO's annotations \(KeyError: 'categories'\)"),
        (lambda coco: coco["images"][0].pop("width"), "'width'.*must be JSON: images of id, file_name, width, height"),
        (lambda coco: coco["annotations"][0].pop("bbox"), "'bbox'"),
        (lambda coco: coco["images"][3].update(id=50), "two images have the id 50"),
        (lambda coco: coco["annotations"][0].update(category_id=3), "has boxes of category_id 3, but no such category"),
        (lambda coco: coco["categories"][0].update(name="other"), "no category pneumonia; it has other, effusion"),
    ],
)
def test_annotations_that_are_not_as_they_must_be(tmp_path, coco, change, message):
    change(coco)
    with pytest.raises(DataError, match=f"boxes.json: .*{message}"):
        build(tmp_path, coco, categories=["pneumonia"])


def test_annotations_that_are_missing_or_another_file(tmp_path):
    (tmp_path / "images").mkdir()
    for text in ("[]", "patientId,x,y", "[1]"):
        (tmp_path / "boxes.json").write_text(text)
        with pytest.raises(DataError, match="boxes.json: cannot be read as COCO's annotations"):
            build_coco_manifest(tmp_path / "images", tmp_path / "m.json", tmp_path / "boxes.json", task="t")
    with pytest.raises(DataError, match="gone.json: cannot be read"):
        build_coco_manifest(tmp_path / "images", tmp_path / "m.json", tmp_path / "gone.json", task="t")
