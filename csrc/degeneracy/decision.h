// The two halves of eigenpair_decide.
#pragma once

#include "eigenpair.h"

namespace eigenpair {

// The description has been checked, and has at least one eigenvalue and one matrix.
void decide_hermitian(const eigenpair_decision& p);
void decide_general(const eigenpair_decision& p);

}  // namespace eigenpair
