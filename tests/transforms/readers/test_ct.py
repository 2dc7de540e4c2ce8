"""Reading CT: order, spacing and affine from positions, Hounsfield units, and what is refused."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import CTReader, DataError

COLUMNS, ROWS, SLICES = 7, 5, 6
HU = np.random.default_rng(0).integers(-1000, 3000, (COLUMNS, ROWS, SLICES)).astype(np.float32)  # (x, y, z)
ALONG_Z = [[10.0, 20.0, 5.0 + 2.5 * number] for number in range(SLICES)]


@pytest.fixture
def write_slice(tmp_path):
    """Writes one slice of HU as CT, with tags changed (None: left out) as told; the default is one of six alike."""

    def write(number=0, folder="ct", name=None, intercept=-1024, slope=1, stored=None, syntax=None, **tags):
        if stored is None:
            stored = ((HU[:, :, number].T - intercept) / slope).astype(np.uint16)
        dataset = FileDataset("", {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=True)
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = uid.CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid.generate_uid()
        dataset.Modality, dataset.SeriesInstanceUID, dataset.PatientName = "CT", "1.2.3", "Doe^Jane"
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.7], 5
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], ALONG_Z[number]
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.PixelData = np.ascontiguousarray(stored).tobytes()
        dataset["PixelData"].VR = "OW"
        for tag, value in tags.items():
            if value is None:
                delattr(dataset, tag)
            else:
                setattr(dataset, tag, value)
        if syntax is not None:
            dataset.compress(syntax)
        path = tmp_path / folder / (name or f"slice{(number * 5) % 7}.dcm")  # names that are in another order
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, **IN_FILE_FORMAT)
        return path

    return write


@pytest.fixture
def write_series(write_slice, tmp_path):
    """Writes a whole series, and gives its folder. Tags that are functions are called with the slice's number."""

    def write(folder="ct", numbers=range(SLICES), **tags):
        for number in numbers:
            write_slice(number, folder, **{tag: v(number) if callable(v) else v for tag, v in tags.items()})
        return tmp_path / folder

    return write


def read(path):
    """The array (x, y, z) and its affine, through MONAI's own LoadImage."""
    image = LoadImage(reader=CTReader(), image_only=True)(path)
    return image.numpy(), image.affine.numpy()


def read_with_simpleitk(folder):
    """What GDCM makes of a folder: the array (x, y, z) and the affine in RAS."""
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


def test_series_is_ordered_by_position_with_spacing_from_positions(write_series):
    array, affine = read(write_series())
    assert array.dtype == np.float32 and array.flags.c_contiguous
    np.testing.assert_array_equal(array, HU)
    # PixelSpacing is row spacing 0.9, column spacing 0.7; slices lie 2.5 mm apart, SliceThickness says 5
    np.testing.assert_allclose(affine, [[-0.7, 0, 0, -10], [0, -0.9, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]], atol=1e-9)


def test_phantoms_are_read_as_by_an_independent_reader(ct_cohort):
    folders = sorted((ct_cohort / "train_images").glob("*/*"))
    assert len(folders) == 9
    for folder in folders:
        array, affine = read(folder)
        expected, expected_affine = read_with_simpleitk(folder)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_allclose(affine, expected_affine, atol=2e-4)


@pytest.mark.real
def test_real_series_is_read_as_by_an_independent_reader(real_data):
    folder = real_data / "ct" / "example_ct_dicom"  # JPEG 2000; SliceThickness is 3, slices lie 2 mm apart
    array, affine = read(folder)
    expected, expected_affine = read_with_simpleitk(folder)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(affine, expected_affine, atol=1e-6)
    assert CTReader().open(folder).spacing == pytest.approx((0.9765625, 0.9765625, 2.0))


def test_rescale_of_each_slice(write_series):
    half = np.floor(HU / 2) * 2  # a slope of 2 holds even values
    stored = lambda n: ((half[:, :, n].T + 1024 + 2 * n) / 2).astype(np.uint16)  # noqa: E731
    folder = write_series(stored=stored, slope=2, intercept=lambda n: -1024 - 2 * n)
    np.testing.assert_array_equal(read(folder)[0], half)


def test_signed_values_without_rescale_are_hounsfield_units(write_series):
    folder = write_series(stored=lambda n: HU[:, :, n].T.astype(np.int16), RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(read(folder)[0], HU)


def test_sign_is_that_of_the_stored_bits(write_series):
    """Some of the challenge's files hold 12 signed bits in 16 without the sign in the upper four."""
    signed = np.clip(HU, -1000, 2000).astype(np.int16)
    folder = write_series(stored=lambda n: signed[:, :, n].T & np.int16(0x0FFF), BitsStored=12, HighBit=11, intercept=0)
    np.testing.assert_array_equal(read(folder)[0], signed)


def test_overlay_in_the_unused_bits_is_not_part_of_the_values(write_series):
    folder = write_series(
        stored=lambda n: (HU[:, :, n].T + 1024).astype(np.uint16) | np.uint16(0x8000 * (n % 2)),
        BitsStored=12,
        HighBit=11,
    )
    np.testing.assert_array_equal(read(folder)[0], HU)


@pytest.mark.parametrize(("kind", "value"), [("SS", -2000), ("US", 63536)])  # some write the tag without a sign
def test_padding_is_air(write_series, kind, value):
    def stored(number):
        pixels = HU[:, :, number].T.astype(np.int16)
        pixels[0, :2] = -2000
        return pixels

    folder = write_series(stored=stored, intercept=0)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", kind, value)
        dataset.save_as(path)
    expected = HU.copy()
    expected[:2, 0] = -1024
    np.testing.assert_array_equal(read(folder)[0], expected)


def test_compressed_series(write_series):
    np.testing.assert_array_equal(read(write_series(syntax=uid.RLELossless))[0], HU)


def oblique(number):
    """A rigid turn of 30 degrees about the x axis."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    return [10.0, 20.0 - s * 2.5 * number, 5.0 + c * 2.5 * number]


def test_oblique_series_is_no_tilted_one(write_series):
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    folder = write_series(ImageOrientationPatient=[1, 0, 0, 0, c, s], ImagePositionPatient=oblique)
    array, affine = read(folder)
    np.testing.assert_array_equal(array, HU)
    np.testing.assert_allclose(affine[:3, 0], [-0.7, 0, 0], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1], [0, -0.9 * c, 0.9 * s], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 2], [0, 2.5 * s, 2.5 * c], atol=1e-9)


def test_order_follows_the_normal_where_the_patient_lies_feet_first(write_series):
    _, affine = read(write_series(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]))
    np.testing.assert_allclose(affine[:3, 2], [0, 0, -2.5], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 3], [-10, -20, 17.5], atol=1e-9)  # the highest slice comes first


def test_positions_rounded_to_a_tenth_are_evenly_spaced(write_series):
    folder = write_series(ImagePositionPatient=lambda n: [0, 0, round(0.625 * n, 1)])
    assert CTReader().open(folder).spacing[2] == pytest.approx(0.62)  # 3.1 mm in five steps


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {"numbers": [0, 1, 2, 4, 5]},
            r"slices are missing \(1 in all\): 1 between slice3.dcm and slice6.dcm.*2.5 mm apart",
        ),
        ({"ImagePositionPatient": lambda n: [0, 0, n + (n > 3) * 2]}, r"slices are missing \(2 in all\): 2 between"),
        ({"ImagePositionPatient": lambda n: [0, 0, n // 2]}, r"slices are doubled \(3 in all\).*keep one of each"),
        (
            {"ImagePositionPatient": lambda n: [0, 0, n // 2], "AcquisitionNumber": lambda n: n % 2},
            r"slices are doubled \(3 in all\).*one folder for each AcquisitionNumber",
        ),
        ({"ImagePositionPatient": lambda n: [0, 0, n + (n == 2) * 0.3]}, r"unevenly spaced, 0.7 to 1.3 mm.*0.1 mm is"),
        ({"ImagePositionPatient": lambda n: [0, 0.2 * n, 2 * n]}, r"gantry tilt.*dcm2niix"),
        ({"ImagePositionPatient": lambda n: [0.5 * (n == 3), 0, n]}, r"0.5 mm sideways"),
        ({"ImageOrientationPatient": lambda n: [1, 0, 0, 0, 1, 0] if n else [0, 1, 0, 1, 0, 0]}, r"Orientation.*is \["),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, r"right angle"),
        ({"PixelSpacing": lambda n: [0.9, 0.8 if n == 5 else 0.7]}, r"its PixelSpacing is \[0.9, 0.8\]"),
        ({"stored": lambda n: np.zeros((5 + (n == 4), 7), np.uint16)}, r"its Rows is 6.*in the same series is 5"),
        ({"SeriesInstanceUID": lambda n: f"1.2.{n // 2 and 1}"}, r"holds 2 series .*, of 4, 2 images"),
        ({"Modality": "MR"}, r"Modality \(0008,0060\) is MR, not CT"),
        ({"NumberOfFrames": 3}, r"multi-frame .* of 3 frames"),
        ({"ImagePositionPatient": None}, r"lacks ImagePositionPatient"),
        ({"PixelSpacing": [0, 1]}, r"last two above 0"),
        ({"numbers": [3]}, r"only slice of its series"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, r"holds only localizers, 6 of them"),
        ({"RescaleType": "MGML"}, r"its values are MGML by RescaleType"),
        ({"RescaleIntercept": None}, r"lacks RescaleIntercept"),
        ({"RescaleIntercept": None, "RescaleSlope": None}, r"lacks RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": 0}, r"RescaleSlope \(0028,1053\) is 0"),
        ({"PhotometricInterpretation": "RGB"}, r"\(0028,0004\) is RGB"),
        ({"HighBit": 11}, r"HighBit \(0028,0102\) is 11"),
    ],
)
def test_series_that_is_refused(write_series, tags, message):
    folder = write_series(**tags)
    for use in (CTReader().open, read):
        with pytest.raises(DataError, match=message) as error:
            use(folder)
        assert str(folder) in str(error.value) and "Doe" not in str(error.value)


def test_what_lies_beside_the_slices_is_ignored(write_series, write_slice):
    folder = write_series()
    write_slice(name="scout.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.4")
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "LICENSE"):
        (folder / name).write_text("no slice")
    directory = FileDataset("", {}, b"\0" * 128, FileMetaDataset(), is_implicit_VR=False, is_little_endian=True)
    directory.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    directory.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    directory.FileSetID = "SET"
    directory.save_as(folder / "DICOMDIR", **IN_FILE_FORMAT)
    np.testing.assert_array_equal(read(folder)[0], HU)


@pytest.mark.parametrize("name", ["slice9.dcm", "CT.1.2.840.113619.4711", "IM000009"])
def test_file_that_should_be_a_slice_is_not_ignored(write_series, name):
    folder = write_series()
    (folder / name).write_text("<!DOCTYPE html>")
    with pytest.raises(DataError, match=rf"{name}: not a DICOM file: it begins with b'<!DOCTYPE html"):
        CTReader().open(folder)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.995])
def test_slice_that_was_cut_short(write_series, part):
    folder = write_series(stored=lambda n: np.zeros((64, 64), np.uint16))
    path = folder / "slice0.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"slice0.dcm: .*(cut short|cannot be decoded)"):
        read(folder)
    path.write_bytes(content[:500])  # in the header
    with pytest.raises(DataError, match=r"slice0.dcm: .*cut short"):
        CTReader().open(folder)


def test_compressed_slice_that_was_cut_short(write_series):
    folder = write_series(syntax=uid.RLELossless)
    path = folder / "slice0.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"slice0.dcm: .*(cut short|cannot be decoded)"):
        read(folder)


def test_places_where_there_is_no_ct(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.txt").write_text("no CT")
    for name, message in [
        ("empty", "holds no DICOM image among its 0 files"),
        ("missing", "no such file or folder"),
        ("missing.nii.gz", "no such file or folder"),
        ("image.txt", "neither a folder nor a NIfTI file"),
    ]:
        for use in (CTReader().open, read):
            with pytest.raises(DataError, match=message):
                use(tmp_path / name)


AFFINE = np.array([[0.7, 0, 0, -20], [0, 0.9, 0, 30], [0, 0, 2.5, -8], [0, 0, 0, 1]])


def save_nifti(path, affine=AFFINE, array=HU, slope=None):
    image = nibabel.Nifti1Image(array.astype(np.int16), affine)
    if slope:
        image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_nifti_has_its_own_values_and_affine(tmp_path, name):
    path = save_nifti(tmp_path / name, array=HU[..., None])
    array, affine = read(path)
    np.testing.assert_array_equal(array, HU)
    np.testing.assert_allclose(affine, AFFINE)
    assert array.flags.c_contiguous and CTReader().open(path).spacing == pytest.approx((0.7, 0.9, 2.5))


def test_nifti_that_is_refused(tmp_path):
    sheared = AFFINE.copy()
    sheared[1, 2] = 0.3
    save_nifti(tmp_path / "sheared.nii", sheared)
    save_nifti(tmp_path / "flat.nii", array=HU[:, :, 0])
    save_nifti(tmp_path / "several.nii", array=np.stack([HU, HU], -1))
    image = nibabel.Nifti1Image(HU, None)
    image.header["pixdim"][1:4] = 1
    nibabel.save(image, tmp_path / "lost.nii")
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), np.nan, np.float32), AFFINE), tmp_path / "nan.nii")
    (tmp_path / "text.nii").write_text("no NIfTI")
    content = save_nifti(tmp_path / "cut.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(content[:-100])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(content)[:-100])
    for name, message in [
        ("sheared.nii", "not at right angles"),
        ("flat.nii", "a CT has three axes"),
        ("several.nii", "a CT has three axes"),
        ("lost.nii", "left and right cannot be told"),
        ("nan.nii", "not a number"),
        ("text.nii", "cannot be read as NIfTI"),
        ("cut.nii", "cut short"),
        ("cut.nii.gz", "cut short"),
    ]:
        with pytest.raises(DataError, match=rf"{name}: .*{message}"):
            read(tmp_path / name)
