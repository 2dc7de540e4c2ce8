"""What masks of another convention do not tell, worked out by hand."""

from __future__ import annotations

import torch

from transforms import LeaveOutUnknownd, UnknownBehindHeartd


def mask():
    """Two lungs of six columns, 1 to 6 and 9 to 14, in rows 2 and 3; in row 4 only the first, of three columns."""
    label = torch.zeros(1, 16, 8, dtype=torch.uint8)
    label[0, 1:7, 2:4] = label[0, 9:15, 2:4] = label[0, 1:4, 4] = 1
    return label


def test_the_medial_two_thirds_of_each_lung_become_unknown():
    result = UnknownBehindHeartd()({"label": mask(), "behind_heart": True})
    assert set(result) == {"label"}
    columns = [0, 1, 1, 2, 2, 2, 2, 0, 0, 2, 2, 2, 2, 1, 1, 0]
    assert result["label"][0, :, 2].tolist() == columns and result["label"][0, :, 3].tolist() == columns
    assert result["label"][0, :, 4].tolist() == [0, 1, 2, 2] + 12 * [0]
    assert not result["label"][0, :, [0, 1, 5, 6, 7]].any()


def test_other_masks_and_empty_ones_stay():
    for item in ({"label": mask()}, {"label": mask(), "behind_heart": False}):
        assert torch.equal(UnknownBehindHeartd()(item)["label"], mask())
    empty = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert not UnknownBehindHeartd()({"label": empty, "behind_heart": True})["label"].any()


def test_the_mask_that_was_given_is_not_written_into():
    given = mask()
    UnknownBehindHeartd()({"label": given, "behind_heart": True})
    assert torch.equal(given, mask())


def test_no_metric_counts_what_is_unknown():
    data = {"pred": torch.ones(1, 1, 4), "logits": torch.full((1, 1, 4), 3.0), "label": torch.tensor([[[0, 1, 2, 2]]])}
    result = LeaveOutUnknownd(["pred", "logits"], [0, -20])(data)
    assert result["pred"].tolist() == [[[1, 1, 0, 0]]] and result["label"].tolist() == [[[0, 1, 0, 0]]]
    assert result["logits"].tolist() == [[[3, 3, -20, -20]]] and data["pred"].all()
