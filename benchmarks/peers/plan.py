"""The cases to measure, as plain data that all workers (Python's and Julia's) read."""

from __future__ import annotations

import dataclasses
from typing import Any

OURS = "eigenpair"
FORWARD = "eigenpair, forward"  # in cases of gradients
ALL_OF_IT = "eigenpair, all"  # in cases of subsets
FRAME = "nothing"  # JAX with the matrix in place of its eigenvectors
FLOOR = "LAPACK "  # how the names of direct calls begin

# What one call computes. The losses are O(n²), so that the time is that of the decomposition and its derivative.
TASKS = {
    "forward": "eigenvalues and eigenvectors",
    "values": "eigenvalues only",
    "grad_values": "value and gradient of a loss of the eigenvalues",
    "grad_vectors": "value and gradient of a loss of the eigenvectors",
    "eager_forward": "eigenvalues and eigenvectors, not jitted",
    "eager_grad_values": "value and gradient of a loss of the eigenvalues, not jitted",
    "import": "import, on top of the array library's own",
    "first_call": "first call of a jitted gradient: tracing, compilation, run",
    "memory": "peak memory of a gradient",
}
GROUPS = {
    "single": "One matrix",
    "batch": "Batches",
    "generalized": "Generalized problems, A v = λ B v",
    "subset": "Subset of the spectrum",
    "overhead": "Calls of small functions",
    "threads": "One thread against two",
    "startup": "Import, compilation, memory",
    "julia": "Julia",
}
ALL_TASKS = ("forward", "values", "grad_values", "grad_vectors")


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement of all contenders."""

    group: str
    task: str
    n: int
    batch: int | None = None
    generalized: bool = False
    subset: tuple[int, int] | None = None
    threads: int = 2
    language: str = "python"

    @property
    def id(self) -> str:
        """Names the case in progress, results and targets."""
        kind = "generalized " if self.generalized and self.group != "generalized" else ""
        size = f"{self.batch}×{self.n}" if self.batch else f"{self.n}"
        part = f", {self.subset[1] - self.subset[0] + 1} of them" if self.subset else ""
        return f"{self.group}/{self.task}/{kind}{size}{part}" + (f"/t{self.threads}" if self.group == "threads" else "")

    def spec(self) -> dict[str, Any]:
        """For a worker."""
        return {"id": self.id, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much time to spend."""

    seconds: float  # a case, apart from compilation
    rounds: tuple[int, int]  # at least, at most
    sample: float  # seconds that one sample lasts at least, by repeating the call
    silence: float  # seconds within which one sample, and one compilation, ends; else it counts as hung
    processes: int  # fresh processes for each import and compile time


EFFORTS = {
    "full": Effort(seconds=3, rounds=(5, 31), sample=5e-3, silence=120, processes=5),
    "quick": Effort(seconds=0.4, rounds=(3, 15), sample=1e-3, silence=25, processes=1),
    "smoke": Effort(seconds=0.05, rounds=(2, 3), sample=1e-4, silence=60, processes=1),
}


def cases(mode: str, threads: int) -> list[Case]:
    """In the order in which they run."""
    found: list[Case] = []

    def add(group: str, tasks: tuple[str, ...], sizes: Any, **options: Any) -> None:
        for size in sizes:
            n, batch = size if isinstance(size, tuple) else (size, None)
            chosen = {"threads": threads, **options}
            found.extend(Case(group, task, n, batch=batch, **chosen) for task in tasks)

    full, smoke = mode == "full", mode == "smoke"
    single = (4, 8, 16, 32, 64, 128, 256, 512, 1024) if full else (3, 5) if smoke else (4, 32, 256)
    many = 6 if smoke else 10_000
    batch = [(n, many) for n in ((2, 3, 4, 8, 16) if full else (2, 4) if smoke else (4,))]
    batch += [(32, 2_000)] if full else [] if smoke else [(16, 1_000)]
    both = ("forward", "grad_values")
    add("single", ALL_TASKS, single)
    add("batch", ALL_TASKS, batch)
    add(
        "generalized",
        ("forward", "values", "grad_values") if full else both,
        single if full else (3,) if smoke else (16, 128),
        generalized=True,
    )
    add("generalized", both, [(4, many)], generalized=True)
    if full:
        add("subset", ("forward", "values", "grad_values", "grad_vectors"), (1024,), subset=(0, 15))
    else:
        n = 5 if smoke else 256
        add("subset", ("forward", "grad_vectors"), (n,), subset=(0, 1 if smoke else 15))
    jitted = () if mode == "quick" else both  # it is among the single matrices anyway
    add("overhead", (*jitted, *("eager_" + t for t in both)), (2, 4, 8) if full else (4,))
    for count in (1, 2):
        sizes = [
            *((256, 1024) if full else (4,) if smoke else (256,)),
            *((n, many) for n in ((4, 16) if full else (4,))),
        ]
        add("threads", ("forward", "grad_vectors") if full else ("forward",), sizes, threads=count)
    add("startup", ("import", "first_call"), (64 if full else 4,))
    add("startup", ("memory",), (1536 if full else 8 if smoke else 512,))
    julia_single = (4, 16, 64, 128, 256, 512, 1024) if full else (3,) if smoke else (64,)
    julia_batch = [(n, many) for n in ((2, 3, 4, 8, 16) if full else (4,))] + ([(32, 2_000)] if full else [])
    add("julia", ALL_TASKS if full else ("forward", "grad_vectors"), [*julia_single, *julia_batch], language="julia")
    return found
