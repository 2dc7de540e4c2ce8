"""Laying masks onto the grid of their CT, whatever the order and direction of their axes; and where real organs are."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, MapLabelValued
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from transforms import CTReader, DataError, MatchGridd

AFFINE = np.array([[-0.7, 0.1, 0, 12], [-0.1, -0.7, 0, 40], [0, 0, 2.5, -90], [0, 0, 0, 1]], float)
AFFINE[:3, :2] /= np.linalg.norm(AFFINE[:3, 0]) / 0.7
MASK = np.random.default_rng(1).integers(0, 6, (7, 5, 4)).astype(np.uint8)  # (x, y, z)


def item(label_affine=AFFINE, label=MASK, shape=MASK.shape):
    meta = {"filename_or_obj": "segmentations/7.nii"}
    return {
        "image": MetaTensor(torch.zeros(1, *shape), affine=torch.as_tensor(AFFINE), meta={"filename_or_obj": "ct/7"}),
        "label": MetaTensor(torch.as_tensor(label)[None], affine=torch.as_tensor(label_affine), meta=meta),
    }


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "LPI", "SAR", "PSL", "ASR"])
def test_mask_is_reoriented_by_affine(axes):
    """nibabel turns the mask's file, as programs do; it must come back."""
    file = nibabel.Nifti1Image(MASK, AFFINE)
    turned = file.as_reoriented(ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes)))
    assert nibabel.aff2axcodes(turned.affine) == tuple(axes)
    out = MatchGridd("label", "image")(item(turned.affine, np.ascontiguousarray(turned.dataobj)))
    np.testing.assert_array_equal(out["label"].numpy()[0], MASK)
    np.testing.assert_allclose(out["label"].affine, AFFINE)
    assert out["label"].dtype == torch.uint8 and out["label"].is_contiguous()
    assert out["label"].meta["filename_or_obj"] == "segmentations/7.nii"


def test_mask_without_a_channel():
    data = {key: MetaTensor(value[0].as_tensor(), affine=value.affine) for key, value in item().items()}
    data["label"] = MetaTensor(data["label"].as_tensor().flip(1), affine=torch.as_tensor(AFFINE @ flip(1)))
    assert MatchGridd("label", "image")(data)["label"].numpy().tolist() == MASK.tolist()


def flip(axis):
    """Index to index, along one axis of the mask."""
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, MASK.shape[axis] - 1
    return matrix


def moved(millimetres):
    affine = AFFINE.copy()
    affine[2, 3] += millimetres
    return affine


def scaled(factor):
    return AFFINE @ np.diag([1, 1, factor, 1])


def turned(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE


@pytest.mark.parametrize("affine", [moved(0.4), scaled(1.05), turned(0.1)])
def test_mask_within_half_a_millimetre_is_taken(affine):
    np.testing.assert_array_equal(MatchGridd("label")(item(affine))["label"].numpy()[0], MASK)


@pytest.mark.parametrize(
    "affine", [moved(0.6), moved(-200), scaled(1.1), turned(3), turned(45), AFFINE @ np.diag([-1, 1, 1, 1])]
)
def test_mask_of_another_grid_is_refused(affine):
    with pytest.raises(DataError, match=r"^segmentations/7.nii: is not on the grid of ct/7.*0.5 mm is allowed"):
        MatchGridd("label")(item(affine))


def test_mask_of_another_shape_is_refused_with_what_differs():
    message = r"7 x 5 x 3 voxels of 0.7 x 0.7 x 2.5 mm.*; the image: 7 x 5 x 4 voxels"
    with pytest.raises(DataError, match=message):
        MatchGridd("label")(item(label=MASK[:, :, :3]))


def test_unknown_values_are_refused():
    with pytest.raises(
        DataError, match=r"segmentations/7.nii: has the values 5; 0, 1, 2, 3, 4 are known.*MapLabelValued"
    ):
        MatchGridd("label", values=range(5))(item())
    assert MatchGridd("label", values=range(6))(item())["label"].max() == 5


def test_plain_tensor_is_a_mistake_of_the_configuration():
    with pytest.raises(TypeError, match="MetaTensors"):
        MatchGridd("label")({key: value.as_tensor() for key, value in item().items()})


# The codes of TotalSegmentator's masks: spleen, right kidney, left kidney, liver, small bowel, duodenum, colon
CODES = {1: 2, 2: 4, 3: 3, 5: 1, 18: 5, 19: 5, 20: 5}
OTHERS = [code for code in range(1, 118) if code not in CODES]
LIVER, SPLEEN, LEFT_KIDNEY, RIGHT_KIDNEY, BOWEL = range(1, 6)


@pytest.mark.real
@pytest.mark.parametrize(
    ("image", "mask", "organs"),
    [
        ("example_ct_dicom", "example_seg_dicom.nii.gz", {LIVER, SPLEEN, BOWEL}),  # too high for the kidneys
        ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz", {1, 2, 3, 4, 5}),
        ("example_ct_sm.nii.gz", "example_seg.nii.gz", {1, 2, 3, 4, 5}),
    ],
)
def test_real_masks_lie_on_their_organs(real_data, image, mask, organs):
    """By what the organs are like on CT, which a mask laid wrongly would miss, and by where they are in a body."""
    data = Compose(
        [
            LoadImaged(["image", "label"], reader=CTReader()),
            EnsureChannelFirstd(["image", "label"]),
            MapLabelValued("label", [*CODES, *OTHERS], [*CODES.values(), *[0] * len(OTHERS)]),
            MatchGridd("label", "image", values=range(6)),
        ]
    )({"image": str(real_data / "ct" / image), "label": str(real_data / "ct" / mask)})
    hounsfield, labels = data["image"].numpy()[0], data["label"].numpy()[0]
    affine = data["image"].affine.numpy()
    assert set(np.unique(labels)) == organs | {0}
    centre = {}
    for organ in organs:
        values = hounsfield[labels == organ]
        # native to portal venous, as textbooks have them; masks of a model at 3 mm reach into the fat around kidneys
        low, high = {LIVER: (35, 140), SPLEEN: (25, 160), BOWEL: (-600, 80)}.get(organ, (0, 220))
        assert low < values.mean() < high
        if organ in (LIVER, SPLEEN):  # a mask that is off by a few voxels would take in fat and lung
            assert values.std() < 30 and (values > 0).mean() > 0.95
        centre[organ] = affine[:3] @ [*np.argwhere(labels == organ).mean(axis=0), 1]  # right, anterior, superior
    assert centre[LIVER][0] > centre[SPLEEN][0] + 50
    assert centre[LIVER][1] > centre[SPLEEN][1]
    assert centre[BOWEL][2] < centre[LIVER][2]
    if LEFT_KIDNEY in organs:
        assert centre[RIGHT_KIDNEY][0] > centre[LEFT_KIDNEY][0] + 50
        assert centre[BOWEL][1] > max(centre[LEFT_KIDNEY][1], centre[RIGHT_KIDNEY][1])


@pytest.mark.real
def test_real_mask_laid_wrongly_would_be_seen(real_data):
    """The measure of the test above tells: with the mask flipped as without affines, the liver is no longer liver."""
    folder = real_data / "ct"
    data = LoadImaged(["image", "label"], reader=CTReader())(
        {"image": str(folder / "example_ct_dicom"), "label": str(folder / "example_seg_dicom.nii.gz")}
    )
    values = data["image"].numpy()[data["label"].numpy() == 5]  # both as they are stored
    assert values.std() > 100
