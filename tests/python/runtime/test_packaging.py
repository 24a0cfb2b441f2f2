"""The files of the installed package for C, CMake and pkg-config, and its metadata."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

import eigenpair
import pytest
from eigenpair.runtime import native
from eigenpair.runtime.installed import c_folder

LIBRARIES = Path(native.library_path() or "").parent

needs_library = pytest.mark.skipif(native.library_path() is None, reason="built without the core")

PROGRAM = """
#include <eigenpair.h>
#include <stdio.h>
int main(void) {
  if (eigenpair_abi_version() != EIGENPAIR_ABI_VERSION) return 1;
  printf("%s\\n", eigenpair_version());
  return 0;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.20)
project(user C)
find_package(eigenpair {version} REQUIRED)
add_executable(user user.c)
target_link_libraries(user PRIVATE eigenpair::eigenpair)
"""


def needs(*programs):
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not on PATH")


def output(*command, cwd, **environment):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@needs_library
@needs("cc", "pkg-config")
def test_a_c_program_finds_the_core_by_pkg_config(tmp_path):
    (tmp_path / "user.c").write_text(PROGRAM)
    flags = output(
        "pkg-config", "--cflags", "--libs", "eigenpair", cwd=tmp_path, PKG_CONFIG_PATH=str(c_folder("pkgconfig"))
    )
    output("cc", "-Wall", "-Werror", "user.c", *flags.split(), "-o", "user", cwd=tmp_path)
    assert output("./user", cwd=tmp_path) == eigenpair.__version__


@needs_library
@needs("cc", "cmake")
def test_a_c_program_finds_the_core_by_cmake(tmp_path):
    (tmp_path / "user.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(version=eigenpair.__version__))
    output("cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={c_folder('cmake')}", cwd=tmp_path)
    output("cmake", "--build", "build", cwd=tmp_path)
    assert output("build/user", cwd=tmp_path) == eigenpair.__version__


@needs_library
@needs("objdump")
@pytest.mark.parametrize("library", ["libeigenpair.so", "libeigenpair_xla.so"])
def test_runs_on_older_linux_systems(library):
    described = output("objdump", "-p", LIBRARIES / library, cwd=LIBRARIES)
    if "libstdc++" in described:
        pytest.skip("built where there is no static C++ library")
    asked = [tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([0-9.]+)", described)]
    assert asked
    assert max(asked) <= (2, 17)


@needs_library
@needs("nm")
@pytest.mark.parametrize("library", ["libeigenpair.so", "libeigenpair_xla.so"])
def test_shows_only_its_own_names(library):
    described = output("nm", "-D", "--defined-only", LIBRARIES / library, cwd=LIBRARIES)
    names = [line.split()[-1] for line in described.splitlines()]
    assert names
    assert [name for name in names if not name.startswith("eigenpair_")] == []


@needs_library
def test_the_core_has_the_version_of_the_package():
    assert native.extension.version() == eigenpair.__version__


def test_the_readme_for_the_package_index_has_no_relative_links():
    text = importlib.metadata.metadata("eigenpair").get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_metadata():
    metadata = importlib.metadata.metadata("eigenpair")
    assert metadata["License-Expression"] == "MIT"
    assert {line.split(",")[0] for line in metadata.get_all("Project-URL")} >= {"Documentation", "Source", "Issues"}
    (command,) = (e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "eigenpair")
    assert callable(command.load())
