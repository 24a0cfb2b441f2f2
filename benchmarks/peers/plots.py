"""Pictures of a run: times, ratios to the floor, throughput of batches, scaling with threads."""

from __future__ import annotations

import pathlib
from typing import Any

from peers import targets
from peers.plan import FORWARD, OURS, TASKS

COLORS = {
    OURS: "#d62728",
    "LAPACK": "0.45",
    "jax.numpy": "#1f77b4",
    "eigh (package)": "#2ca02c",
    "torch": "#9467bd",
    "scipy": "#ff7f0e",
    "numpy": "#8c564b",
    "LinearAlgebra": "#1f77b4",
}
MAIN = ("forward", "values", "grad_values", "grad_vectors")


def draw(cases: list[dict[str, Any]], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the pictures for which there are measurements."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no pictures")
        return []
    matplotlib.use("Agg")
    pictures = {
        "performance_time": _times,
        "performance_floor": _floor,
        "performance_batch": _throughput,
        "performance_threads": _threads,
    }
    written = []
    for name, make in pictures.items():
        figure = make(cases)
        if figure is not None:
            written.append(folder / f"{name}.png")
            figure.savefig(written[-1], dpi=110)
    return written


def _figure(count: int, title: str, **options: Any) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(4.1 * count, 4.2), layout="constrained", squeeze=False, **options)
    figure.suptitle(title)
    return figure, axes[0]


def _curves(cases: list[dict[str, Any]], group: str, task: str) -> dict[str, list[tuple[int, dict[str, Any], Any]]]:
    """(n, statistics, case) by contender, LAPACK's drivers as one: the fastest of each size."""
    found: dict[str, list[tuple[int, dict[str, Any], Any]]] = {}
    for case in cases:
        # One batch among single matrices is not a point on their curve.
        if case["group"] != group or case["task"] != task or bool(case["batch"]) != (group == "batch"):
            continue
        best = targets.floor(case["contenders"])
        for name, s in case["contenders"].items():
            label = "LAPACK" if name == best else name
            if label in COLORS and name != FORWARD:
                found.setdefault(label, []).append((case["n"], s, case))
    return found


def _line(axis: Any, name: str, x: list[int], y: list[float], low: list[float], high: list[float]) -> None:
    bold = name == OURS
    style = {"color": COLORS[name], "lw": 2.4 if bold else 1.3, "zorder": 3 if bold else 2}
    axis.plot(x, y, label=name, marker="o", ms=3.5, ls="--" if name == "LAPACK" else "-", **style)
    axis.fill_between(x, low, high, color=COLORS[name], alpha=0.15, lw=0)


def _finish(axis: Any, title: str, sizes: list[int]) -> None:
    axis.set(title=title, xlabel="n", xscale="log", yscale="log")
    axis.set_xticks(sizes, [str(n) for n in sizes], rotation=90 if len(sizes) > 7 else 0)
    axis.minorticks_off()
    axis.grid(color="0.92")


def _panels(cases: list[dict[str, Any]], group: str) -> list[tuple[str, Any]]:
    panels = [(task, _curves(cases, group, task)) for task in MAIN]
    return [(task, curves) for task, curves in panels if curves.get(OURS)]


def _times(cases: list[dict[str, Any]]) -> Any:
    panels = _panels(cases, "single")
    if not panels:
        return None
    figure, axes = _figure(len(panels), "One matrix: time against n (float64)", sharey=True)
    for axis, (task, curves) in zip(axes, panels, strict=True):
        for name, points in curves.items():
            x, statistics = [p[0] for p in points], [p[1] for p in points]
            _line(axis, name, x, *([s[key] * 1e3 for s in statistics] for key in ("median", "low", "high")))
        _finish(axis, _title(task), [p[0] for p in curves[OURS]])
    axes[0].set_ylabel("milliseconds (band: quartiles)")
    axes[0].legend(fontsize=8)
    return figure


def _title(task: str) -> str:
    return TASKS[task].replace("value and gradient of a loss of the ", "gradient of a loss of ")


def _floor(cases: list[dict[str, Any]]) -> Any:
    """Each contender's time divided by that of the fastest direct call."""
    panels = [("single", *panel) for panel in _panels(cases, "single")]
    panels += [("generalized", *panel) for panel in _panels(cases, "generalized") if panel[0] == "forward"]
    panels = [panel for panel in panels if "LAPACK" in panel[2]]
    if not panels:
        return None
    figure, axes = _figure(len(panels), "One matrix: time as a multiple of LAPACK's forward call", sharey=True)
    for axis, (group, task, curves) in zip(axes, panels, strict=True):
        floor = {n: s["median"] for n, s, _ in curves["LAPACK"]}
        for name, points in curves.items():
            points = [(n, s) for n, s, _ in points if n in floor and name != "LAPACK"]
            if points:
                columns = ([s[key] / floor[n] for n, s in points] for key in ("median", "low", "high"))
                _line(axis, name, [n for n, _ in points], *columns)
        axis.axhline(1, color="0.45", ls="--", lw=1.3)
        _finish(axis, ("generalized: " if group != "single" else "") + _title(task), sorted(floor))
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes[0].set_ylabel("time / LAPACK")
    axes[0].legend(fontsize=8)
    return figure


def _throughput(cases: list[dict[str, Any]]) -> Any:
    panels = _panels(cases, "batch")
    if not panels:
        return None
    figure, axes = _figure(len(panels), "Batches: matrices per second against n (float64)", sharey=True)
    for axis, (task, curves) in zip(axes, panels, strict=True):
        for name, points in curves.items():
            columns = ([case["batch"] / s[key] for _, s, case in points] for key in ("median", "high", "low"))
            _line(axis, name, [p[0] for p in points], *columns)
        _finish(axis, _title(task), [p[0] for p in curves[OURS]])
    axes[0].set_ylabel("matrices per second (band: quartiles)")
    axes[0].legend(fontsize=8)
    return figure


def _threads(cases: list[dict[str, Any]]) -> Any:
    """Bars: the time with one thread divided by that with two."""
    times: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for case in cases:
        if case["group"] == "threads":
            size = f"{case['batch']}×{case['n']}" if case["batch"] else str(case["n"])
            best = targets.floor(case["contenders"])
            for name, s in case["contenders"].items():
                label = "LAPACK" if name == best else name
                if label in COLORS and label not in (FORWARD, "scipy", "numpy"):
                    times.setdefault((case["task"], size), {}).setdefault(label, {})[case["threads"]] = s["median"]
    tasks = list(dict.fromkeys(task for task, _ in times))
    if not any(len(t) == 2 for names in times.values() for t in names.values()):
        return None
    figure, axes = _figure(len(tasks), "Two threads against one", sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        sizes = [size for t, size in times if t == task]
        names = list(dict.fromkeys(name for size in sizes for name in times[task, size]))
        for k, name in enumerate(names):
            at = [i + (k - (len(names) - 1) / 2) * 0.8 / len(names) for i in range(len(sizes))]
            both = [times[task, size].get(name, {}) for size in sizes]
            speedup = [t[1] / t[2] if len(t) == 2 else 0 for t in both]
            axis.bar(at, speedup, 0.8 / len(names), color=COLORS[name], label=name)
        axis.set(title=_title(task))
        axis.set_xticks(range(len(sizes)), sizes)
        for y in (1, 2):
            axis.axhline(y, color="0.6", lw=0.8, zorder=0)
    axes[0].set_ylabel("time on one thread / time on two")
    axes[0].legend(fontsize=8)
    return figure
