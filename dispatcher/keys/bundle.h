/* All that the workers of one service need for TLS, in one piece of memory. */
#ifndef KEYS_BUNDLE_H
#define KEYS_BUNDLE_H

#include "dispatcher/keys/say.h"

/* Reads what the service's options name, tells what is wrong, and says the bundle if nothing is. 0, or
 * -errno: there is no memory. */
int bundle_make(struct say *s, const struct settings *settings, const struct service_settings *svc);

#endif
