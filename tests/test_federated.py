"""Sites that train together: MONAI's client for federated learning, with the overlay ``federated`` of each bundle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from networks import read_checkpoint
from pipelines import draw_phantoms
from tests.conftest import ROOT
from tests.running import BUNDLES, draw, small

ROUNDS = 3
CONFIGS = ["configs/train.json", "configs/federated.json"]


class Site:
    """A hospital: a copy of the bundle, data of its own, and MONAI's client. It has no weights."""

    def __init__(self, name, folder, cohort, epochs=1, configs=CONFIGS, **settings):
        root = folder / name
        shutil.copytree(ROOT / "bundles" / name, root, ignore=shutil.ignore_patterns("phantoms", "model.*", "eval"))
        self.root = root
        settings = {**small(name), "bundle_root": str(root), "dataset_dir": str(cohort), "num_workers": 0, **settings}
        self.client = MonaiAlgo(
            str(root),
            local_epochs=epochs,
            config_train_filename=configs,
            config_evaluate_filename=configs,
            train_kwargs=dict(settings),
            eval_kwargs=dict(settings),
        )
        self.client.initialize({ExtraItems.CLIENT_NAME: folder.name})

    @property
    def weights(self):
        return {name: value.clone() for name, value in self.client.trainer.network.state_dict().items()}

    def train(self, weights):
        """A round; how the weights change by it, and by how many iterations."""
        self.client.train(ExchangeObject(weights=weights))
        given = self.client.get_weights()
        assert given.weight_type == WeightType.WEIGHT_DIFF
        return given.weights, given.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS]

    def evaluate(self, weights):
        return self.client.evaluate(ExchangeObject(weights=weights)).metrics

    def dice(self, weights):
        return self.evaluate(weights)[self.client.evaluator.state.key_metric_name]


def federated(sites, rounds):
    """What a server does: federated averaging (McMahan et al. 2017, arXiv 1602.05629)."""
    weights = sites[0].weights
    for _ in range(rounds):
        answers = [site.train(weights) for site in sites]
        total = sum(iterations for _, iterations in answers)
        for name, value in weights.items():
            change = sum(changes[name] * (iterations / total) for changes, iterations in answers)
            weights[name] = value + change.to(value.dtype)
    return weights


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BUNDLES])
def test_two_sites_train_three_rounds(name, tmp_path):
    cohorts = [draw(name, tmp_path / f"data{number}", patients=12, size=48) for number in range(2)]
    sites = [Site(name, tmp_path / f"site{number}", cohort) for number, cohort in enumerate(cohorts)]
    before = sites[0].weights
    weights = federated(sites, ROUNDS)
    assert any(not torch.equal(weights[key], before[key]) for key in weights)
    for site in sites:
        assert site.client.trainer.state.epoch == ROUNDS
        assert 0 <= site.dice(weights) <= 1
        assert site.client.evaluator.state.key_metric_name.startswith("val_dice")
        for key, value in site.client.evaluator.network.state_dict().items():
            assert torch.equal(value, weights[key]), key  # what was sent is what was measured
        files = sorted(path.name for path in (site.root / "models").iterdir() if path.suffix == ".pt")
        assert files == ["last_epoch.pt", "model.pt"]  # one training, and not one a round
        state = read_checkpoint(site.root / "models" / "last_epoch.pt")
        assert state["trained_images"] == []  # those of the other site are not known here
        best = site.client.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL})
        assert best.weights.keys() == weights.keys()
        site.client.finalize()


def test_a_later_round_starts_from_what_was_sent_even_where_a_training_would_resume(tmp_path):
    site = Site("opacity", tmp_path / "site", draw("opacity", tmp_path / "data"), resume="auto", learning_rate=1e-9)
    weights = site.weights
    for _ in range(2):
        weights = {name: value + 0.1 if name.endswith("weight") else value for name, value in weights.items()}
        changes, _ = site.train(weights)
        assert all(change.abs().max() < 1e-3 for name, change in changes.items() if name.endswith("weight"))


@pytest.mark.slow
@pytest.mark.xdist_group("lungs")
def test_together_they_learn_more_than_each_alone(tmp_path):
    """On phantoms that neither has seen, of few each: 60 epochs each, without augmentation, so that few are too few."""
    own, unseen = [], draw_phantoms(tmp_path / "unseen", patients=24, size=48, seed=17, truth="lungs", task="lungs")
    for number in range(2):
        own.append(draw_phantoms(tmp_path / f"{number}", 8, size=48, seed=10 + number, truth="lungs", task="lungs"))
    settings = {
        **{"image_size": 48, "batch_size": 4, "optimizer#lr": 0.003, "val_interval": 100, "epochs": 20},
        **{"network_def#network#channels": [8, 16, 32], "network_def#network#strides": [2, 2]},
        "configs": ["configs/train.json", "configs/usual_way.json", "configs/federated.json"],
    }
    judged = {
        **{"_target_": "pipelines.CachedDataset", "transform": "@validate#preprocessing", "cache_dir": "@cache_dir"},
        "data": "$pipelines.datalist(@manifest, @dataset_dir, 'training', task=@task)",
    }
    judge = Site("lungs", tmp_path / "judge", unseen, **settings, **{"validate#dataset": judged})

    def site(name, cohort):
        torch.manual_seed(0)
        return Site("lungs", tmp_path / name, cohort, **settings)

    alone = [judge.dice(federated([site(f"alone{number}", cohort)], ROUNDS)) for number, cohort in enumerate(own)]
    together = judge.dice(federated([site(f"site{number}", cohort) for number, cohort in enumerate(own)], ROUNDS))
    assert together > max(alone), (together, alone)
    assert together > 0.9


@pytest.mark.slow
def test_the_documents_code_runs_in_nvflare(tmp_path):
    """Its client and its job, in NVFlare's simulator, which starts processes of its own: two sites, three rounds."""
    pytest.importorskip("nvflare")
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "viewers_and_clients.md").read_text(), re.DOTALL):
        (tmp_path / re.match(r"# (\w+\.py)", code).group(1)).write_text(code)
    network = {"channels": [4, 8], "strides": [2]}
    for number in (1, 2):
        site = tmp_path / "sites" / f"site-{number}"
        shutil.copytree(ROOT / "bundles" / "lungs", site / "lungs", ignore=shutil.ignore_patterns("model.*"))
        settings = {"bundle_root": str(site / "lungs"), "image_size": 32, "num_workers": 0, "val_interval": 9}
        settings |= {"dataset_dir": str(draw("lungs", site / "data", patients=12, size=48))}
        settings |= {f"network_def#network#{key}": value for key, value in network.items()}
        (site / "settings.json").write_text(json.dumps(settings))
    command = [sys.executable, "job.py", "sites/site-1/lungs", str(tmp_path / "sites"), json.dumps(network)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    (path,) = Path(tmp_path / "sites" / "simulator").rglob("FL_global_model.pt")
    model = torch.load(path, weights_only=False)["model"]  # made by this test
    assert (ended.stdout + ended.stderr).count("Aggregated 2/2 results") == ROUNDS
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in model.values())
