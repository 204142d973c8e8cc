"""A consuming process for the Python SDK (rwkv-api): the jobs of work.ts that it has words for."""

import asyncio
import json
import os
import re
import sys
import time

import httpx
from rwkv_api import AsyncClient


def micros():
    return time.monotonic_ns() // 1000


def encode(scenario):
    return "n{frames}.s{size}.k{perWrite}.p{pace}.d{duration}".format(**scenario)


def stamped(text):
    match = re.match(r"t(\d{16}) ", text)
    return int(match[1]) if match else None


nonce = 0


async def stream(client, job):
    first, latency = [], []
    scenario = job["scenario"]

    async def one():
        global nonce
        nonce += 1
        begun = micros()
        length = 0
        async for text in client.stream_task(f"TMP_{encode(scenario)}.x{os.getpid()}-{nonce}"):
            if length == 0:
                first.append(micros() - begun)
            length += len(text)
            sent = stamped(text) if scenario["pace"] else None
            if sent is not None:
                latency.append(micros() - sent)
        if length != scenario["frames"] * scenario["size"]:
            raise RuntimeError(f"{length} characters")

    await asyncio.gather(*(one() for _ in range(job["streams"])))
    return {"units": job["streams"] * scenario["frames"], "firstText": first, "latency": latency}


async def ask(client, job):
    for _ in range(job["requests"]):
        await client.get_task_result("TMP_n1.s1.k1.p0.d0.xask")
    return {"units": job["requests"]}


async def wait(client, job):
    delay = []
    durations = job["durations"]
    queue = [durations[index % len(durations)] for index in range(job["tasks"])]

    async def one(index):
        await asyncio.sleep(index * 0.503 / job["atOnce"])
        while queue:
            duration = queue.pop()
            scenario = {"frames": 1, "size": 1, "perWrite": 1, "pace": 0, "duration": duration}
            task = await client.create(encode(scenario))
            await task.wait()
            delay.append({"duration": duration, "delay": micros() - stamped(task.result)})

    await asyncio.gather(*(one(index) for index in range(job["atOnce"])))
    return {"units": job["tasks"], "delay": delay}


JOBS = {"stream": stream, "ask": ask, "wait": wait}


async def main():
    base_url = sys.argv[2]
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with AsyncClient(
        base_url, httpx_client=httpx.AsyncClient(base_url=base_url, timeout=120, limits=limits)
    ) as client:
        print(json.dumps({"ready": list(JOBS)}), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            job = json.loads(line)
            cpu, begun = time.process_time_ns(), micros()
            try:
                figures = await JOBS[job["kind"]](client, job)
                figures |= {"cpu": (time.process_time_ns() - cpu) // 1000, "wall": micros() - begun}
                print(json.dumps(figures), flush=True)
            except Exception as error:
                print(json.dumps({"error": repr(error)}), flush=True)


asyncio.run(main())
