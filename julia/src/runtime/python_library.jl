# The library of the wheel, in a Python environment that has it.

const ASK_PYTHON = """
import importlib.util, pathlib, sys
spec = importlib.util.find_spec("eigenpair")
if spec is None:
    sys.exit("this Python has no package eigenpair: pip install eigenpair")
names = ("libeigenpair.so", "libeigenpair.dylib", "eigenpair.dll")
found = [p / n for p in map(pathlib.Path, spec.submodule_search_locations) for n in names if (p / n).exists()]
print(found[0] if found else sys.exit("its package eigenpair has no library: it was installed without the core"))
"""

"""
    EigenPair.set_library!(; python)

Record in the active project's preferences that the core is the library of the package `eigenpair` in a Python environment,
and return its path. `python` is the interpreter: a command such as `"python3"`, or a path. It takes effect in the next
session.

# Examples

```julia
julia> EigenPair.set_library!(python = "/home/me/venv/bin/python");
```
"""
set_library!(; python::AbstractString) = set_library!(library_of_python(python))

function library_of_python(python)
    said, complaint = IOBuffer(), IOBuffer()
    done = try
        run(pipeline(ignorestatus(`$python -c $ASK_PYTHON`); stdout = said, stderr = complaint))
    catch failure
        failure isa Base.IOError || rethrow()
        error("$python cannot be started. Name a Python interpreter, such as \"python3\" or the path of one in a virtual environment.")
    end
    success(done) || error("$python: $(strip(String(take!(complaint))))")
    return String(strip(String(take!(said))))
end
