"""joblib's backends: processes and threads of this machine, and clusters of Dask and Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

BACKENDS = ("loky", "threading", "dask", "ray")
"""joblib's backends that are offered: processes, threads, and two kinds of clusters."""

CLUSTERS = ("dask", "ray")


@dataclass(frozen=True)
class Workers:
    """Who computes.

    Attributes
    ----------
    jobs : workers to start; None for one, or on a cluster all it has.
    backend : one of `BACKENDS`; None computes in this process when there is one job, and with "loky" otherwise.
    scheduler : address of a Dask scheduler or a Ray cluster; None starts a local one.
    send : read the rows here and send them along, for workers that do not see the file.
    """

    jobs: int | None = None
    backend: str | None = None
    scheduler: str | None = None
    send: bool = False


def check_address(scheduler: str) -> None:
    """ValueError unless a Dask scheduler can have this address; no connection is made.

    >>> check_address("tcp://head:8786")
    >>> check_address("head")
    Traceback (most recent call last):
    ValueError: --scheduler is 'head'; allowed are addresses of the form tcp://host:port
    """
    try:
        parts = urlsplit(scheduler)
        whole = bool(parts.scheme and parts.hostname and (parts.port or parts.scheme == "inproc"))
    except ValueError:  # a port that is no number, or too large
        whole = False
    if not whole:
        raise ValueError(f"--scheduler is {scheduler!r}; allowed are addresses of the form tcp://host:port")


@contextmanager
def configuration(workers: Workers) -> Iterator[dict[str, Any]]:
    """Arguments of joblib's ``parallel_config``, with a cluster at hand if they are for one.

    Raises ModuleNotFoundError when the cluster's library is missing, and ValueError or OSError when it does not answer.
    """
    if workers.backend == "dask":
        with _dask(workers) as client:
            yield {"backend": _dask_backend(client)}
    elif workers.backend == "ray":
        with _ray(workers):
            yield {"backend": "ray", "n_jobs": -1 if workers.jobs is None else workers.jobs}
    else:
        yield {"backend": workers.backend or "loky", "n_jobs": workers.jobs or 1}


@contextmanager
def _ray(workers: Workers) -> Iterator[None]:
    import ray  # pyright: ignore[reportMissingImports]  in no extra of ours
    from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]

    ours = not ray.is_initialized()
    if ours:
        ray.init(address=workers.scheduler, num_cpus=None if workers.scheduler else workers.jobs)
    register_ray()
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _dask(workers: Workers) -> Iterator[Any]:
    """A client of the scheduler, or of a cluster of processes on this machine."""
    from distributed import Client, LocalCluster
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    if workers.scheduler is None:
        count = workers.jobs or os.cpu_count() or 1
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address="") as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        get_backend(parse_address(workers.scheduler)[0])  # a client with a wrong one would complain once more at exit
        client = Client(workers.scheduler, set_as_default=False, timeout=10)
    except (OSError, ValueError) as error:
        raise ValueError(f"--scheduler is {workers.scheduler!r}: no Dask scheduler answers there: {error}") from error
    with client:
        yield client


def _dask_backend(client: Any) -> Any:
    """joblib's backend for Dask, which would wait for ever for a task that the cluster has given up."""
    # The module is private. joblib registers the class under the name "dask" and exports it nowhere, and a callback per
    # task, which is what it lacks, can only be added in a subclass.
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if callback and done.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise ValueError(
                    f"the Dask cluster gave up a chunk ({out}); if memory ran out, use a smaller --chunk or larger "
                    "workers; --resume keeps what is finished"
                )
            return super().retrieve_result_callback(out)

    return Backend(client=client)
