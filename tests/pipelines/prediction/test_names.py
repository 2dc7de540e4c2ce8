"""Names of images that nobody is to learn: not from outputs, log and records; only the mapping tells."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat

import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.prediction.names import HashedNames
from tests.running import bundle_of
from transforms import DataError

WORDS = ("mueller", "hans", "19500117", "ward", "smith")  # in all names of files and folders here
HASHED = re.compile(r"[0-9a-f]{16}(/[0-9a-f]{16}(\.dcm|\.png|\.nii\.gz)?)?")


@pytest.fixture
def weights(tmp_path_factory):
    """Of the network of the bundle ``lungs``, untrained."""
    import torch

    path = tmp_path_factory.mktemp("weights") / "lungs.pt"
    torch.manual_seed(0)
    network = bundle_of("lungs").read(["inference"]).get_parsed_content("network_def")
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def tree(tmp_path, cohort):
    """Images named after patients, of each kind of what can become of a file: done, failed, a copy, no image."""
    root = tmp_path / "in"
    (root / "ward_smith").mkdir(parents=True)
    first, second, third = sorted((cohort / "stage_2_train_images").iterdir())[:3]
    shutil.copy(first, root / "mueller_hans_19500117.dcm")
    shutil.copy(second, root / "ward_smith" / "hans.19500117")
    shutil.copy(second, root / "ward_smith" / "hans_again.dcm")
    (root / "ward_smith" / "smith_cut.dcm").write_bytes(third.read_bytes()[:1500])
    (root / "ward_smith" / "mueller_notes.txt").write_text("notes")
    Image.linear_gradient("L").resize((64, 48)).save(root / "ward_smith" / "smith.PNG")
    (root / "ward_smith" / "hans.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (root / ".hidden_smith").write_text("")
    return root


@pytest.fixture
def predicted(tree, tmp_path, weights, capsys, caplog):
    """Predicts by the command; gives all that it wrote and said."""

    def run(*options):
        line = ["predict", "lungs", "--input", tree, "--output", tmp_path / "out", "--weights", weights]
        line += ["--image_size", 32]
        caplog.clear()
        with caplog.at_level("DEBUG"):
            code = main(list(map(str, [*line, *options])))
        out = tmp_path / "out"
        written = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        return code, written, caplog.text + "".join(capsys.readouterr())

    return run


def test_a_tree_of_links_says_nothing_of_names(tree, tmp_path):
    with HashedNames(tree, tmp_path / "out") as names:
        links = {str(path.relative_to(names.tree)): path for path in names.tree.rglob("*")}
        assert all(HASHED.fullmatch(name) for name in links)
        told = json.loads(names.mapping.read_text())["names"]
        assert told.keys() == links.keys()
        for name, path in links.items():
            original = tree / told[name]
            assert path.is_dir() if original.is_dir() else path.read_bytes() == original.read_bytes()
        assert sum(path.is_file() for path in links.values()) == 7  # the hidden one is not looked at
        assert stat.S_IMODE(names.tree.stat().st_mode) == 0o700
    assert not names.tree.exists() and tree.is_dir() and len(list(tree.rglob("*"))) == 9


def test_the_mapping_is_for_its_owner_and_keeps_names_from_run_to_run(tree, tmp_path):
    def names_of(folder, out):
        with HashedNames(folder, out) as names:
            assert stat.S_IMODE(names.mapping.stat().st_mode) == 0o600
            return json.loads(names.mapping.read_text())

    first = names_of(tree, tmp_path / "out")
    moved = tree.rename(tmp_path / "moved")
    (moved / "smith_new.dcm").write_bytes(b"")
    again = names_of(moved, tmp_path / "out")
    assert first["key"] == again["key"] and first["names"].items() < again["names"].items()
    other = names_of(moved, tmp_path / "other")
    assert not set(other["names"]) & set(again["names"])  # another key: nobody can compare


def test_a_killed_runs_links_are_replaced(tree, tmp_path):
    names = HashedNames(tree, tmp_path / "out")
    names.__enter__()
    with HashedNames(tree, tmp_path / "out"):
        pass
    assert not names.tree.exists()


def test_outputs_that_lie_among_the_images_are_no_images(tree):
    with HashedNames(tree, tree / "out") as first:
        (tree / "out").mkdir()
        (tree / "out" / "mask.png").write_bytes(b"")
    with HashedNames(tree, tree / "out") as names:
        assert json.loads(names.mapping.read_text())["names"] == json.loads(first.mapping.read_text())["names"]
        assert not any("out" in name for name in json.loads(names.mapping.read_text())["names"].values())


def test_names_need_not_be_text(tmp_path):
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/m\xfcller.dcm", "wb") as file:
        file.write(b"x")
    with HashedNames(tmp_path / "in", tmp_path / "out") as names:
        (path,) = names.tree.rglob("*.dcm")
        told = json.loads(names.mapping.read_text())["names"]
        assert path.read_bytes() == b"x" and os.fsencode(told[str(path.relative_to(names.tree))]) == b"m\xfcller.dcm"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": "x", "names": {}}', '{"key": "00", "names": []}'])
def test_a_damaged_mapping_is_refused(tree, tmp_path, content):
    (tmp_path / "out.names.json").write_text(content)
    with pytest.raises(DataError, match=r"out\.names\.json: is no mapping of names"):
        HashedNames(tree, tmp_path / "out").__enter__()
    assert not (tmp_path / "out.names").exists()


def test_missing_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="in: no such folder"):
        HashedNames(tmp_path / "in", tmp_path / "out").__enter__()


# By the command ------------------------------------------------------------------------------------------------------


def test_nothing_that_is_written_or_said_names_an_image(predicted, tmp_path):
    code, written, said = predicted("--names", "hash", "--format", "seg")
    assert code == 1  # one is cut short
    everything = said + "".join(written) + "".join(data.decode("latin-1") for data in written.values())
    assert not [word for word in WORDS if word in everything.lower()]
    summary = json.loads(written["summary.json"])
    assert len(summary["done"]) == 2 and len(summary["failed"]) == 1 and "a copy of" in str(summary["left_out"])
    told = json.loads((tmp_path / "out.names.json").read_text())["names"]
    masks = [name.removesuffix("_seg.dcm") for name in written if name.endswith("_seg.dcm")]
    originals = {told.get(name) or told[f"{name}.dcm"] for name in masks}
    assert len(masks) == 2
    assert originals < {"mueller_hans_19500117.dcm", "ward_smith/hans.19500117", "ward_smith/hans_again.dcm"}


def test_it_goes_on_where_it_was_stopped(predicted):
    _, first, _ = predicted("--names", "hash")
    _, second, said = predicted("--names", "hash")
    assert first.keys() == second.keys() and "3 of them before" in said


def test_by_their_own_names_the_masks_are_the_same(predicted, tmp_path):
    _, hashed, _ = predicted("--names", "hash")
    told = json.loads((tmp_path / "out.names.json").read_text())["names"]
    shutil.rmtree(tmp_path / "out")
    _, plain, _ = predicted()
    masks = {name: data for name, data in plain.items() if name.endswith("_mask.png")}
    assert sorted(masks.values()) == sorted(data for name, data in hashed.items() if name.endswith("_mask.png"))
    assert len(masks) == 3 and any("mueller" in name for name in masks) and told


def test_a_folder_that_names_images_already_is_refused(predicted, tmp_path, capsys):
    predicted()
    code, _, said = predicted("--names", "hash")
    assert code == 2 and "holds outputs by the images' own names" in said


def test_what_is_there_to_name_images_is_refused(tree, tmp_path, weights, capsys):
    line = ["predict", "pneumonia", "--input", tree, "--output", tmp_path / "out", "--weights", weights]
    assert main([*map(str, line), "--names", "hash", "--submission", str(tmp_path / "x.csv")]) == 2
    assert "leave out --names hash" in capsys.readouterr().err


def test_free_text_is_for_dicom(tree, tmp_path, weights, capsys):
    line = ["predict", "lungs", "--input", tree, "--output", tmp_path / "out", "--weights", weights]
    assert main([*map(str, line), "--keep-free-text"]) == 2
    assert "--keep-free-text is for DICOM outputs" in capsys.readouterr().err
