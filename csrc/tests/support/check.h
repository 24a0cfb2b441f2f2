/* A small test harness: TEST(name) { ... } defines a test, in which CHECK and REQUIRE test conditions.
 *
 * Each test is a separate CTest test (CMakeLists.txt finds them by their first line), so a crash or a hang
 * fails only that test. By hand: `test_hermitian` runs all tests of a file, `test_hermitian drivers_agree` one. */
#ifndef EIGENPAIR_TESTS_CHECK_H
#define EIGENPAIR_TESTS_CHECK_H

typedef struct check_test {
  const char* name;
  void (*run)(void);
  struct check_test* next;
} check_test;

void check_register(check_test* test);
__attribute__((format(printf, 4, 5))) void check_failed(const char* file, int line, const char* condition,
                                                        const char* format, ...);
_Noreturn void check_give_up(void);

/* Why the running test cannot be run. */
void check_skip(const char* reason);

#define TEST(test_name)                                                 \
  static void test_name(void);                                          \
  __attribute__((constructor)) static void register_##test_name(void) { \
    static check_test test = {.name = #test_name, .run = test_name};    \
    check_register(&test);                                              \
  }                                                                     \
  static void test_name(void)

/* The message, as for printf, names the data. The test goes on after a failure. May be used on any thread. */
#define CHECK(condition, ...)                                                    \
  do {                                                                           \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (0)

/* Ends the program if it fails, because what follows would make no sense. */
#define REQUIRE(condition, ...)                                  \
  do {                                                           \
    if (!(condition)) {                                          \
      check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
      check_give_up();                                           \
    }                                                            \
  } while (0)

#endif
