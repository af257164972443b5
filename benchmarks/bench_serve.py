"""A server under load: uploads all at once, in rounds, each answer compared with that of `matlens predict`.

    python benchmarks/bench_serve.py RUN PHOTOS [--uploads 500] [--rounds 10]

It starts `matlens serve` in a process of its own, waits until it is ready, and sends so many uploads at once, of photos
in a folder, in turn. A 429 is sent again after Retry-After. It prints, of each round, the statuses, answers that were
lost or differ by more than 1e-5 in a probability, the server's memory, and CPU seconds of the server for an answer
beside those of the engine alone, which computes batches of the same photos in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from matlens.data.pixels.reader import PhotoReader
from matlens.features.artifact import Artifact
from matlens.jobs.answers import answers_to
from matlens.jobs.predict import AskedPhotos, predict_files, predicting_artifact
from matlens.serving.engine import BATCH

CLOSE = 1e-5
"""How far a probability may lie from the command's: a batch is added up in another order."""


def expected_answers(artifact: Artifact, photos: list[Path]) -> dict[str, dict[str, Any]]:
    """Return what the command prints of each photo, by its name."""
    lines = (json.loads(line) for line, _ in predict_files(artifact, AskedPhotos.of(photos), as_json=True))
    return {Path(line["path"]).name: line for line in lines}


def is_same(answer: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Compare an answer with what the command printed."""
    return answer["class"] == expected["class"] and answer["set"] == expected["set"] and answer["unknown"] == expected[
        "unknown"] and max(abs(answer["probabilities"][name] - value)
                           for name, value in expected["probabilities"].items()) < CLOSE


def of_process(number: int) -> tuple[float, float]:
    """Return megabytes that a process holds, and CPU seconds that it took (Linux)."""
    status = Path(f"/proc/{number}/status").read_text("utf-8")
    times = Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()
    held = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return held / 1024, (int(times[11]) + int(times[12])) / 100


async def send(client: httpx2.AsyncClient, photo: Path, statuses: Counter[int]) -> dict[str, Any] | None:
    """Upload a photo until it is answered. Returns None where it is not."""
    for _ in range(200):
        response = await client.post("/v1/predict", files={"photos": (photo.name, photo.read_bytes(), "image/jpeg")})
        statuses[response.status_code] += 1
        if response.status_code != 429:
            answer: dict[str, Any] = response.json()["photos"][0]
            return {**answer["answers"][0], "name": answer["name"]} if response.status_code == 200 else None
        await asyncio.sleep(float(response.headers["Retry-After"]))
    return None


async def rounds(address: str, server: int, photos: list[Path], expected: dict[str, dict[str, Any]], uploads: int,
                 times: int) -> None:
    """Send all rounds, and print."""
    limits = httpx2.Limits(max_connections=uploads)
    async with httpx2.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        for number in range(1, times + 1):
            statuses: Counter[int] = Counter()
            before = of_process(server)[1]
            chosen = [photos[(number + place) % len(photos)] for place in range(uploads)]
            answers = await asyncio.gather(*(send(client, photo, statuses) for photo in chosen))
            held, after = of_process(server)
            lost = sum(answer is None for answer in answers)
            other = sum(answer is not None and not is_same(answer, expected[answer["name"]]) for answer in answers)
            print(f"round {number}: statuses {dict(statuses)}, {lost} lost, {other} other than the command's, "
                  f"{held:.0f} MB, {1000 * (after - before) / uploads:.1f} CPU ms an answer", flush=True)


def engine_alone(artifact: Artifact, photos: list[Path]) -> float:
    """Return the CPU milliseconds for a photo of decoding and computing full batches, without a server."""
    reader = PhotoReader(artifact.img_size)
    artifact.predict(np.zeros((BATCH, *artifact.img_size, 3), np.float32))
    started = resource.getrusage(resource.RUSAGE_SELF)
    for start in range(0, len(photos), BATCH):
        images = np.stack([reader.read(path) for path in photos[start:start + BATCH]])
        answers_to(artifact, images.astype(np.float32) / 255)
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime) / len(photos)


def main() -> None:
    """Start the server, and load it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    photos = list(AskedPhotos.of([given.photos]).photos)[:given.uploads]
    artifact = predicting_artifact(given.run)
    expected = expected_answers(artifact, photos)
    alone = engine_alone(artifact, photos)
    print(f"{len(photos)} photos, {artifact.model_name}; the engine alone takes {alone:.1f} CPU ms a photo", flush=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "matlens", "serve", str(given.run), "--port", str(port)])
    try:
        while True:
            try:
                if httpx2.get(f"{address}/readyz").status_code == 200:
                    break
            except httpx2.TransportError:
                assert server.poll() is None, "the server ended"
            time.sleep(0.2)
        asyncio.run(rounds(address, server.pid, photos, expected, given.uploads, given.rounds))
    finally:
        server.terminate()
        print(f"SIGTERM: exit code {server.wait()}")


if __name__ == "__main__":
    main()
