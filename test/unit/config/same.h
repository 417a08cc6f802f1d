/* Whether two blocks of settings are the same but for the places in files that they name. */
#ifndef TEST_UNIT_CONFIG_SAME_H
#define TEST_UNIT_CONFIG_SAME_H

#include "config/settings.h"

/* NULL: they are; else the name of what differs. */
const char *same_settings(const struct settings *a, const struct settings *b);

#endif
