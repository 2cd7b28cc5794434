"""Celery: so many tasks wait in Redis, a worker with a process for each core takes them. Prints the seconds."""

import os
import subprocess
import sys
import time

from redis import Redis

from tests.bench.peers.seed_stack import contact_created

QUEUE, UNDER_WAY = "celery", "unacked"
jobs = int(sys.argv[1])
broker = Redis.from_url(os.environ["BENCH_REDIS_URL"].replace("redis+socket://", "unix://"))
for number in range(jobs):
    contact_created.delay(str(number))


def left() -> int:
    return int(broker.llen(QUEUE)) + int(broker.hlen(UNDER_WAY))  # type: ignore[arg-type]


application = "tests.bench.peers.seed_stack:celery"
command = [sys.executable, "-m", "celery", "-A", application, "worker", "-c", "2", "-l", "error"]
worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while left() == jobs:
    time.sleep(0.01)
started = time.perf_counter()
while left():
    time.sleep(0.01)
seconds = time.perf_counter() - started
worker.terminate()
worker.wait(30)
sys.stdout.write(f"{seconds}\n")
