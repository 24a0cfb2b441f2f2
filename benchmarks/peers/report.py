"""Tables and pictures of a run."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from limits import arithmetic
from peers import plots, targets
from peers.plan import FLOOR, FORWARD, FRAME, GROUPS, OURS, TASKS

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WRONG = 1e-6  # a difference beyond this is not rounding


def with_statistics(case: dict[str, Any]) -> dict[str, Any]:
    """The case with medians and quartiles instead of all rounds; ratios are taken round by round."""
    contenders = {}
    ours = np.array(case["times"].get(OURS, []))
    for name, times in case["times"].items():
        if not times:
            continue
        contenders[name] = {**_quartiles(np.array(times)), "rounds": len(times), "calls": case["repeat"].get(name, 1)}
        if name != OURS and len(times) == len(ours):
            contenders[name]["ratio"] = _quartiles(np.array(times) / ours)
        if name in case["differences"]:
            contenders[name]["difference"] = case["differences"][name]
    rest = {key: value for key, value in case.items() if key not in ("times", "repeat", "differences")}
    return {**rest, "contenders": contenders}


def _quartiles(x: np.ndarray) -> dict[str, float]:
    low, median, high = (float(q) for q in np.percentile(x, (25, 50, 75)))
    return {"median": median, "low": low, "high": high}


def write(found: dict[str, Any], folder: pathlib.Path, *, publish: bool = False) -> None:
    """performance_tables.md and the pictures. The text around the measured part of an existing page stays."""
    pictures = plots.draw(found["cases"], folder)
    path = folder / "performance_tables.md"
    before, after = f"# Performance: all tables\n\n{BEGIN}", f"{END}\n"
    if publish and path.exists():
        text = path.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    # In the documentation, docs/performance.md shows the pictures.
    path.write_text(f"{before}\n\n{page(found, [] if publish else pictures)}\n{after}", encoding="utf-8")
    if not publish:
        print(page(found, []))
        print(f"Written: {path}, {', '.join(p.name for p in pictures)} and performance.json beside it.")


def page(found: dict[str, Any], pictures: list[pathlib.Path]) -> str:
    parts = [_setting(found)]
    parts += [f"![{_words(picture.stem)}]({picture.name})" for picture in pictures]
    parts += [_targets(found["cases"]), _behind(found["cases"]), _drivers(found["cases"])]
    parts.append(_arithmetic(found["cases"], found.get("rate")))
    for group, title in GROUPS.items():
        cases = [case for case in found["cases"] if case["group"] == group]
        if cases:
            parts.append(f"## {title}")
        for task in dict.fromkeys(case["task"] for case in cases):
            parts.append(f"### {title}: {TASKS[task]}")
            parts.append(_table([case for case in cases if case["task"] == task]))
    if found["notes"]:
        parts.append("## Left out\n\n" + "\n".join(f"- {note}" for note in found["notes"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _setting(found: dict[str, Any]) -> str:
    about, versions = found["machine"], found["versions"]
    lines = [
        f"{about['processor']}, {about['processors']} processors, {about['memory']}, {about['system']}. "
        f"Measured {about['date']}, commit {about['commit'] or 'unknown'}, a {found['mode']} run; "
        f"load before it: {about['load before']}.",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"Double precision. Every library has {found['threads']} threads on as many processors, except where the table "
        "says otherwise. Times are medians over interleaved rounds; ± is half the distance of the quartiles. × is the "
        f"time divided by that of {OURS} in the same round (median over the rounds): above 1, {OURS} is faster. "
        "LAPACK is the fastest of its drivers, called from C on the same data.",
    ]
    return "\n\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds * 1e9)} ns"


def _short(x: float) -> str:
    """Three digits."""
    return f"{x:.0f}" if x >= 99.95 else f"{x:.1f}" if x >= 9.995 else f"{x:.2f}"


def _cell(case: dict[str, Any], name: str) -> str:
    s = case["contenders"].get(name)
    if s is None:
        return "–"
    value = f"{_short(s['median'])} n²" if case["task"] == "memory" else _time(s["median"])
    if s["rounds"] > 1:
        value += f" ±{50 * (s['high'] - s['low']) / s['median']:.0f}%"
    if "ratio" in s and case["task"] != "import":
        value += f" (×{_short(s['ratio']['median'])})"
    wrong = s.get("difference", 0)
    # Not a number: written as null in JSON by Julia, as NaN by Python.
    return value + (" **differs**" if wrong is None or not wrong < WRONG else "")


def _size(case: dict[str, Any]) -> str:
    text = f"{case['batch']:,} × {case['n']}".replace(",", " ") if case["batch"] else str(case["n"])
    if case["subset"]:
        text = f"{case['subset'][1] - case['subset'][0] + 1} of {text}"
    if case["group"] == "threads":
        text += f", {case['threads']} thread{'s' if case['threads'] > 1 else ''}"
    return text


def _table(cases: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for case in cases for name in case["contenders"]))
    direct = any(name.startswith(FLOOR) for name in names)
    names = [name for name in names if not name.startswith(FLOOR)]
    names.sort(key=lambda name: (name != OURS, name != FORWARD, name == FRAME))
    columns = ["n", *names[:1], *(["LAPACK"] if direct else []), *names[1:]]
    rows = [columns, ["---:"] * len(columns)]
    for case in cases:
        cells = [_cell(case, name) for name in names]
        best = targets.floor(case["contenders"])
        driver = best.removeprefix(FLOOR)
        floor = [f"{_cell(case, best)} {driver}" if best else "–"] if direct else []
        rows.append([_size(case), *cells[:1], *floor, *cells[1:]])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _targets(cases: list[dict[str, Any]]) -> str:
    outcomes = targets.outcomes(cases)
    if not outcomes:
        return ""
    by_id = {case["id"]: case for case in cases}
    lines = [
        f"## Aims\n\n{sum(v.met for v in outcomes)} of {len(outcomes)} are met.",
        "\n| what | n | against | aim | measured (quartiles) | met |\n|---|---:|---|---:|---:|---|",
    ]
    for v in outcomes:
        case = by_id[v.target.case]
        unit = " s" if not v.against else " ×"
        sign = "≤" if v.target.at_most else "≥"
        lines.append(
            f"| {GROUPS[case['group']]}: {TASKS[case['task']]} | {_size(case)} | {v.against or 'the clock'} "
            f"| {sign} {v.target.bound:g}{unit} | {_short(v.median)} ({_short(v.low)}–{_short(v.high)}) "
            f"| {'yes' if v.met else '**no**'} |"
        )
    return "\n".join(lines)


def _behind(cases: list[dict[str, Any]]) -> str:
    lost = targets.lost(cases)
    lines = [
        f"- {GROUPS[case['group']]}, {TASKS[case['task']]}, n = {_size(case)}: {name} needs "
        f"{_short(ratio['median'])} of {OURS}'s time ({_short(ratio['low'])}–{_short(ratio['high'])})"
        for case, name, ratio in lost
    ]
    return "## Where a peer is ahead\n\n" + ("\n".join(lines) if lines else "Nowhere.")


def _arithmetic(cases: list[dict[str, Any]], rate: float | None) -> str:
    """How far batches are from the floor of arithmetic."""
    rows = []
    for case in cases:
        if case["group"] == "batch" and case["task"] in ("forward", "values") and OURS in case["contenders"]:
            count = arithmetic.operations(case["n"], case["task"] == "forward")
            each = case["contenders"][OURS]["median"] / case["batch"]
            least = count / rate if rate else float("nan")
            rows.append(
                f"| {TASKS[case['task']]} | {case['n']} | {count:.0f} | {least * 1e9:.1f} ns | {each * 1e9:.1f} ns "
                f"| {_short(each / least)} |"
            )
    if not rate or not rows:
        return ""
    return "\n".join(
        [
            "## The arithmetic floor of batches\n",
            f"All threads together do {rate / 1e9:.0f} · 10⁹ multiplications and additions a second, with nothing in "
            "memory. Operations are the leading terms of Householder reduction and QL. On top of them come square "
            "roots, divisions, operations that wait for each other, and reading and writing.\n",
            "| | n | operations | at that rate | eigenpair, each | multiple |",
            "|---|---:|---:|---:|---:|---:|",
            *rows,
        ]
    )


def _drivers(cases: list[dict[str, Any]]) -> str:
    """Which of LAPACK's drivers is the fastest, by size and request."""
    chosen = [case for case in cases if case["group"] in ("single", "batch") and case["task"] in ("forward", "values")]
    names = [FLOOR + name for name in ("dsyev", "dsyevd", "dsyevr")]
    rows = []
    for case in chosen:
        have = {name: case["contenders"][name]["median"] for name in names if name in case["contenders"]}
        if len(have) < 2:
            continue
        best = min(have.values())
        cells = [f"{_time(t)}{' ←' if t == best else ''}" if (t := have.get(name)) else "–" for name in names]
        rows.append(f"| {TASKS[case['task']]} | {_size(case)} | " + " | ".join(cells) + " |")
    if not rows:
        return ""
    head = "| | n | dsyev | dsyevd | dsyevr |\n|---|---:|---:|---:|---:|\n"
    return "## LAPACK's drivers, called directly\n\n" + head + "\n".join(rows)
