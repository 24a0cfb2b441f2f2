# The recipe of EigenPair_jll for BinaryBuilder and Yggdrasil: the core, without the handlers for XLA, for every platform.
# It links no BLAS: EigenPair.jl lends it Julia's own.
#
#     julia build_tarballs.jl --verbose x86_64-linux-gnu
using BinaryBuilder

name = "EigenPair"
version = v"0.1.0"

# For Yggdrasil: the archive of the release, with its checksum.
sources = [
    haskey(ENV, "EIGENPAIR_SOURCE") ? DirectorySource(ENV["EIGENPAIR_SOURCE"]) :
        GitSource("https://github.com/eigenpair/eigenpair.git", get(ENV, "EIGENPAIR_COMMIT", "v$version")),
]

script = raw"""
cd ${WORKSPACE}/srcdir
if [[ -d eigenpair ]]; then cd eigenpair; fi
cmake -S . -B build \
    -DCMAKE_INSTALL_PREFIX=${prefix} \
    -DCMAKE_TOOLCHAIN_FILE=${CMAKE_TARGET_TOOLCHAIN} \
    -DCMAKE_BUILD_TYPE=Release
cmake --build build --parallel ${nproc}
cmake --install build
install_license LICENSE
"""

# Matrices of up to two gigabytes and more need 64-bit sizes, and kernels are written for 64-bit processors.
platforms = expand_cxxstring_abis(filter(p -> nbits(p) == 64 && arch(p) in ("x86_64", "aarch64"), supported_platforms()))

products = [LibraryProduct(["libeigenpair", "eigenpair"], :libeigenpair)]

dependencies = [Dependency("CompilerSupportLibraries_jll"; platforms = filter(!Sys.isbsd, platforms))]

build_tarballs(
    ARGS, name, version, sources, script, platforms, products, dependencies;
    julia_compat = "1.10", preferred_gcc_version = v"11"
)
