"""
One client, one case, one process: `run` starts this file, which prints one line of JSON and ends.

    measure.py import STATEMENT    the cost of an import, in a process that has imported next to nothing
    measure.py case JOB            JOB is the JSON that `run` wrote

A case warms up until every worker has its connection and a batch is long enough to be timed, then repeats the batch:

    cpu     µs per repetition, user and system, all threads of the process (`time.process_time_ns`: the same account as
            getrusage, finer)
    wall    µs per repetition

Client, workers and loop are made before the clock starts. What stands around a request while it runs is the same for
all clients: one `for`, one call, one check.

Not here: servers, cores, other clients, tables (`run`).
"""

import sys
import time


def time_import(statement: str) -> None:
    """Print what an import costs. Nothing may be imported before it: it would be cheaper by that."""
    code = compile(statement, "<import>", "exec")
    names: dict = {}
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    exec(code, names)
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    print(f'{{"cpu": [{cpu / 1000}], "wall": [{wall / 1000}], "repeated": 1, "note": ""}}')


class Clock:
    """Batches of repetitions, timed."""

    def __init__(self, job):
        self.job = job
        self.cpu = []
        self.wall = []
        self.size = job["least"]

    def calibrated(self, elapsed):
        """
        Take the seconds of a batch of `size`; true once that was long enough to know the final size.

        The warm-up doubles until it took a third of a batch: every connection is open by then, caches are filled and
        the processor runs at its speed.
        """
        limit = self.job["most"] or sys.maxsize
        wanted = self.job["batch_seconds"]
        if elapsed < wanted / 3 and self.size * 2 <= limit:
            self.size *= 2
            return False
        self.size = min(limit, max(self.job["least"], round(self.size * wanted / max(elapsed, 1e-9))))
        return True

    def start(self):
        self.wall_began = time.perf_counter_ns()
        self.cpu_began = time.process_time_ns()

    def stop(self):
        """End a batch; gives its seconds."""
        self.cpu_took = time.process_time_ns() - self.cpu_began
        self.wall_took = time.perf_counter_ns() - self.wall_began
        return self.wall_took / 1e9

    def keep(self):
        """Keep the batch that was just stopped as a sample."""
        repetitions = self.size * self.job["workers"]
        self.cpu.append(self.cpu_took / repetitions / 1000)
        self.wall.append(self.wall_took / repetitions / 1000)

    def patience_ended(self):
        """A client so slow that its smallest batch is too long gives fewer samples, not a longer run."""
        spent = sum(self.wall) * self.size * self.job["workers"] / 1e6
        return spent > 2 * self.job["batches"] * self.job["batch_seconds"]

    def sample(self, batch):
        """Calibrate, then time `batch(size)` as often as the job says."""
        while not self.calibrated(self.time(batch)):
            pass
        for _ in range(self.job["batches"]):
            self.time(batch)
            self.keep()
            if self.patience_ended():
                break

    def time(self, batch):
        self.start()
        batch(self.size)
        return self.stop()

    async def asample(self, batch):
        """The same for a coroutine function."""
        while not self.calibrated(await self.atime(batch)):
            pass
        for _ in range(self.job["batches"]):
            await self.atime(batch)
            self.keep()
            if self.patience_ended():
                break

    async def atime(self, batch):
        self.start()
        await batch(self.size)
        return self.stop()


def measure_one_thread(peer, target, clock):
    with peer.sync_workers(target) as make:
        repeat(make(), clock)


def repeat(worker, clock):
    """Time a worker that is called again and again."""

    def batch(size):
        for _ in range(size):
            worker()

    clock.sample(batch)


async def arepeat(worker, clock):
    async def batch(size):
        for _ in range(size):
            await worker()

    await clock.asample(batch)


def measure_threads(peer, target, clock):
    """Threads live as long as the measurement and meet at a barrier before and after each batch."""
    import threading

    failures = []
    size = 0
    stopping = False

    def thread(worker):
        while True:
            barrier.wait()
            if stopping:
                return
            try:
                for _ in range(size):
                    worker()
            except BaseException as error:
                failures.append(error)
            barrier.wait()

    def batch(wanted):
        nonlocal size
        size = wanted
        barrier.wait()
        barrier.wait()
        if failures:
            raise failures[0]

    with peer.sync_workers(target) as make:
        barrier = threading.Barrier(target.workers + 1)
        threads = [threading.Thread(target=thread, args=(make(),), daemon=True) for _ in range(target.workers)]
        for one in threads:
            one.start()
        try:
            clock.sample(batch)
        finally:
            stopping = True
            barrier.wait()
            for one in threads:
                one.join()


async def measure_async(peer, target, clock):
    """A batch is one task per worker; each does its share of requests one after the other."""
    import asyncio

    async def task(worker, size):
        for _ in range(size):
            await worker()

    async with peer.async_workers(target) as make:
        workers = [make() for _ in range(target.workers)]

        async def batch(size):
            await asyncio.gather(*[task(worker, size) for worker in workers])

        await clock.asample(batch)


def measure_one_off(peer, target, clock):
    repeat(peer.one_off(target), clock)


async def measure_async_one_off(peer, target, clock):
    await arepeat(peer.async_one_off(target), clock)


def measure_download(peer, target, clock):
    with peer.downloads(target) as download:
        repeat(download, clock)


async def measure_async_download(peer, target, clock):
    async with peer.async_downloads(target) as download:
        await arepeat(download, clock)


def measure_construction(peer, target, clock):
    """
    Construct clients; they are closed outside the timed part.

    Each one stays alive until its batch is over, so that tearing it down is not counted.
    """
    made = []

    def batch(size):
        for _ in range(size):
            made.append(peer.construct())

    def close():
        waiting = [peer.dispose(client) for client in made]
        made.clear()
        return [one for one in waiting if one is not None]

    if clock.job["kind"] == "first":
        clock.time(batch)
        clock.keep()
        return close()
    while not clock.calibrated(clock.time(batch)):
        close()
    waiting = close()
    for _ in range(clock.job["batches"]):
        clock.time(batch)
        clock.keep()
        waiting += close()
    return waiting


async def measure_construction_in_loop(peer, target, clock):
    for waiting in measure_construction(peer, target, clock):
        await waiting


def run_in_loop(coroutine, name):
    """Run a coroutine on the loop of that name to its end."""
    import asyncio

    if name == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


KINDS = {
    "sync": (measure_one_thread, None),
    "threads": (measure_threads, None),
    "async": (None, measure_async),
    "one-off": (measure_one_off, measure_async_one_off),
    "stream": (measure_download, None),
    "async-stream": (None, measure_async_download),
    "first": (measure_construction, measure_construction_in_loop),
    "init": (measure_construction, measure_construction_in_loop),
}


def measure(job):
    """Carry out a job; gives what is printed. Failures are a result too."""
    import importlib

    module, name = job["adapter"]
    try:
        adapter = importlib.import_module(f"peers.{module}")
        from peers.base import NotOffered, Target
    except ImportError as error:
        return {"error": f"not installed: {error}"}
    try:
        peer = getattr(adapter, name)()
        target = Target(job["url"], job["ca"], job["size"], job["http2"], job["workers"])
        clock = Clock(job)
        plain, looped = KINDS[job["kind"]]
        if looped is not None and (plain is None or peer.needs_loop):
            run_in_loop(looped(peer, target, clock), job["loop"])
        else:
            plain(peer, target, clock)
    except NotOffered as error:
        return {"not_offered": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"cpu": clock.cpu, "wall": clock.wall, "repeated": clock.size, "note": peer.notes.get(job["kind"], "")}


def raise_file_limit():
    """500 connections need 500 descriptors, and some systems start with 256."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))


def main():
    if sys.argv[1] == "import":
        time_import(sys.argv[2])
        return
    import json
    import os

    raise_file_limit()
    print(json.dumps(measure(json.loads(sys.argv[2]))), flush=True)
    # Not by the interpreter's way out: what a client does while it is torn down is not the question, and must not hang.

    os._exit(0)


if __name__ == "__main__":
    main()
