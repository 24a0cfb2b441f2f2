/* eigenpair_decide: the cases of tests/cases/decisions.txt, and bad arguments. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eigenpair.h"
#include "support/check.h"

enum { kCount = 3, kSquare = kCount * kCount, kFields = 9 };

static const struct {
  const char* name;
  int32_t code;
} kReasons[] = {{"none", EIGENPAIR_REASON_NONE},     {"basis", EIGENPAIR_REASON_BASIS},
                {"order", EIGENPAIR_REASON_ORDER},   {"coupled", EIGENPAIR_REASON_COUPLED},
                {"second", EIGENPAIR_REASON_SECOND}, {"defective", EIGENPAIR_REASON_DEFECTIVE},
                {"edge", EIGENPAIR_REASON_EDGE},     {"cluster", EIGENPAIR_REASON_CLUSTER},
                {"noise", EIGENPAIR_REASON_NOISE},   {"policy", EIGENPAIR_REASON_POLICY}};

static int32_t code_of(const char* name) {
  for (size_t i = 0; i < sizeof kReasons / sizeof *kReasons; ++i) {
    if (strcmp(name, kReasons[i].name) == 0) return kReasons[i].code;
  }
  REQUIRE(0, "no reason is called %s", name);
  return -1;
}

static int32_t index_of(const char* name, const char* const* names, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    if (strcmp(name, names[i]) == 0) return i;
  }
  REQUIRE(0, "unknown word %s", name);
  return -1;
}

/* Reads `count` numbers to every `step`-th element of target; the others are 0. NULL if the text is "-". */
static const double* numbers(const char* text, int count, int step, double* target) {
  memset(target, 0, sizeof *target * (size_t)(count * step));
  if (strchr("- ", text[0]) != NULL && strspn(text, "- ") == strlen(text)) return NULL;
  for (int i = 0; i < count; ++i) {
    char* end = NULL;
    target[i * step] = strtod(text, &end);
    REQUIRE(end != text, "not %d numbers: %s", count, text);
    text = end;
  }
  return target;
}

static void run_case(char* line) {
  char* fields[kFields];
  for (int i = 0; i < kFields; ++i) {
    fields[i] = line;
    char* bar = strchr(line, '|');
    REQUIRE((bar == NULL) == (i == kFields - 1), "not %d fields: %s", kFields, fields[0]);
    if (bar != NULL) {
      *bar = 0;
      line = bar + 1;
      line += strspn(line, " ");
    }
  }
  char problem[32], mode[32], policy[32];
  double parameter;
  int options;
  REQUIRE(sscanf(fields[1], "%31s %31s %31s %lf %d", problem, mode, policy, &parameter, &options) == 5, "%s",
          fields[0]);
  const int general = strcmp(problem, "general") == 0, step = general ? 2 : 1;
  double w[2 * kCount], k[2 * kSquare], dw[2 * kCount], size[1], sizes[kSquare], reach[kCount], condition[kCount],
      edges[2];
  int64_t order = kCount;
  int has_edges = 0;
  double r, c;
  long long whole;
  if (sscanf(fields[6], "reach %lf condition %lf", &r, &c) == 2) {
    for (int i = 0; i < kCount; ++i) {
      reach[i] = r;
      condition[i] = c;
    }
  } else if (sscanf(fields[6], "edges %lf %lf order %lld", &edges[0], &edges[1], &whole) == 3) {
    has_edges = 1;
    order = whole;
  }
  const double* has_sizes = numbers(fields[4], 1, 1, size);
  for (int i = 0; i < kSquare; ++i) sizes[i] = size[0];
  int32_t gaps[kSquare], reasons[kSquare], lost[kCount], refused = -1;
  const char* const modes[] = {"forward", "reverse", "second"};
  const char* const policies[] = {"check", "mask", "broaden", "raw"};
  const eigenpair_decision decision = {.struct_size = sizeof decision,
                                       .dtype = general ? EIGENPAIR_COMPLEX128 : EIGENPAIR_FLOAT64,
                                       .general = general,
                                       .mode = index_of(mode, modes, 3),
                                       .layout = EIGENPAIR_ROW_MAJOR,
                                       .policy = index_of(policy, policies, 4),
                                       .options = options,
                                       .parameter = parameter,
                                       .n = kCount,
                                       .order = order,
                                       .batch = 1,
                                       .w = numbers(fields[2], kCount, step, w),
                                       .reach = general ? reach : NULL,
                                       .condition = general ? condition : NULL,
                                       .edges = has_edges ? edges : NULL,
                                       .k = numbers(fields[3], kSquare, step, k),
                                       .sizes = has_sizes != NULL ? sizes : NULL,
                                       .dw = numbers(fields[5], kCount, step, dw),
                                       .gaps = gaps,
                                       .reasons = reasons,
                                       .lost = lost,
                                       .refused = &refused};
  REQUIRE(eigenpair_decide(&decision) == EIGENPAIR_OK, "%s: %s", fields[0], eigenpair_last_error());
  char names[2][kCount][32];
  for (int i = 0; i < 2; ++i) {
    REQUIRE(sscanf(fields[7 + i], "%31s %31s %31s", names[i][0], names[i][1], names[i][2]) == 3, "%s", fields[0]);
  }
  const int pairs[kCount][2] = {{0, 1}, {0, 2}, {1, 2}};
  int32_t any = 0;
  for (int i = 0; i < kCount; ++i) {
    const int32_t expected = code_of(names[0][i]), here = pairs[i][0] * kCount + pairs[i][1],
                  across = pairs[i][1] * kCount + pairs[i][0];
    CHECK(reasons[here] == expected && reasons[across] == expected, "%s: %d and %d for two eigenvalues (%d, %d)",
          fields[0], reasons[here], reasons[across], pairs[i][0] + 1, pairs[i][1] + 1);
    const int32_t gap = expected == 0                          ? EIGENPAIR_GAP_KEPT
                        : expected >= EIGENPAIR_REASON_CLUSTER ? EIGENPAIR_GAP_DROPPED
                                                               : EIGENPAIR_GAP_REFUSED;
    CHECK(gaps[here] == gap && gaps[across] == gap, "%s: gap %d", fields[0], gaps[here]);
    CHECK(lost[i] == code_of(names[1][i]), "%s: eigenvalue %d is lost for reason %d", fields[0], i + 1, lost[i]);
    any |= lost[i];
    CHECK(gaps[i * kCount + i] == EIGENPAIR_GAP_KEPT && reasons[i * kCount + i] == 0, "%s: diagonal", fields[0]);
  }
  CHECK(refused == (any != 0), "%s: refused is %d", fields[0], refused);
}

TEST(table) {
  FILE* file = fopen(EIGENPAIR_DECISIONS, "r");
  REQUIRE(file != NULL, "no file %s", EIGENPAIR_DECISIONS);
  char line[1024];
  int cases = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#' || line[0] == '\n') continue;
    run_case(line);
    ++cases;
  }
  fclose(file);
  CHECK(cases >= 30, "only %d cases", cases);
}

TEST(bad_arguments) {
  const double w[] = {1, 2}, k[] = {0, 0, 0, 0};
  const eigenpair_decision good = {.struct_size = sizeof good,
                                   .dtype = EIGENPAIR_FLOAT64,
                                   .mode = EIGENPAIR_DECIDE_REVERSE,
                                   .n = 2,
                                   .order = 2,
                                   .batch = 1,
                                   .w = w};
  CHECK(eigenpair_decide(&good) == EIGENPAIR_OK, "%s", eigenpair_last_error());
  CHECK(eigenpair_decide(NULL) == EIGENPAIR_BAD_ARGUMENT, "NULL");
  eigenpair_decision bad = good;
  bad.k = k;
  CHECK(eigenpair_decide(&bad) == EIGENPAIR_BAD_ARGUMENT && strstr(eigenpair_last_error(), "sizes") != NULL,
        "sizes: %s", eigenpair_last_error());
  bad = good;
  bad.general = 1;
  CHECK(eigenpair_decide(&bad) == EIGENPAIR_BAD_ARGUMENT && strstr(eigenpair_last_error(), "dtype") != NULL,
        "dtype: %s", eigenpair_last_error());
  bad = good;
  bad.order = 1;
  CHECK(eigenpair_decide(&bad) == EIGENPAIR_BAD_ARGUMENT, "order");
  bad = good;
  bad.struct_size = 8;
  CHECK(eigenpair_decide(&bad) == EIGENPAIR_BAD_ARGUMENT, "struct_size");
}

TEST(policies_other_than_check_read_no_norms) {
  const double w[] = {1, 1, 2}, norms[] = {1, 1};
  for (int32_t policy = EIGENPAIR_POLICY_MASK; policy <= EIGENPAIR_POLICY_RAW; ++policy) {
    int32_t gaps[9];
    const eigenpair_decision decision = {.struct_size = sizeof decision,
                                         .dtype = EIGENPAIR_FLOAT64,
                                         .policy = policy,
                                         .parameter = 0.5,
                                         .n = 3,
                                         .order = 3,
                                         .batch = 1,
                                         .w = w,
                                         .norms = norms,
                                         .gaps = gaps};
    CHECK(eigenpair_decide(&decision) == EIGENPAIR_OK, "policy %d: %s", (int)policy, eigenpair_last_error());
    CHECK(gaps[1] == (policy == EIGENPAIR_POLICY_RAW ? EIGENPAIR_GAP_KEPT : EIGENPAIR_GAP_DROPPED), "policy %d",
          (int)policy);
  }
}
