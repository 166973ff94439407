/* The simulated hypervisor on a SimHost (borrowed; one SimHost may serve several, one after
 * another). */
#pragma once
#include "hv/hypervisor.h"
#include "model/simhost.h"
Hypervisor *hv_fake_new(SimHost *host);
/* fake:///path/host.yaml: reads the description (docs: examples in tests/face) and owns its
 * SimHost; also makes the Images that belong to it. */
Hypervisor *hv_fake_open(const char *uri, GError **error);
/* The SimHost of a hypervisor made by the two above; NULL for any other. */
SimHost *hv_fake_host(Hypervisor *hv);
