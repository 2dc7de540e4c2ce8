"""Tests of pipelines/reporting."""
