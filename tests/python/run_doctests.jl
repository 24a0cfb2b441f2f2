# Runs the jldoctest blocks of Documenter's pages, for where there is no Documenter: julia run_doctests.jl FILE...
#
# Every expression after `julia> ` is evaluated, and what the REPL would show is compared with the lines below it, without
# the digits that julia/docs/make.jl leaves out. Prints each difference; the exit status is 0 without any.

const SETUP = :(using EigenPair, LinearAlgebra, Zygote)
const FILTERS = (r"(?<=\d\.\d{6})\d*", r"e-1\d")
const BLOCK = r"^```jldoctest[^\n]*\n(.*?)^```"ms

without_last_digits(text) = rstrip(foldl((x, filter) -> replace(x, filter => ""), FILTERS; init = text))

# The expression at the head of a block, what should be shown, and the rest of the block.
function parted(text)
    lines = split(text, '\n')
    stop = something(findnext(startswith("julia> "), lines, 2), length(lines) + 1)
    code = [chopprefix(first(lines), "julia> ")]
    i = 2
    while i < stop && startswith(lines[i], "       ")
        push!(code, lines[i][8:end])
        i += 1
    end
    return join(code, '\n'), join(lines[i:(stop - 1)], '\n'), join(lines[stop:end], '\n')
end

function shown(value, code)
    (value === nothing || endswith(rstrip(code), ';')) && return ""
    return sprint(io -> show(IOContext(io, :limit => true, :module => Main), MIME"text/plain"(), value))
end

function differences(file)
    found, pad = 0, Module(:Doctests)
    Core.eval(pad, SETUP)
    for block in eachmatch(BLOCK, read(file, String))
        rest = chomp(block[1])
        while !isempty(rest)
            code, expected, rest = parted(rest)
            result = shown(Base.include_string(pad, code, file), code)
            without_last_digits(result) == without_last_digits(expected) && continue
            println("$file: $code\nexpected:\n$expected\nshown:\n$result")
            found += 1
        end
    end
    return found
end

count = sum(differences, ARGS)
println("$(length(ARGS)) files, $count differences")
exit(count == 0 ? 0 : 1)
