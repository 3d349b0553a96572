"""Which files of a model an engine is given."""

from __future__ import annotations

from modelshelf.domain.served_files import gguf_files, whole_folder
from tests.unit.domain.test_weight_files import files_of


def test_a_model_of_one_file_is_that_file() -> None:
    """A single GGUF is given as it is, without a file that reads images."""
    served = gguf_files(files_of("m.gguf", "README.md"))

    assert served is not None
    assert (served.first, served.mmproj, served.size_bytes) == ("m.gguf", "", 1)


def test_a_projector_of_16_bits_is_taken() -> None:
    """Of several files that read images, one of 16 bits is given; of one alone, that one."""
    several = gguf_files(files_of("m-Q4_0.gguf", "mmproj-F32.gguf", "mmproj-F16.gguf", "mmproj-Q8_0.gguf"))
    alone = gguf_files(files_of("m-Q4_0.gguf", "mmproj-F32.gguf"))

    assert several is not None
    assert alone is not None
    assert (several.mmproj, alone.mmproj) == ("mmproj-F16.gguf", "mmproj-F32.gguf")
    assert [file.path for file in several.files] == ["m-Q4_0.gguf", "mmproj-F16.gguf"]


def test_other_formats_are_given_as_a_folder() -> None:
    """Without a GGUF there is no first file: the folder is given, and all of its files are read."""
    files = files_of("model.safetensors", "config.json")

    assert gguf_files(files) is None
    assert (whole_folder(files).first, whole_folder(files).size_bytes) == ("", 3)
