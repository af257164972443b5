"""Damage in a file of arrays is an error that callers expect, whichever byte it hits."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from matlens.system.untrusted_arrays import map_array, read_arrays


@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
def test_no_flipped_bit_of_a_header_raises_anything_but_a_value_error(tmp_path, packed):
    """NumPy reads headers as Python's tokens, with errors of their own: a bracket in place of a space is one."""
    plain, archive = tmp_path / "values.npy", tmp_path / "values.npz"
    np.save(plain, np.arange(12).reshape(3, 4))
    whole = plain.read_bytes()
    refused = 0
    for place in range(128):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            try:
                if packed:
                    with zipfile.ZipFile(archive, "w") as file:
                        file.writestr("values.npy", bytes(damaged))
                    read_arrays(archive, {"values": ("iuf", None)})
                else:
                    plain.write_bytes(damaged)
                    map_array(plain)
            except ValueError:
                refused += 1
    assert refused > 900
