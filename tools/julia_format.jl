# Runic over the given paths: `--check` or `--inplace` first. Exits with 77 where Runic is not installed.
Base.find_package("Runic") === nothing && exit(77)
using Runic
exit(Runic.main(ARGS))
