"""A server under load: uploads all at once, in rounds, each answer compared with that of `matlens predict`.

    python benchmarks/bench_serve.py RUN PHOTOS [--uploads 500] [--rounds 10] [--seconds 10]

It starts `matlens serve` in a process of its own, with the best model of a run, waits until it is ready, and sends so
many uploads at once, of photos in a folder, in turn. A 429 is sent again after Retry-After. It prints

- when the server listens, is ready and has given its first answer;
- of each round the statuses, answers that were lost or differ by more than 1e-5 in a probability, the server's memory,
  and CPU seconds of the server for an answer beside those of the engine alone, which decodes and computes batches of
  the same photos in this process;
- of one client that sends a photo after the other, the median and the 99th percentile of the time to an answer;
- of 32 clients at once the photos a second, as a share of what the engine alone makes of batches of 32 decoded photos:
  both in turns, so that other work on the machine meets both, with n and the spread; and the share by CPU time, which
  other work changes least.
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
from matlens.data.pixels.values import as_floats
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
    before = cpu_seconds()
    for start in range(0, len(photos), BATCH):
        images = np.stack([reader.read(path) for path in photos[start:start + BATCH]])
        answers_to(artifact, as_floats(images))
    return 1000 * (cpu_seconds() - before) / len(photos)


def cpu_seconds() -> float:
    """Return the CPU seconds that this process took."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def engine_rate(artifact: Artifact, images: Any, seconds: float) -> tuple[float, float]:
    """Answer full batches of decoded photos (BATCH, H, W, 3) uint8. Returns photos a second, and CPU ms a photo."""
    answers_to(artifact, as_floats(images))
    started, before, done = time.perf_counter(), cpu_seconds(), 0
    while (taken := time.perf_counter() - started) < seconds:
        answers_to(artifact, as_floats(images))
        done += len(images)
    return done / taken, 1000 * (cpu_seconds() - before) / done


async def latencies(address: str, photos: list[Path], seconds: float) -> list[float]:
    """Let one client send a photo after the other. Returns the seconds to each answer."""
    taken = []
    async with httpx2.AsyncClient(base_url=address, timeout=600) as client:
        ended = time.perf_counter() + seconds
        while time.perf_counter() < ended:
            started = time.perf_counter()
            (await client.post("/v1/predict", content=photos[len(taken) % len(photos)].read_bytes())).raise_for_status()
            taken.append(time.perf_counter() - started)
    return taken


async def rate_of_clients(address: str, server: int, photos: list[Path], seconds: float, clients: int = BATCH,
                          ) -> tuple[float, float]:
    """Let clients each send a photo after the other. Returns photos a second, and the server's CPU ms an answer."""
    contents, done, before = [path.read_bytes() for path in photos[:BATCH]], 0, of_process(server)[1]
    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        started = time.perf_counter()

        async def one(number: int) -> None:
            nonlocal done
            while time.perf_counter() - started < seconds:
                (await client.post("/v1/predict", content=contents[number % len(contents)])).raise_for_status()
                done += 1

        await asyncio.gather(*map(one, range(clients)))
        return done / (time.perf_counter() - started), 1000 * (of_process(server)[1] - before) / done


def batches_and_photos(address: str) -> Any:
    """Return how many batches and photos the server has computed."""
    text = httpx2.get(f"{address}/metrics").text
    return np.array([float(text.split(f"\nmatlens_{name}_total ")[1].split()[0]) for name in ("batches",
                                                                                            "photos_answered")])


def spread(values: list[float]) -> str:
    """Write the median of some values, with the smallest and the largest."""
    return f"{np.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def rates(address: str, server: int, artifact: Artifact, photos: list[Path], seconds: float, turns: int = 5) -> None:
    """Measure latency, and engine and server in turns, and print."""
    taken = 1000 * np.array(asyncio.run(latencies(address, photos, seconds)))
    print(f"one client: median {np.median(taken):.0f} ms, 99th percentile {np.percentile(taken, 99):.0f} ms "
          f"(n = {len(taken)})", flush=True)
    reader = PhotoReader(artifact.img_size)
    images = np.stack([reader.read(path) for path in (photos * BATCH)[:BATCH]])
    before = batches_and_photos(address)
    pairs = [(asyncio.run(rate_of_clients(address, server, photos, seconds)), engine_rate(artifact, images, seconds))
             for _ in range(turns)]
    print(f"{BATCH} clients: {spread([served[0] for served, _ in pairs])} photos a second; the engine alone, in "
          f"batches of {BATCH} decoded photos: {spread([alone[0] for _, alone in pairs])}; share "
          f"{spread([100 * served[0] / alone[0] for served, alone in pairs])} % (n = {turns})")
    batches, answered = batches_and_photos(address) - before
    print(f"{answered / batches:.1f} photos in a batch of the server, on average")
    print(f"CPU time: {np.median([served[1] for served, _ in pairs]):.1f} ms an answer of the server, "
          f"{np.median([alone[1] for _, alone in pairs]):.1f} ms a photo of the engine; share "
          f"{spread([100 * alone[1] / served[1] for served, alone in pairs])} % (n = {turns})", flush=True)


def main() -> None:
    """Start the server, and load it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10, help="of each turn of the rates")
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
    started = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-m", "matlens", "serve", str(artifact.folder), "--port", str(port)])
    try:
        seen: dict[str, float] = {}
        while "is ready" not in seen:
            try:
                status = httpx2.get(f"{address}/readyz").status_code
                seen.setdefault("listens", time.perf_counter() - started)
                if status == 200:
                    seen["is ready"] = time.perf_counter() - started
            except httpx2.TransportError:
                assert server.poll() is None, "the server ended"
            time.sleep(0.02)
        httpx2.post(f"{address}/v1/predict", content=photos[0].read_bytes()).raise_for_status()
        seen["has given its first answer"] = time.perf_counter() - started
        print("the server " + ", ".join(f"{what} after {seconds:.1f} s" for what, seconds in seen.items()), flush=True)
        asyncio.run(rounds(address, server.pid, photos, expected, given.uploads, given.rounds))
        rates(address, server.pid, artifact, photos, given.seconds)
    finally:
        server.terminate()
        print(f"SIGTERM: exit code {server.wait()}")


if __name__ == "__main__":
    main()
