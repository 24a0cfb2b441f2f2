#include "runtime/status.h"

#include <cstdio>

namespace {
// A fixed buffer, so that "out of memory" can be reported without allocating.
thread_local char last_error[512] = "";
}  // namespace

namespace eigenpair {
void set_last_error(const char* message) noexcept { std::snprintf(last_error, sizeof last_error, "%s", message); }
}  // namespace eigenpair

extern "C" {
int32_t eigenpair_abi_version(void) { return EIGENPAIR_ABI_VERSION; }
const char* eigenpair_version(void) { return EIGENPAIR_VERSION; }
const char* eigenpair_last_error(void) { return last_error; }
}
