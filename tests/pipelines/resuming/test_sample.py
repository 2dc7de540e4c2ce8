"""Images that were learnt from are found again by what is in their files; their names are not in what is kept."""

from __future__ import annotations

from pipelines.resuming.sample import found_of, joined_samples, sample_of


def written(folder, count, name="{}.png"):
    folder.mkdir()
    for number in range(count):
        (folder / name.format(number)).write_bytes(bytes(5000) + f"{number:04}".encode() + bytes(5000))
    return [str(folder / name.format(number)) for number in range(count)]


def test_a_sample_finds_the_same_images_elsewhere_and_no_others(tmp_path):
    """Whatever part of a larger list they are, and whatever they are called there."""
    here, there = written(tmp_path / "here", 200), written(tmp_path / "there", 200, "case-{}.png")
    sample = sample_of(here)
    assert len(sample) == 64 and sample_of(reversed(here)) == sample and {len(one) for one in sample} == {8}
    assert found_of(sample, there) == 64 and 0 < found_of(sample, there[:100]) < 64
    with open(there[0], "ab") as file:
        file.write(b"x")
    assert found_of(sample_of(here[:1]), there[:1]) == 0


def test_a_name_that_is_tried_tells_nothing(tmp_path):
    """Names may be patients' numbers, and sizes are often the same."""
    (path,) = written(tmp_path / "a", 1)
    sample = sample_of([path])
    with open(path, "r+b") as file:
        file.seek(5000)
        file.write(b"else")
    assert found_of(sample, [path]) == 0


def test_a_series_is_known_as_folder_and_as_files(tmp_path):
    paths, others = written(tmp_path / "series", 5), written(tmp_path / "others", 4)
    assert sample_of([str(tmp_path / "series")]) == sample_of([paths]) == sample_of([paths[::-1]])
    assert found_of(sample_of([paths]), [str(tmp_path / "series"), str(tmp_path / "others")]) == 1
    assert sample_of(["".join(others[:1])]) != sample_of([paths])


def test_the_sample_of_two_lists_is_that_of_both_samples(tmp_path):
    paths = written(tmp_path / "a", 300)
    assert joined_samples(sample_of(paths[:120]), sample_of(paths[120:])) == sample_of(paths)
    assert joined_samples(sample_of(paths), None) == []  # nobody knows what else was learnt from
