from __future__ import annotations

import pytest

from pipelines.archive.spool import FullError, Spool


def filled(folder, limit=10):
    spool = Spool(folder, limit)
    spool.put("1.1", "1.1.1", b"first")
    spool.put("1.1", "1.1.2", b"second")
    return spool


def contents(folder):
    return sorted(path.read_bytes() for path in folder.rglob("*.dcm"))


def test_a_series_goes_from_folder_to_folder(tmp_path):
    spool = filled(tmp_path)
    spool.take(settle=60)
    assert list(spool.jobs()) == []  # more of it may come
    spool.take(settle=0)
    (job,) = spool.jobs()
    assert contents(spool.images / job) == [b"first", b"second"] and contents(spool.incoming) == []
    assert not list(spool.images.rglob("*1.1.1*"))  # no UID in a name

    (spool.made / job).mkdir()
    (spool.made / job / "answer.dcm").write_bytes(b"answer")
    spool.done(job, failed=False)
    ((answered, files),) = spool.to_send()
    assert answered == job and [file.read_bytes() for file in files] == [b"answer"] and list(spool.jobs()) == []
    spool.sent(job)
    assert spool.to_send() == [] and contents(tmp_path) == []


def test_what_was_put_is_there_after_a_kill(tmp_path):
    filled(tmp_path)
    again = Spool(tmp_path, 10)
    assert again.waiting == 2
    again.take(settle=0)
    again.take(settle=0)  # the first look starts the clock
    (job,) = again.jobs()
    assert contents(again.images / job) == [b"first", b"second"]


def test_more_than_the_limit_is_refused_and_the_same_again_is_not(tmp_path):
    spool = filled(tmp_path, limit=2)
    with pytest.raises(FullError):
        spool.put("1.1", "1.1.3", b"third")
    spool.put("1.1", "1.1.2", b"second, sent again")
    assert contents(tmp_path) == [b"first", b"second, sent again"]
    spool.take(settle=0)
    (job,) = spool.jobs()
    spool.done(job, failed=False)
    spool.put("1.1", "1.1.3", b"third")
    assert contents(tmp_path) == [b"third"]


def test_what_failed_or_was_refused_is_kept_for_a_person(tmp_path):
    spool = filled(tmp_path)
    spool.take(settle=0)
    (job,) = spool.jobs()
    (spool.made / job).mkdir()
    (spool.made / job / "answer.dcm").write_bytes(b"answer")
    spool.done(job, failed=True)
    assert contents(spool.failed) == [b"first", b"second"] and spool.waiting == 0
    spool.refused(job)
    assert contents(spool.failed) == [b"answer", b"first", b"second"] and spool.to_send() == []


def test_others_cannot_read_it(tmp_path):
    filled(tmp_path / "spool")
    paths = [tmp_path / "spool", *(tmp_path / "spool").rglob("*.dcm")]
    assert [path.stat().st_mode & 0o077 for path in paths] == [0, 0, 0]
