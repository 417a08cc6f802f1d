/* cmocka with the includes that it needs. */
#ifndef TEST_UNIT_COMMON_CHECK_H
#define TEST_UNIT_COMMON_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
