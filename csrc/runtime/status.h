// Errors inside the core are exceptions. The C ABI turns them into a status and a message.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "eigenpair.h"

namespace eigenpair {

class Failure : public std::exception {
 public:
  Failure(eigenpair_status status, std::string message) : status_(status), message_(std::move(message)) {}
  eigenpair_status status() const { return status_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  eigenpair_status status_;
  std::string message_;
};

void set_last_error(const char* message) noexcept;

// Runs `body` and turns any exception into a status and a message.
template <typename Body>
eigenpair_status guarded(Body&& body) noexcept {
  try {
    body();
    return EIGENPAIR_OK;
  } catch (const Failure& failure) {
    set_last_error(failure.what());
    return failure.status();
  } catch (const std::bad_alloc&) {
    set_last_error("out of memory");
    return EIGENPAIR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    set_last_error(error.what());
    return EIGENPAIR_INTERNAL;
  } catch (...) {
    set_last_error("unknown error");
    return EIGENPAIR_INTERNAL;
  }
}

}  // namespace eigenpair
