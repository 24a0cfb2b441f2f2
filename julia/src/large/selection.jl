# Which eigenvalues of a projected problem are wanted, in which order, and what is next to them.

const WHICH = (:SA, :LA, :LM, :BE)

"""
    wanted_order(which, θ)

Indices of ascending eigenvalues, those wanted most first.
"""
function wanted_order(which, θ)
    which === :SA && return collect(eachindex(θ))
    which === :LA && return reverse(eachindex(θ))
    which === :LM && return sortperm(θ; by = abs, rev = true)
    # From both ends in turns, beginning at the high one.
    return sortperm([min(2i - 1, 2 * (length(θ) - i)) for i in eachindex(θ)])
end

# Whether the lowest, and whether the highest, of the eigenvalues left out can be next to a wanted one.
sides(which) = which !== :LA, which !== :SA
