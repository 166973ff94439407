#include "run/room.h"

#include "model/names.h"

static gboolean has_device(gconstpointer a, gconstpointer b)
{
    return ((const FreeSpace *)a)->device == ((const FreeSpace *)b)->device;
}

/* Each file system once. */
static void add_place(const World *world, GPtrArray *seen, GString *text, const char *directory)
{
    FreeSpace space;

    if (!directory || !world->images->ops->free_space(world->images, directory, &space, NULL) ||
        g_ptr_array_find_with_equal_func(seen, &space, has_device, NULL))
        return;
    g_autofree char *size = size_format(space.bytes);
    g_string_append_printf(text, "%s%s has %s free", seen->len > 0 ? ", " : "", directory, size);
    g_ptr_array_add(seen, g_memdup2(&space, sizeof(space)));
}

static void add_place_of(const World *world, GPtrArray *seen, GString *text, const char *path)
{
    g_autofree char *directory = path ? g_path_get_dirname(path) : NULL;

    add_place(world, seen, text, directory);
}

static char *places_text(Vm *vm)
{
    g_autoptr(GPtrArray) seen = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autofree char *home = vm_home(vm);
    GString *text = g_string_new(NULL);

    add_place(vm->world, seen, text, home);
    for (guint i = 0; i < catalog->disks->len; i++)
        add_place_of(vm->world, seen, text, disk_active(catalog->disks->pdata[i])->path);
    add_place_of(vm->world, seen, text, catalog->vars);
    return g_string_free(text, FALSE);
}

void room_tell(Vm *vm, GError **error)
{
    if (!error || !error_is(*error, ERR_NO_SPACE))
        return;
    g_autofree char *places = places_text(vm);
    g_autofree char *cause = g_steal_pointer(&(*error)->message);
    (*error)->message = g_strdup_printf("%s; make room there and try again (%s)", cause, places);
}
