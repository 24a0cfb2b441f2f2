# Runs blocks of the documentation: julia run_pages.jl FOLDER, with files PAGE/NUMBER.jl. The blocks of a page run in order in
# their own module. A file NUMBER.needs names the packages that the block needs.
#
# Writes FOLDER/verdicts, a line for each block: `passed FILE`, `skipped FILE why` or `failed FILE why`.

folder = only(ARGS)
open(joinpath(folder, "verdicts"), "w") do verdicts
    say(parts...) = (println(verdicts, parts...); flush(verdicts))
    for page in filter(name -> isdir(joinpath(folder, name)), readdir(folder))
        files = filter(endswith(".jl"), readdir(joinpath(folder, page); join = true))
        # Other processes know nothing of a module that is made here.
        pad = any(file -> contains(read(file, String), "@everywhere"), files) ? Main : Module(Symbol(page))
        for file in files
            needs = split(read(replace(file, r"jl$" => "needs"), String))
            lacking = filter(name -> Base.find_package(String(name)) === nothing, needs)
            if !isempty(lacking)
                say("skipped $file needs ", join(lacking, ", "))
                continue
            end
            try
                Base.include_string(pad, read(file, String), file)
                say("passed $file")
            catch error
                error isa LoadError && (error = error.error)
                say("failed $file ", replace(first(sprint(showerror, error), 2000), '\n' => " | "))
            end
        end
    end
end
