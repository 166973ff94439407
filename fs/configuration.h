/* The configuration file: read at the start, and again at SIGHUP. */
#pragma once

#include "fs/face.h"
#include "fs/options.h"

/* Reads -o config=FILE, else /etc/vmsnapfs.yaml, which need not be there. Yours. */
Config *configuration_read(const Options *options, GError **error);
/* What everything in the tree belongs to: -o group, else the file's group, else our own. */
bool configuration_group(const Options *options, const Config *config, gid_t *out_group,
                         GError **error);
/* Reads it again and puts it in force; if something is wrong with it, what was in force stays, and
 * status, errors and the log say so. From one thread at a time. */
void configuration_reload(Face *face, const Options *options);
