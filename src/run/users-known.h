/* What users.c remembers between two looks. */
#pragma once
#include "run/users.h"

/* domain_parse of @xml, a definition of the domain @uuid: the running one, or the persistent one. A
 * text that was parsed last time is not parsed again. Yours. */
Domain *users_definition(const World *world, const char *uuid, bool live, const char *xml,
                         GError **error);

/* One way in which a definition names a file. */
typedef struct {
    char *path;
    char *who;    /* "disk vda of VM db (off)" */
    char *source; /* the file of the disk that @path belongs to */
    bool vars;    /* it is a variable store, not of a disk */
    bool raw;     /* nothing lies below it, whatever its first bytes say (rule 12) */
} Use;

/* The uses of one domain: an array of Use, yours; an empty one if it is gone. @since: monotonic µs,
 * older ones are no good; 0: those of which no event says that they are out of date. */
GPtrArray *users_of_domain(const World *world, const HvDomain *domain, int64_t since,
                           GError **error);
/* Forget those that are not in @domains (of HvDomain). */
void users_forget_others(Users *users, const GPtrArray *domains);

/* Which file @path is: its file_key() and @out_identity; yours, NULL: none that could be looked at.
 */
char *users_key(const World *world, const char *path, ImageIdentity *out_identity);
/* What lies below the file @path, which is @identity: by its header, NULL if nothing does; yours.
 */
char *users_below(const World *world, const char *path, const ImageIdentity *identity,
                  bool *out_raw);
