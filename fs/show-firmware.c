/* nvram/, tpm/, and what a snapshot keeps of them. */
#include "fs/show.h"

#define DIGEST_LINE 65 /* 64 digits and a newline */

char *show_vars_needed(const Place *place)
{
    return show_line(place->vm->nvram->needed);
}

char *show_vars_state(const Place *place)
{
    return show_line(place->vm->nvram->state);
}

char *show_vars_path(const Place *place)
{
    return show_line(place->vm->nvram->path);
}

char *show_vars_format(const Place *place)
{
    return show_line(place->vm->nvram->format);
}

char *show_vars_size(const Place *place)
{
    return place->vm->nvram->exists ? show_number(place->vm->nvram->size) : g_strdup("");
}

char *show_vars_template(const Place *place)
{
    return show_line(place->vm->nvram->template);
}

char *show_tpm_version(const Place *place)
{
    return show_line(place->vm->vtpm->version);
}

char *show_tpm_state(const Place *place)
{
    return show_line(place->vm->vtpm->state);
}

char *show_tpm_path(const Place *place)
{
    return show_line(place->vm->vtpm->path);
}

uint64_t size_of_vars(const Place *place)
{
    return place->vm->nvram->size;
}

uint64_t size_of_vars_digest(const Place *place)
{
    return place->vm->nvram->exists ? DIGEST_LINE : 0;
}

uint64_t size_of_snapshot_vars(const Place *place)
{
    return place->snapshot->vars->size;
}

uint64_t size_of_tpm_file(const Place *place)
{
    return place->file->size;
}
