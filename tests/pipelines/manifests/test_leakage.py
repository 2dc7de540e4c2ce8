"""The same image in two splits: copies in other forms are found, images of other people are not."""

from __future__ import annotations

import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import Trainer
from PIL import Image

from pipelines import LeakageAudit, datalist, draw_phantoms
from pipelines.manifests.leakage import audit, find_leaks
from pipelines.manifests.splits import SPLITS
from transforms import DataError, RadiographReader


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Radiographs of twelve phantoms, as PNG."""
    folder = tmp_path_factory.mktemp("leakage")
    draw_phantoms(folder / "drawn", patients=12, size=128, truth="boxes")
    reader = RadiographReader()
    for number, file in enumerate(sorted((folder / "drawn").rglob("*.dcm"))[:12]):
        pixels = reader.get_data(reader.read(file))[0].squeeze().T
        Image.fromarray((255 * pixels).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def manifest(folder, **splits):
    """A manifest with these images by split."""
    head = {"manifest_version": 1, "name": "n", "task": "t", "source": "s", "licence": "l", "seed": 0, "split": "s"}
    lists = {
        split: [{"image": image, "patient_id": f"{split}{i}", "boxes": []} for i, image in enumerate(splits[split])]
        for split in SPLITS
    }
    (folder / "manifest.json").write_text(json.dumps(head | lists))
    return folder / "manifest.json"


def brightened(picture):
    return Image.fromarray((255 * (np.asarray(picture) / 255) ** 0.6).astype(np.uint8))


def deeper(picture):
    return Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda picture: picture, "copy.png"),
        (lambda picture: picture.resize((90, 90), Image.Resampling.BICUBIC), "smaller.png"),
        (lambda picture: picture.resize((200, 128)), "wider.png"),
        (lambda picture: picture, "copy.jpg"),
        (brightened, "gamma.png"),
        (deeper, "16 bits.png"),
    ],
)
def test_a_copy_in_another_form_is_found(pictures, tmp_path, change, name):
    for number in range(12):
        shutil.copyfile(pictures / f"{number}.png", tmp_path / f"{number}.png")
    changed = change(Image.open(tmp_path / "3.png"))
    changed.save(tmp_path / name, **({"quality": 60} if name.endswith("jpg") else {}))
    path = manifest(
        tmp_path,
        training=[f"{i}.png" for i in range(6)],
        validation=["6.png", "7.png"],
        test=["8.png", "9.png", name, "10.png"],
    )
    (leak,) = find_leaks(path, tmp_path)
    assert (leak.first, leak.second, leak.images) == (("training", 3), ("test", 2), ("3.png", name))
    assert (leak.alike == 1) == (name in ("copy.png", "16 bits.png"))  # bit depth changes no value


def test_what_is_said_of_it_and_what_is_kept(pictures, tmp_path, caplog):
    path = manifest(pictures, training=["0.png", "1.png"], validation=["2.png"], test=["1.png", "3.png"])
    with caplog.at_level(logging.WARNING):
        assert len(audit(path, pictures, tmp_path)) == 1
    assert "1.png" not in caplog.text and "training[1] and test[0]: the same pixels" in caplog.text
    with pytest.raises(DataError, match="1 pairs of entries in different splits hold one image"):
        audit(path, pictures, tmp_path, strict=True)
    kept = (tmp_path / "compared.npz").stat().st_mtime_ns
    assert len(find_leaks(path, pictures, tmp_path)) == 1 and (tmp_path / "compared.npz").stat().st_mtime_ns == kept
    whole = (tmp_path / "compared.npz").read_bytes()
    for damaged in (b"damaged", b"", whole[:-40]):
        (tmp_path / "compared.npz").write_bytes(damaged)
        assert len(find_leaks(path, pictures, tmp_path)) == 1
    path = manifest(pictures, training=["0.png", "1.png"], validation=["2.png"], test=["4.png", "3.png"])
    assert audit(path, pictures, tmp_path, strict=True) == []


def test_a_training_says_it_before_the_first_epoch(pictures, tmp_path, caplog):
    """Whether of a manifest; what a program gives without one is not looked at."""
    path = manifest(pictures, training=["0.png"], validation=["2.png"], test=["0.png", "3.png"])
    entries = datalist(path, pictures, "test")

    def run(data, strict):
        trainer = Trainer(torch.device("cpu"), 1, DataLoader(Dataset(data), batch_size=None))
        LeakageAudit(tmp_path, strict).attach(trainer)
        trainer.add_event_handler(Events.STARTED, trainer.terminate)
        trainer.run()

    run(entries, strict=False)
    assert "training[0] and test[0]: the same pixels" in caplog.text
    with pytest.raises(DataError, match="1 pairs of entries in different splits hold one image"):
        run(entries, strict=True)
    run(list(entries), strict=True)


def test_what_cannot_be_read_is_left_to_the_training(pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shutil.copyfile(pictures / "0.png", tmp_path / "0.png")
    path = manifest(tmp_path, training=["0.png", "broken.png"], validation=["gone.png"], test=["0.png"])
    assert [leak.images for leak in find_leaks(path, tmp_path)] == [("0.png", "0.png")]


def test_volumes_are_compared_by_their_files(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.dcm").write_bytes(content)
    path = manifest(tmp_path, training=["a"], validation=["b"], test=["c"])
    assert [leak.images for leak in find_leaks(path, tmp_path)] == [("a", "c")]


def test_a_slice_written_over_is_read_again(tmp_path):
    """The folder's own time does not tell, and so what was kept of it would be taken for what it holds now."""
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.dcm").write_bytes(content)
    path = manifest(tmp_path, training=["a"], validation=["b"], test=["c"])
    assert find_leaks(path, tmp_path, tmp_path / "cache") == []
    before = (tmp_path / "c").stat()
    (tmp_path / "c" / "0.dcm").write_bytes(b"1")
    os.utime(tmp_path / "c", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [leak.images for leak in find_leaks(path, tmp_path, tmp_path / "cache")] == [("a", "c")]


@pytest.mark.real
@pytest.mark.slow
def test_real_radiographs(real_data, tmp_path):
    """566 of as many people are all different; of 152 that are there as DICOM and as pictures, each is found."""
    shenzhen, dicom, pictures = (
        sorted(str(path.relative_to(real_data)) for path in (real_data / folder).iterdir())
        for folder in ("shenzhen/images", "rsna_like/stage_2_train_images", "opacity/images")
    )
    thirds = [shenzhen[part::3] for part in range(3)]
    assert find_leaks(manifest(tmp_path, **dict(zip(SPLITS, thirds, strict=True))), real_data, tmp_path) == []
    leaks = find_leaks(manifest(tmp_path, training=dicom, validation=pictures, test=shenzhen), real_data, tmp_path)
    assert {leak.images[0] for leak in leaks if leak.first[0] == "training"} == set(dicom)
