"""The tests of modelshelf."""
