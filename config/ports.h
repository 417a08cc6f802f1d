/* One word of a PORT list, taken apart. Pure but for name look-ups. */
#ifndef CONFIG_PORTS_H
#define CONFIG_PORTS_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#define PORT_HOST_BYTES 256

enum port_kind { PORT_NONE, PORT_BARE, PORT_AT_HOST, PORT_UNIX };

struct port {
	enum port_kind kind; /* PORT_NONE: the word was 0 */
	int family;          /* of PORT_AT_HOST: AF_UNSPEC, AF_INET, AF_INET6 */
	uint16_t number;
	char host[PORT_HOST_BYTES]; /* of PORT_AT_HOST; "" = every address of the family */
	const char *path;           /* of PORT_UNIX: inside the word */
};

/* NULL: understood; else what is wrong with it. The word is left as it was. */
const char *port_parse(const char *word, struct port *ret_port);

#endif
