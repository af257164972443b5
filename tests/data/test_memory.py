"""Memory does not grow with the number of photos: that is what the store is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PHOTOS, SIDE = 3_000, 64

CHILD = f"""
import json, sys
from pathlib import Path

import numpy as np

from matlens.data.pixels import store as module
from matlens.data.batches import PhotoBatches
from matlens.data.pixels.reader import PhotoReader

PhotoReader.attempt = lambda self, path, sha256: np.full((*self.img_size, 3), int(path.name) % 256, np.uint8)
peak = 0

def look(*_):
    global peak
    status = Path("/proc/self/status").read_text()
    peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]) * 1024)

def through(n):
    hashes = {{str(number): f"{{number:064x}}" for number in range(n)}}
    store = module.prepare_store(Path("photos"), hashes, ({SIDE}, {SIDE}), Path(sys.argv[1]), on_progress=look)
    for start in range(0, n, 64):
        store.read(range(start, min(start + 64, n)))
        look()
    for epoch in range(2):
        seen = 0
        for images, labels in PhotoBatches(store, np.arange(n), np.arange(n) % 4, 4, 64, shuffle=True).epoch(epoch):
            seen += len(images)
            look()
        assert seen == n
    return peak

print(json.dumps([through({PHOTOS}), through({4 * PHOTOS})]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is told by /proc")
def test_four_times_the_photos_need_no_more_memory(tmp_path):
    """57,500 photos must fit where 5,000 do. The further photos here are 110 MB as bytes and 440 MB as floats; what is
    allowed is their names and rows, and a batch or two more under way."""
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout)
    assert many - few < 30e6
