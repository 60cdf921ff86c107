"""Tests of stored and streamed crawls, one module for each of the package."""
