"""Fuzzes the C ABI with libFuzzer, address and undefined-behaviour sanitizers: `make fuzz`.

    python tools/fuzz.py [SECONDS]    one run, 60 seconds by default
    python tools/fuzz.py FILE         the calls of one input, such as a finding
    python tools/fuzz.py keep         adds inputs of earlier runs that reach new code to the corpus

A run starts from the inputs in csrc/tests/fuzz/corpus, which are committed, and from those that earlier runs added to
build/fuzz/corpus. Findings are written to build/fuzz/findings. Needs clang with libFuzzer (Debian: clang,
libclang-rt-dev).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import run_tests

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
KEPT = ROOT / "csrc" / "tests" / "fuzz" / "corpus"


def build() -> Path:
    """The program."""
    clang = run_tests.find_clang()
    if clang is None:
        sys.exit("There is no clang here. Debian: apt install clang libclang-rt-dev")
    configure = ["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DEIGENPAIR_BUILD_TESTS=ON", "-DEIGENPAIR_FUZZ=ON"]
    configure += [f"-DCMAKE_C_COMPILER={clang[0]}", f"-DCMAKE_CXX_COMPILER={clang[1]}"]
    configure += ["-DEIGENPAIR_SANITIZE=fuzzer-no-link,address,undefined"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "--target", "fuzz"], check=True)
    return BUILD / "csrc" / "tests" / "fuzz"


def main() -> int:
    """The command line."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "60"
    program = build()
    findings, corpus = BUILD / "findings", BUILD / "corpus"
    for folder in (findings, corpus, KEPT):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "EIGENPAIR_TEST_LAPACK": os.environ.get("EIGENPAIR_TEST_LAPACK") or run_tests.lapacks(),
        "OPENBLAS_NUM_THREADS": "1",
        "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [program, asked]
    if asked == "keep":
        command = [program, "-set_cover_merge=1", "-use_counters=0", KEPT, corpus]
    elif asked.isdecimal():
        limits = [f"-max_total_time={asked}", "-max_len=4096", "-len_control=0", "-timeout=20", "-rss_limit_mb=4096"]
        command = [program, *limits, "-print_final_stats=1", f"-artifact_prefix={findings}/", corpus, KEPT]
    return subprocess.run([str(part) for part in command], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
