"""Tests of artdaqDB through the experiment's library."""
