/* What a worker started by hand is sent for TLS, in place of the dispatcher's. */
#ifndef WORKER_HANDTLS_H
#define WORKER_HANDTLS_H

/* Reads the files and sends a bundle and ticket keys of this process alone. 0 or -errno (the reason
 * was printed). */
int handtls_send(int channel, const char *program, const char *cert_path, const char *key_path);

#endif
