"""The face of the package: what configurations name, found as they find it."""

from __future__ import annotations

import pickle
import pkgutil
import pydoc

import pytest

import pipelines


def test_every_name_of_the_face_is_found_as_configurations_find_it():
    for name in pipelines.__all__:
        thing = getattr(pipelines, name)
        assert thing.__name__ == name and name in dir(pipelines)
        assert pydoc.locate(f"pipelines.{name}") is thing  # as MONAI does
        assert pickle.loads(pickle.dumps(thing)) is thing  # as workers of a DataLoader do
    with pytest.raises(AttributeError, match="module 'pipelines' has no attribute 'gone'"):
        pipelines.gone  # noqa: B018


def test_no_module_hides_a_name_of_the_face():
    """Importing ``pipelines.x`` would make ``pipelines.x`` the module."""
    assert not {module.name for module in pkgutil.iter_modules(pipelines.__path__)} & set(pipelines.__all__)
