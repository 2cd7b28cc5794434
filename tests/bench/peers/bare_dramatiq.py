"""Bare Dramatiq: so many messages wait in Redis, one worker of eight threads takes them. Prints the seconds."""

import os
import sys
import threading
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

jobs = int(sys.argv[1])
broker = RedisBroker(url=os.environ["BENCH_REDIS_URL"], namespace="bare", middleware=[])
dramatiq.set_broker(broker)
done = threading.Semaphore(0)


@dramatiq.actor
def nothing(_contact_id: str) -> None:
    done.release()


for number in range(jobs):
    nothing.send(str(number))
worker = dramatiq.Worker(broker, worker_threads=8)
worker.start()
done.acquire()
started = time.perf_counter()
for _ in range(jobs - 1):
    done.acquire()
seconds = time.perf_counter() - started
worker.stop()
sys.stdout.write(f"{seconds}\n")
