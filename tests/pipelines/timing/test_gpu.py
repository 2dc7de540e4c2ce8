"""The GPU's idle share, worked by hand, and the message where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from pipelines.timing.gpu import gpu, idle_share
from tests.running import bundle_of
from transforms import DataError


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ([(0, 4)], 0.0),
        ([(10, 12), (16, 20)], 0.4),
        ([(16, 20), (10, 14), (11, 12), (13, 15)], 0.1),  # out of order, within and over one another
    ],
)
def test_idle_is_what_no_span_covers(spans, share):
    assert idle_share(spans) == pytest.approx(share)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_message_says_so():
    with pytest.raises(DataError, match="torch sees no CUDA GPU here"):
        gpu(bundle_of("lungs"))
