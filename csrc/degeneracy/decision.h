// The two halves of eigenpair_decide.
#pragma once

#include "eigenpair.h"

namespace eigenpair {

// Of checked descriptions, with at least one eigenvalue.
void decide_hermitian(const eigenpair_decision& p);
void decide_general(const eigenpair_decision& p);

}  // namespace eigenpair
