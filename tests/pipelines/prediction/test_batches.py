"""Images of different size go through the network together, and come back each to its own grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Invertd, LoadImaged
from PIL import Image

from pipelines import ReadAhead, evaluate_batch
from transforms import DataError, FitRadiographd, MaskReader, RadiographReader

SIZES = [(40, 60), (64, 64), (90, 31), (33, 80), (70, 50)]


@pytest.fixture
def data(tmp_path):
    rng, items = np.random.default_rng(0), []
    for number, shape in enumerate(SIZES):
        for name, pixels in (
            ("image", rng.integers(0, 255, shape)),
            ("label", 255 * rng.integers(0, 2, shape)),
        ):
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}_{number}.png")
        items.append({name: str(tmp_path / f"{name}_{number}.png") for name in ("image", "label")})
    return items


def chain():
    return Compose(
        [
            LoadImaged("image", reader=RadiographReader("pixels"), ensure_channel_first=True),
            LoadImaged("label", reader=MaskReader(threshold=127), ensure_channel_first=True),
            FitRadiographd("image", 64, (0, 100), mode="bilinear"),
        ]
    )


def outputs(data, transform, loader, **settings):
    found, sizes = [], []
    torch.manual_seed(0)
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=torch.nn.Conv2d(1, 1, 3, padding=1),
        postprocessing=Compose([Invertd("pred", transform, orig_keys="image", nearest_interp=False)]),
        **settings,
    )
    engine.add_event_handler(Events.ITERATION_STARTED, lambda engine: sizes.append(len(engine.state.batch)))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: found.extend(engine.state.output))
    engine.run()
    return found, sizes


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_batch_gives_what_single_images_give_in_their_order_and_grids(batch_size, data):
    transform = chain()
    single, _ = outputs(data, transform, DataLoader(Dataset(data, transform), batch_size=1))
    loader = ReadAhead(Dataset(data, transform), batch_size)
    batched, sizes = outputs(data, transform, loader, iteration_update=evaluate_batch, decollate=False)
    assert len(sizes) == len(loader) == -(-5 // batch_size) and sizes[0] == min(5, batch_size)
    for one, other, shape in zip(single, batched, SIZES, strict=True):
        assert one["pred"].shape == other["pred"].shape == other["label"].shape == (1, *shape[::-1])
        torch.testing.assert_close(one["pred"].as_tensor(), other["pred"].as_tensor(), atol=1e-5, rtol=0)
        assert torch.equal(one["label"].as_tensor(), other["label"].as_tensor().to(one["label"].dtype))


def test_an_error_of_a_file_is_told_as_it_is(data, tmp_path):
    (tmp_path / "image_3.png").write_bytes(b"no picture")
    with pytest.raises((DataError, RuntimeError)) as caught:
        list(ReadAhead(Dataset(data, chain()), 2))
    error = caught.value if isinstance(caught.value, DataError) else caught.value.__cause__
    assert "image_3.png" in str(error) and "\n" not in str(error)
