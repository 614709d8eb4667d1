"""Tests of artdaqDB."""
