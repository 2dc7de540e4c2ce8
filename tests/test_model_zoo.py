"""What MONAI's model zoo asks of a bundle before it takes it, by the functions of MONAI that its checks call."""

from __future__ import annotations

import json
import shutil
from functools import cached_property

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, onnx_export, verify_metadata, verify_net_in_out

from tests.conftest import ROOT
from tests.running import BUNDLES, draw, small

# What meta_schema_20240725.json asks for, in our words: MONAI takes a schema that is there instead of fetching it.
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
TEXTS += ("copyright",)
OPTIONAL = {"changelog": "object", "eval_metrics": "object", "supported_apps": "object", "intended_use": "string"}
OPTIONAL |= dict.fromkeys(("data_source", "data_type", "image_classes", "label_classes", "pred_classes"), "string")
TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        **{key: {"type": "string"} for key in ("type", "format", "dtype")},
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
}
TENSORS = {"type": "object", "patternProperties": {".": TENSOR}}
SCHEMA = {
    "type": "object",
    "required": [*TEXTS, "required_packages_version", "network_data_format"],
    "properties": {
        **{key: {"type": "string"} for key in TEXTS},
        **{key: {"type": kind} for key, kind in OPTIONAL.items()},
        "required_packages_version": {"type": "object"},
        "references": {"type": "array", "items": {"type": "string"}},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
        },
    },
}
ZOO_SCHEMAS = "https://project-monai.github.io/schema/meta_schema_"


class Copy:
    """A bundle in a folder of its own, as the zoo has it, with weights that were never trained."""

    def __init__(self, name, root):
        self.name, self.root, self.settings = name, root, {**small(name), "bundle_root": str(root), "device": "cpu"}
        ignored = shutil.ignore_patterns("phantoms", "cache", "eval", "model.*")
        shutil.copytree(ROOT / "bundles" / name, root, ignore=ignored)
        torch.manual_seed(0)
        torch.save(self.network().state_dict(), root / "models" / "model.pt")

    def config(self, name):
        return str(self.root / "configs" / f"{name}.json")

    def network(self):
        """As the zoo makes it, in float32."""
        parser = ConfigParser()
        parser.read_config(self.config("inference"))
        parser.update({**self.settings, "precision": "float32"})
        return parser.get_parsed_content("network_def").eval()

    @property
    def arguments(self):
        files = {"meta_file": self.config("metadata"), "config_file": self.config("inference")}
        return {**files, "ckpt_file": str(self.root / "models" / "model.pt"), **self.settings}

    @cached_property
    def drawn(self):
        return draw(self.name, self.root.with_name(f"{self.name}-phantoms"))

    def image(self):
        tensor = json.loads((self.root / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]
        shape = 1, tensor["image"]["num_channels"], 64, 96
        return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def copy(request, tmp_path_factory):
    return Copy(request.param, tmp_path_factory.mktemp("models") / request.param)


each_bundle = pytest.mark.parametrize(
    "copy", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BUNDLES], indirect=True
)


@each_bundle
def test_files_and_version(copy):
    """Necessary and preferred files; a version with its line in the log of changes."""
    for file in ("configs/metadata.json", "configs/inference.json", "LICENSE", "models/model.pt"):
        assert (copy.root / file).is_file(), file
    metadata = json.loads((copy.root / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


@each_bundle
def test_metadata(copy, tmp_path):
    metadata = json.loads((copy.root / "configs" / "metadata.json").read_text())
    assert metadata["schema"].startswith(ZOO_SCHEMAS)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    verify_metadata(copy.config("metadata"), filepath=tmp_path / "schema.json")
    assert {"eval_metrics", "supported_apps", "name", "intended_use"} <= set(metadata)
    assert all(isinstance(value, int | float) for value in metadata["eval_metrics"].values())
    assert all(isinstance(value, str) for value in metadata["supported_apps"].values())


@pytest.mark.parametrize(
    ("part", "value"), [("version", None), ("authors", ["A"]), ("network_data_format", {"inputs": {}})]
)
def test_metadata_that_the_zoo_would_not_take(part, value, tmp_path):
    metadata = json.loads((ROOT / "bundles" / "lungs" / "configs" / "metadata.json").read_text()) | {part: value}
    (tmp_path / "metadata.json").write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(str(tmp_path / "metadata.json"), filepath=tmp_path / "schema.json")


@each_bundle
def test_network_takes_and_gives_what_the_metadata_say(copy):
    arguments = copy.arguments
    arguments.pop("ckpt_file")
    verify_net_in_out("network_def", **arguments)


@each_bundle
@pytest.mark.parametrize("use_trace", [False, True], ids=["scripted", "traced"])
def test_torchscript_gives_what_the_network_gives(copy, use_trace, tmp_path):
    """In float32, wherever it is run; a trace for the size that it was traced with."""
    image = copy.image()
    shape = {"input_shape": list(image.shape), "precision": "float32"} if use_trace else {}
    path = str(tmp_path / "model.ts")
    ckpt_export("network_def", path, use_trace=use_trace, **shape, **copy.arguments)
    network = copy.network()
    network.load_state_dict(torch.load(copy.root / "models" / "model.pt", weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(path)(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@each_bundle
def test_onnx_gives_what_the_network_gives(copy, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    image, path = copy.image(), str(tmp_path / "model.onnx")
    settings = copy.arguments | {"precision": "float32"}
    onnx_export("network_def", path, input_shape=list(image.shape), use_trace=True, **settings)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    network = copy.network()
    network.load_state_dict(torch.load(copy.root / "models" / "model.pt", weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(given), network(image), rtol=1e-3, atol=1e-4)


@each_bundle
@pytest.mark.parametrize(
    ("kind", "names"), [("train", ["train"]), ("train", ["train", "evaluate"]), ("infer", ["inference"])]
)
def test_workflows_have_the_properties_that_monai_asks_for(copy, kind, names, tmp_path):
    settings = {**copy.settings, "dataset_dir": str(copy.drawn), "output_dir": str(tmp_path / "eval")}
    if kind == "train":
        settings |= {"ckpt_dir": str(copy.root / "models"), "cache_dir": str(tmp_path / "cache")}
    files = [copy.config(name) for name in names]
    workflow = ConfigWorkflow(
        files, meta_file=copy.config("metadata"), workflow_type=kind, logging_file=False, **settings
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.finalize()
