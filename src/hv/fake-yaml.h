/* The description of a fake host: fake:///path/host.yaml. */
#pragma once

#include "base/error.h"
#include "model/simhost.h"

/* A new host as the file of @uri describes it (the keys: fake-yaml.c). ERR_INVALID with line and
 * column; ERR_NOT_FOUND, ERR_ACCESS. */
SimHost *fake_yaml_load(const char *uri, GError **error);
