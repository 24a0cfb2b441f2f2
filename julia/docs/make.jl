# The reference of EigenPair.jl, with its examples run:
#
#     julia --project=julia/docs -e 'using Pkg; Pkg.develop(path = "julia"); Pkg.instantiate()'
#     julia --project=julia/docs julia/docs/make.jl
#
# Chapters for both languages are in the site that `make docs` builds.
using Documenter
using EigenPair

DocMeta.setdocmeta!(EigenPair, :DocTestSetup, :(using EigenPair, LinearAlgebra, Zygote); recursive = true)

makedocs(;
    modules = [EigenPair],
    sitename = "EigenPair.jl",
    authors = "The eigenpair authors",
    pages = ["Home" => "index.md", "Reference" => "reference.md"],
    # Internals have docstrings too.
    checkdocs = :exports,
    # Digits beyond the last certain one differ between machines.
    doctestfilters = [r"(?<=\d\.\d{6})\d*", r"e-1\d"],
    format = Documenter.HTML(; prettyurls = get(ENV, "CI", nothing) == "true")
)
