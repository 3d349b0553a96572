"""Tests of the parts together, with real servers, clients and disks."""
