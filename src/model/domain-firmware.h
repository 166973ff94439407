/* Firmware and TPM of a definition: reading, copying, and changing where the variables are. Private
 * to model/domain*.c. */
#pragma once

#include "model/domain.h"
#include "model/xml.h"

/* NULL if <domain> has none. */
Firmware *firmware_read(const xmlNode *domain);
Firmware *firmware_copy(const Firmware *firmware); /* also of NULL, as the next three */
void firmware_free(Firmware *firmware);
Tpm *tpm_read(const xmlNode *domain);
Tpm *tpm_copy(const Tpm *tpm);
void tpm_free(Tpm *tpm);
/* Has <domain> keep its variables in the file @path. ERR_INVALID: they are no file, or it has none.
 */
bool firmware_move(xmlNode *domain, const char *path, GError **error);
