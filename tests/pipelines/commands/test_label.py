"""``label``: what it calls, with what."""

from __future__ import annotations

from pipelines.label import server


def test_arguments_reach_the_function(call):
    given, settings = call("label lungs opacity --studies DIR --port 8001", server, "start_server")
    assert given == [["lungs", "opacity"]]
    assert settings == {"studies": "DIR", "app": "monailabel_app", "port": 8001, "origins": []}
    line = "label lungs --studies DIR --allow-origin http://a:1 --allow-origin https://b --token FILE"
    _, settings = call(line, server, "start_server")
    assert settings["origins"] == ["http://a:1", "https://b"] and settings["token"] == "FILE"


def test_images_and_a_bundle_must_be_given(misused):
    assert "required: BUNDLE, --studies" in misused("label")
