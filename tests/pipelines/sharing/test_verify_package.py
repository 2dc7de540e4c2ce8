"""What ``verify`` says of a package: nothing is run, and only what is not as in one's own bundle is shown."""

from __future__ import annotations

import json
import zipfile

import pytest

from pipelines.__main__ import main
from tests.pipelines.sharing.conftest import packaged, refusal
from tests.pipelines.sharing.tampering import entry, rewritten, with_config, with_file


def shown(path, caplog, *options):
    """The exit code, and the lines about files."""
    caplog.clear()
    with caplog.at_level("INFO"):
        code = main(["verify", str(path), *options])
    lines = "\n".join(caplog.messages).splitlines()
    assert lines[-1].endswith("nothing was run")
    return code, [line for line in lines[:-1] if "SHA-256" not in line and not line.startswith("signature")]


def test_ones_own_package_is_all_as_here(here, path, caplog):
    assert shown(path, caplog) == (0, [])
    assert "all as in bundles/small" in caplog.text


def test_five_changes_are_five_lines(here, path, caplog):
    """Among 500 values, two of them of one place that is inserted before others."""

    def change(config):
        config["learning_rate"] = 5
        config["imports"].insert(0, "$import os")
        config["train"]["random_transforms"].insert(0, {"_target_": "CopyItemsd", "keys": "image"})
        config["seed"] = "$os.getpid()"
        return config

    code, lines = shown(with_config(path, "train", change), caplog)
    before = json.loads((here / "configs" / "train.json").read_text())
    assert code == 1
    assert sorted(lines) == sorted(
        [
            "configs/train.json:",
            f"  - learning_rate: {json.dumps(before['learning_rate'])}",
            "  + learning_rate: 5",
            f"  - seed: {before['seed']}",
            "  + seed: $os.getpid()",
            "  + imports::0: $import os",
            "  + train::random_transforms::0::_target_: CopyItemsd",
            "  + train::random_transforms::0::keys: image",
        ]
    )


def test_an_overlay_shows_what_it_changes_alone(here, path, caplog):
    code, lines = shown(with_config(path, "usual_way", {"train#dataloader#num_workers": "$print(1)"}), caplog)
    assert (code, lines) == (1, ["configs/usual_way.json:", *lines[1:]])
    assert "  + train::dataloader::num_workers: $print(1)" in lines and len(lines) <= 3


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("networks/prepare.py", b"# more\n", "networks/prepare.py is another file"),
        ("data_manifests/README.md", b"more", "data_manifests/README.md is another file"),
        ("docs/README.md", b"more", "docs/README.md is another file"),
        ("README.md", b"more", "README.md is another file"),
        ("LICENSE", b"more", "LICENSE is another file"),
        ("sbom.cdx.json", b'{"bomFormat": "x"}', "  + bomFormat: x"),
        ("configs/logging.conf", b"[handler_x]\nclass=StreamHandler\n", "  + handler_x::class: StreamHandler"),
    ],
)
def test_any_file_that_is_not_as_here_is_named(here, path, caplog, name, data, line):
    code, lines = shown(with_file(path, name, data), caplog)
    assert code == 1 and line in lines


def test_files_that_only_one_of_both_has_are_named(here, path, caplog):
    extra = {"trap": "$print()", "note": "text", "net": {"_target_": "FlexibleUNet"}}
    more = [(entry("small/configs/extra.json"), json.dumps(extra).encode()), (entry("small/docs/x.txt"), b"x")]
    code, lines = shown(
        rewritten(path, lambda name, data: None if name.endswith("loss_sum.json") else data, more), caplog
    )
    assert code == 1
    assert lines == [
        *("configs/extra.json:", "  is only in the package", "  + trap: $print()", "  + net::_target_: FlexibleUNet"),
        *("configs/loss_sum.json is only here", "docs/x.txt is only in the package"),
    ]


def test_keys_in_another_order_are_said_to_be_so(here, path, caplog):
    code, lines = shown(with_config(path, "train", lambda config: dict(reversed(config.items()))), caplog)
    assert code == 1 and lines[0].startswith("configs/train.json")


def test_spaces_make_another_file_that_says_the_same(here, path, caplog):
    text = (here / "configs" / "metadata.json").read_bytes()
    code, lines = shown(with_file(path, "configs/metadata.json", text + b"\n\n"), caplog)
    assert (code, lines) == (1, ["configs/metadata.json says the same, written in another way"])


def test_where_there_is_no_such_bundle_all_code_is_shown(small_package, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.zip").write_bytes(small_package)
    code, lines = shown(tmp_path / "small.zip", caplog)
    assert code == 1
    assert "  + evaluator::_target_: SupervisedEvaluator" in lines and "  + run::0: $@evaluator.run()" in lines
    assert not [line for line in lines if line.startswith(("networks/", "pipelines/", "transforms/"))]  # as here


def test_text_that_would_change_the_terminal_is_shown_harmless(here, path, caplog):
    code, lines = shown(with_config(path, "train", {"trap": "$x\u202e\x1b[2K\r"}), caplog)
    assert code == 1 and "  + trap: $x\\u202e\\x1b[2K\\r" in lines


def test_python_beyond_the_list_is_refused_unless_it_is_allowed(here, path, capsys, caplog):
    evil = {"evil": {"command": "touch x"}, "other": {"_target_": "os.system", "command": "touch x"}}
    evil["image"] = {"_target_": "LoadImaged", "keys": "image", "reader": "subprocess.Popen"}
    with_config(path, "train", evil | {"evil2": {}})
    error = refusal(["verify", path], capsys)
    assert "names Python that no bundle of this project names" in error
    assert "configs/train.json: other::_target_: os.system\n" in error
    assert "configs/train.json: image::reader: subprocess.Popen\n" in error
    error = refusal(["verify", path, "--allow", "os.system"], capsys)
    assert "os.system" not in error and "subprocess.Popen" in error
    code, lines = shown(path, caplog, "--allow", "os.system", "--allow", "subprocess.Popen")
    assert code == 1 and "  + other::_target_: os.system" in lines


def test_the_trick_with_two_colons_is_refused(here, path, capsys):
    with_config(path, "inference", {"evil": {"command": "touch x"}, "evil::_target_": "os.system"})
    assert "evil::_target_ changes what evil of the same file says" in refusal(["verify", path], capsys)


def test_a_logging_configuration_that_runs_code_is_refused(here, path, capsys):
    text = (here / "configs" / "logging.conf").read_bytes()
    with_file(path, "configs/logging.conf", text + b"defaults={'x': __import__('os').system('touch x')}\n")
    error = refusal(["verify", path], capsys)
    assert "configs/logging.conf: formatter_fullFormatter::defaults: {'x': __import__('os')" in error


def test_what_is_refused_is_not_packaged_but_for_names(small, tmp_path, capsys, caplog):
    train = small / "configs" / "train.json"
    config = json.loads(train.read_text())
    train.write_text(json.dumps(config | {"net": {"_target_": "monai.networks.nets.DenseNet121", "spatial_dims": 2}}))
    with caplog.at_level("INFO"):
        path = packaged(small, tmp_path / "small.zip")
    assert "must give: --allow monai.networks.nets.DenseNet121" in caplog.text
    assert "DenseNet121" in refusal(["verify", path], capsys)
    train.write_text(json.dumps(config | {"a::_debug_": True}))
    error = refusal(["package", small, "--out", tmp_path / "other.zip"], capsys)
    assert "_debug_ is none of MONAI's special keys" in error and not (tmp_path / "other.zip").exists()


def test_what_was_trained_further_says_other_weights(here, path, caplog):
    def other(name, data):
        if not name.endswith("model.pt"):
            return data
        with zipfile.ZipFile(path) as archive:
            return archive.read(name).replace(b"\0\0\x80?", b"\0\0\0@")  # ones become twos

    assert shown(rewritten(path, other), caplog) == (1, ["models/model.pt is another file"])
