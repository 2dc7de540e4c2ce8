"""Weights from files: loaded, told of, and refused where they do not fit."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet

from networks import WeightsError, load_encoder, load_weights, loaded_from, read_checkpoint, read_fitted


def unet(channels=(4, 8)):
    torch.manual_seed(0)
    return UNet(2, 1, 1, channels, (2,) * (len(channels) - 1), norm="BATCH")


def test_weights_are_loaded_and_what_they_are_is_told(tmp_path, caplog):
    source = unet()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"trained_on": "phantoms", "epoch": 3}))
    target = UNet(2, 1, 1, (4, 8), (2,), norm="BATCH")
    with caplog.at_level(logging.INFO):
        load_weights(target, tmp_path / "model.pt")
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value)
    assert "trained_on phantoms, epoch 3" in caplog.text
    assert loaded_from(target) == tmp_path / "model.pt" and loaded_from(source) is None


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    torch.save(unet((8, 16)).state_dict(), tmp_path / "other.pt")
    network = unet()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(WeightsError, match=r"other\.pt: the weights are those of another network.*network_def"):
        load_weights(network, tmp_path / "other.pt")
    for name, value in before.items():
        torch.testing.assert_close(network.state_dict()[name], value)


class Payload:
    """What a malicious file would hold: an object whose loading runs code."""

    ran = False

    def __reduce__(self):
        return setattr, (Payload, "ran", True)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(unet(), tmp_path / "gone.pt")
    (tmp_path / "noise.pt").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"noise\.pt: cannot be loaded"):
        load_weights(unet(), tmp_path / "noise.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(WeightsError, match="not a state dict"):
        load_weights(unet(), tmp_path / "tensor.pt")
    torch.save({"x": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_weights(unet(), tmp_path / "evil.pt")
    assert not Payload.ran


def test_weights_of_other_settings_are_refused(tmp_path):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"epoch": 3, "settings": {"image_size": 128, "window": [0, 1]}}))
    load_weights(unet(), tmp_path / "model.pt", image_size=128, window=[0, 1], unknown_then=5)
    with pytest.raises(WeightsError, match="was trained with image_size 128, and 256 is configured: give --image_size"):
        load_weights(unet(), tmp_path / "model.pt", image_size=256)


def test_weights_that_do_not_tell_their_settings_are_loaded_with_a_warning(tmp_path, caplog):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    load_weights(unet(), tmp_path / "model.pt")
    assert not caplog.text
    load_weights(unet(), tmp_path / "model.pt", task="lungs", image_size=256)
    assert (
        "model.pt: no model.json beside it tells" in caplog.text and "task, image_size are not checked" in caplog.text
    )


def test_weights_of_another_task_are_refused_though_the_network_is_the_same(tmp_path):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"settings": {"task": "lungs"}}))
    load_weights(unet(), tmp_path / "model.pt", task="lungs")
    with pytest.raises(WeightsError, match="with task lungs, and opacity is configured: give weights of this task"):
        load_weights(unet(), tmp_path / "model.pt", task="opacity")


@pytest.mark.parametrize("text", ["{ no JSON", "", "[]"])
def test_what_stands_beside_the_weights_must_be_readable(tmp_path, text):
    torch.save(unet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(WeightsError, match=r"model\.json: (is not JSON|holds a list).*Copy it again"):
        load_weights(unet(), tmp_path / "model.pt")


# What was written is what is loaded ---------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """A file of weights, and beside it what a training writes of it."""
    path = tmp_path / "model.pt"
    torch.save(unet().state_dict(), path)
    about = {"epoch": 3, "settings": {"image_size": 128}, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(about))
    return path


def test_any_bit_that_is_another_is_seen(written):
    """Wherever it is: in a name, in the archive's own bytes, or in a number that stays one."""
    good, random = written.read_bytes(), np.random.default_rng(0)
    for place, bit in zip(random.integers(len(good), size=100), random.integers(8, size=100), strict=True):
        damaged = bytearray(good)
        damaged[place] ^= 1 << bit
        written.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"model\.pt: is damaged, or not the file .*--force_weights True"):
            load_weights(unet(), written)
    for damaged in (good[:-1], good + b"\0", b""):
        written.write_bytes(damaged)
        with pytest.raises(WeightsError, match="is damaged"):
            load_weights(unet(), written)
    written.write_bytes(good)
    load_weights(unet(), written, image_size=128)


def test_every_load_compares(written):
    written.write_bytes(written.read_bytes() + b"\0")
    for load in (read_checkpoint, lambda path: load_encoder(unet(), path), lambda path: load_weights(unet(), path)):
        with pytest.raises(WeightsError, match="its SHA-256 begins with"):
            load(written)


def test_weights_that_are_forced_are_told_of_loudly(written, caplog):
    torch.save({name: value + 1 for name, value in unet().state_dict().items()}, written)
    network = unet()
    load_weights(network, written, force=True, image_size=128)
    assert torch.equal(network.state_dict()["model.0.adn.N.bias"], unet().state_dict()["model.0.adn.N.bias"] + 1)
    (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "IS DAMAGED, OR NOT THE FILE THAT MODEL.JSON DESCRIBES, AND IS LOADED ALL THE SAME" in warning
    with pytest.raises(WeightsError, match="was trained with image_size 128"):  # a hash is all that is forced
        load_weights(network, written, force=True, image_size=256)


def test_what_was_written_before_there_were_hashes_is_loaded_with_a_warning(written, caplog):
    written.with_suffix(".json").write_text(json.dumps({"epoch": 3}))
    load_weights(unet(), written)
    assert "model.json does not hold its SHA-256" in caplog.text


def test_kill_between_a_model_and_what_is_said_of_it(written):
    """While a better model is written, both are described: the one that is there is the one that counts."""
    old, about = written.read_bytes(), json.loads(written.with_suffix(".json").read_text())
    torch.save({name: value * 2 for name, value in unet().state_dict().items()}, written)
    new = written.read_bytes()
    both = {"settings": {"image_size": 64}, "sha256": hashlib.sha256(new).hexdigest(), "before": about}
    written.with_suffix(".json").write_text(json.dumps(both))
    for content, size in ((new, 64), (old, 128)):
        written.write_bytes(content)
        load_weights(unet(), written, image_size=size)
        with pytest.raises(WeightsError, match=f"was trained with image_size {size}"):
            load_weights(unet(), written, image_size=256)
    written.write_bytes(old + b"\0")
    with pytest.raises(WeightsError, match="is damaged"):
        load_weights(unet(), written)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, -1e300])
@pytest.mark.parametrize("place", [0, -1])
def test_weights_that_are_not_finite_in_the_network(tmp_path, place, value):
    """One number is enough, and one of double precision that a network cannot hold."""
    state = unet().state_dict()
    name = [name for name in state if state[name].is_floating_point()][place]
    state[name] = state[name].double()
    state[name].view(-1)[-1] = value
    torch.save(state, tmp_path / "model.pt")
    network, before = unet(), unet().state_dict()
    for load in (load_weights, load_encoder):
        if load is load_encoder and place == -1:  # of the expanding path, which it does not take
            continue
        with pytest.raises(WeightsError, match=f"{name} holds values that are not finite"):
            load(network, tmp_path / "model.pt")
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize("value", ["text", 1.0, None, [1.0], torch.zeros(5)])
def test_weights_that_are_no_tensors_of_numbers(tmp_path, value):
    torch.save({**unet().state_dict(), "model.0.adn.N.bias": value}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"those of another network.*model\.0\.adn\.N\.bias is"):
        load_weights(unet(), tmp_path / "model.pt")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "bundles").glob("*/models/model.json")), ids=str)
def test_shipped_weights_are_those_that_are_described(path):
    told = json.loads(path.read_text())["sha256"]
    assert told == hashlib.sha256(path.with_suffix(".pt").read_bytes()).hexdigest()


class Allocates:
    """Pickled: a call that torch allows, of an array of any size."""

    def __reduce__(self):
        return bytearray, (10**10,)


def test_files_that_would_fill_the_memory_are_not_loaded(tmp_path):
    """Whether zipped or in torch's older form, by a call or by compression."""
    path, zeros = tmp_path / "model.pt", {"weight": torch.zeros(10**6)}
    for state, zipped in (({"weight": Allocates()}, True), ({"weight": Allocates()}, False)):
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match="model.pt: cannot be loaded as weights .*memory that it does not fill"):
            read_checkpoint(path)
    torch.save(zeros, path)
    read_checkpoint(path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(WeightsError, match="it is compressed"):
        read_checkpoint(tmp_path / "b.pt")


def test_what_was_fitted_later_is_read_with_its_own_weights_alone(written, caplog):
    caplog.set_level(logging.INFO)
    about = json.loads(written.with_suffix(".json").read_text())
    assert read_fitted(written) == {}
    written.with_suffix(".json").write_text(json.dumps({**about, "temperature": 1.5, "quality": {"slope": 1}}))
    assert read_fitted(written) == {"temperature": 1.5, "quality": {"slope": 1}}
    load_weights(unet(), written)
    assert "epoch 3" in caplog.text and "slope" not in caplog.text
    written.write_bytes(written.read_bytes() + b"!")
    assert read_fitted(written) == {} == read_fitted(written.with_name("gone.pt"))
